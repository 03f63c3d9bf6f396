"""Exporting keys to the ATM back office: what `keyfill keys export` starts and a Schedule repeats.

Works off what the records say is due, in one pass. Nothing here is believed: the key worker goes by
its journal, and what it publishes is a block that only the back office opens. One key that cannot
be wrapped or delivered is stepped over; a back office that is away ends the pass. The next one
begins with what is still due.
"""

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.key_exports import KeyDeliveries, KeyExporting
    from ceremony import names
    from ceremony.keyexport import ExportProblem, ExportState
    from ceremony.messages import (
        DueExports,
        DueKey,
        ExportCommand,
        ExportOrder,
        ExportPage,
        ExportReport,
    )
    from workflows import policies


@workflow.defn(name=names.KEY_EXPORT)
class KeyExports:
    """One pass over the keys that the back office does not have."""

    def __init__(self) -> None:
        """Start with nothing exported."""
        self._wrapped = self._confirmed = self._refused = 0
        self._unanswered = self._unanswered_in_a_row = 0

    @workflow.run
    async def run(self, order: ExportOrder) -> ExportReport:
        """Wrap what is due, deliver it if that is ordered, and say how far it came."""
        seen, after = 0, ""
        stopped: str | None = None
        while stopped is None:
            page = await self._due(after)
            for key in page.keys:
                stopped = await self._export(key, deliver=order.deliver)
                if stopped is not None:
                    break
            seen += len(page.keys)
            if page.after is None or seen >= policies.EXPORTS_OF_A_PASS:
                break
            after = page.after
        return ExportReport(
            wrapped=self._wrapped,
            confirmed=self._confirmed,
            refused=self._refused,
            stopped="back-office" if stopped is None and self._unanswered else stopped,
        )

    async def _due(self, after: str) -> DueExports:
        return await workflow.execute_activity_method(
            KeyDeliveries.due_exports,
            ExportPage(after=after),
            start_to_close_timeout=policies.RECORD_TIMEOUT,
            retry_policy=policies.RECORD_RETRIES,
            summary="find the keys that are due",
        )

    async def _export(self, key: DueKey, *, deliver: bool) -> str | None:
        """Export one key; why the pass has to stop, or None."""
        try:
            refused = None if key.wrapped else await self._wrap(key.request_id)
        except ActivityError:
            return "key-worker"
        if refused is not None:
            # What it holds no export key for, it refuses every key of the pass for.
            return refused if refused is ExportProblem.EXPORT_OFF else None
        if not deliver:
            return None
        try:
            await self._deliver(key.request_id)
        except ActivityError:
            self._unanswered += 1
            self._unanswered_in_a_row += 1
            away = self._unanswered_in_a_row == policies.EXPORTS_UNANSWERED
            return "back-office" if away else None
        self._unanswered_in_a_row = 0
        return None

    async def _wrap(self, request_id: str) -> ExportProblem | None:
        outcome = await workflow.execute_activity_method(
            KeyExporting.export_key,
            ExportCommand(request_id=request_id),
            task_queue=names.KEYS_QUEUE,
            start_to_close_timeout=policies.KEY_TIMEOUT,
            schedule_to_close_timeout=policies.EXPORT_WRAPPED_WITHIN,
            retry_policy=policies.KEY_RETRIES,
            summary=f"key worker: export the key of {request_id}",
        )
        self._wrapped += outcome.refused is None
        self._refused += outcome.refused is not None
        return outcome.refused

    async def _deliver(self, request_id: str) -> None:
        delivery = await workflow.execute_activity_method(
            KeyDeliveries.deliver_export,
            ExportCommand(request_id=request_id),
            start_to_close_timeout=policies.EXPORT_TIMEOUT,
            retry_policy=policies.EXPORT_RETRIES,
            summary=f"back office: the key of {request_id}",
        )
        self._confirmed += delivery.state is ExportState.CONFIRMED
        self._refused += delivery.state is ExportState.REFUSED
