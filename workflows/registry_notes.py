"""Showing the key worker what the registry says: revocations by officers, and newer entries.

Whatever it was shown cannot be undone by whoever edits the database. Nothing here is believed: the
key worker verifies every signature, and takes only what is newer than what it knows. The workflow
waits for the key worker for as long as it takes.
"""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.key_worker import KeyWorker
    from ceremony import names
    from ceremony.messages import (
        NotesOrder,
        NotesReport,
        RegistryNoted,
        RegistryPage,
        RegistryPart,
        RevocationNote,
    )
    from ceremony.reasons import Reason
    from workflows import policies


@workflow.defn(name=names.REGISTRY_NOTES)
class RegistryNotes:
    """One showing: a revocation if there is one, then whole parts of the records, page by page."""

    def __init__(self) -> None:
        """Start with nothing shown."""
        self._noted = 0
        self._refused = 0

    @workflow.run
    async def run(self, order: NotesOrder) -> NotesReport:
        """Show it all, and say how much of it was new."""
        revocation_refused = None
        if order.revocation is not None:
            revocation_refused = await self._revocation(order.revocation)
        for part in order.parts:
            await self._part(part)
        return NotesReport(
            noted=self._noted, refused=self._refused, revocation_refused=revocation_refused
        )

    async def _revocation(self, statement: str) -> Reason | None:
        answer = await workflow.execute_activity_method(
            KeyWorker.note_revocation,
            RevocationNote(statement=statement),
            task_queue=names.KEYS_QUEUE,
            start_to_close_timeout=policies.NOTE_TIMEOUT,
            retry_policy=policies.NOTE_RETRIES,
            summary="have the key worker remember a revocation",
        )
        return answer.refused

    async def _part(self, part: RegistryPart) -> None:
        after: str | None = ""
        while after is not None:
            page = await self._page(part, after)
            self._noted += page.noted
            self._refused += page.refused
            after = page.after

    async def _page(self, part: RegistryPart, after: str) -> RegistryNoted:
        return await workflow.execute_activity_method(
            KeyWorker.note_registry,
            RegistryPage(part=part, after=after),
            task_queue=names.KEYS_QUEUE,
            start_to_close_timeout=policies.NOTE_TIMEOUT,
            retry_policy=policies.NOTE_RETRIES,
            summary=f"show the key worker a page of the {part}",
        )
