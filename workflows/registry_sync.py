"""The registry synchronisation: what `keyfill terminals sync` starts and a Schedule repeats."""

from typing import Final

from temporalio import workflow
from temporalio.exceptions import FailureError, WorkflowAlreadyStartedError

with workflow.unsafe.imports_passed_through():
    from activities.registry_sync import RegistrySynchroniser
    from ceremony import names
    from ceremony.messages import ChangeOrder, NotesOrder, RegistryNotice, SyncOrder, SyncReport
    from workflows import policies
    from workflows.registry_change import RegistryChange
    from workflows.registry_notes import RegistryNotes

NOTES: Final = "registry-notes"
"""Runs that began before the key worker was shown the registry go on without."""


@workflow.defn(name=names.REGISTRY_SYNC)
class RegistrySync:
    """One synchronisation: bring the registry up to date, show it, tell the requests concerned."""

    @workflow.run
    async def run(self, order: SyncOrder) -> SyncReport:
        """Synchronise, and give the report."""
        report = await workflow.execute_activity_method(
            RegistrySynchroniser.synchronise,
            order,
            start_to_close_timeout=policies.SYNC_TIMEOUT,
            retry_policy=policies.SYNC_RETRIES,
            summary="read the back office's feed and apply it",
        )
        if report.added + report.changed and workflow.patched(NOTES):
            await self._show(report.run_id)
        for change in report.changes:
            await self._start(change)
        for terminal_no in report.ended:
            await self._tell(terminal_no, report.run_id)
        return report

    async def _start(self, change: ChangeOrder) -> None:
        try:
            await workflow.start_child_workflow(
                RegistryChange.run,
                change,
                id=names.registry_change_id(change.digest),
                # It waits for days, and for its own end.
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                static_summary=f"Change of {change.subject} {change.name}",
            )
        except WorkflowAlreadyStartedError:
            workflow.logger.info("a change that waits has its workflow already")

    async def _show(self, run_id: str) -> None:
        try:
            await workflow.start_child_workflow(
                RegistryNotes.run,
                NotesOrder(parts=("revocations", "persons", "terminals")),
                id=names.registry_notes_id(run_id),
                # The key worker may be away for hours; nobody waits here for it.
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                static_summary="Showing the key worker the registry, after a synchronisation",
            )
        except WorkflowAlreadyStartedError:
            workflow.logger.info("the key worker is being shown this run's entries already")

    async def _tell(self, terminal_no: str, run_id: str) -> None:
        request = workflow.get_external_workflow_handle(names.loading_request_id(terminal_no))
        try:
            await request.signal(names.SIGNAL_REGISTRY_CHANGED, RegistryNotice(run_id=run_id))
        except FailureError:
            # It ended meanwhile; what it rested on was checked at every step anyway.
            workflow.logger.info("loading request of a changed terminal had ended")
