"""The registry synchronisation: what `keyfill terminals sync` starts and a Schedule repeats."""

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from activities.registry_sync import RegistrySynchroniser
    from ceremony import names
    from ceremony.messages import RegistryNotice, SyncOrder, SyncReport
    from workflows import policies


@workflow.defn(name=names.REGISTRY_SYNC)
class RegistrySync:
    """One synchronisation: bring the registry up to date, then tell the requests it concerns."""

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
        for terminal_no in report.ended:
            await self._tell(terminal_no, report.run_id)
        return report

    async def _tell(self, terminal_no: str, run_id: str) -> None:
        request = workflow.get_external_workflow_handle(names.loading_request_id(terminal_no))
        try:
            await request.signal(names.SIGNAL_REGISTRY_CHANGED, RegistryNotice(run_id=run_id))
        except FailureError:
            # It ended meanwhile; what it rested on was checked at every step anyway.
            workflow.logger.info("loading request of a changed terminal had ended")
