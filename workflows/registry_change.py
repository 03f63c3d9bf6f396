"""A change of an administrator: signed, shown to the key worker, waited for, and put into effect.

The key worker alone decides when: it counts the time from when it first saw the entry. The records
follow it, so that what people are told and asked goes by the new entry only when keys do too.
"""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, FailureError

with workflow.unsafe.imports_passed_through():
    from activities.key_worker import KeyWorker
    from activities.registry_changes import RegistryChanges
    from ceremony import names
    from ceremony.messages import (
        ChangeEnding,
        ChangeNote,
        ChangeNoted,
        ChangeOrder,
        ChangeResult,
        ChangeTime,
        RegistryNotice,
    )
    from workflows import policies


@workflow.defn(name=names.REGISTRY_CHANGE)
class RegistryChange:
    """One change, from its last signature to its end: effective, withdrawn, superseded, refused."""

    def __init__(self) -> None:
        """Start with nobody told."""
        self._woken = False
        self._telling: workflow.ActivityHandle[tuple[str, ...]] | None = None

    @workflow.signal(name=names.SIGNAL_CHANGE_ENDED)
    def change_ended(self) -> None:
        """Look at the records again: somebody withdrew it, or a newer one took its place."""
        self._woken = True

    @workflow.run
    async def run(self, order: ChangeOrder) -> ChangeResult:
        """Wait for as long as it takes, and give how it ended."""
        result = await self._look(order)
        while result.outcome == "cooling":
            noted = await self._show(order)
            if noted.effective_at is None:
                result = await self._end(order, noted)
                wait = policies.CHANGE_AGAIN
            else:
                await self._note_time(order, noted.effective_at)
                left = timedelta(seconds=noted.effective_at - workflow.now().timestamp())
                self._tell(order, left)
                wait = _until_next_look(left)
            if result.outcome == "cooling":
                await self._wait(wait)
                if workflow.info().is_continue_as_new_suggested():
                    workflow.continue_as_new(order)
                result = await self._look(order)
        if result.outcome == "effective":
            # Nobody was, if the time was over before this workflow began.
            self._tell(order, timedelta(0))
        else:
            # Whoever ended it: what the records hold for ended must not take effect by itself.
            forgotten = await self._withdraw(order)
            if result.outcome == "withdrawn" and not forgotten:
                workflow.logger.warning("a withdrawn change did not wait at the key worker")
        if result.tells is not None:
            await self._tell_request(result.tells, order)
        await self._told(wanted=result.outcome == "effective")
        return result

    async def _look(self, order: ChangeOrder) -> ChangeResult:
        return await workflow.execute_activity_method(
            RegistryChanges.look_at_change,
            order,
            start_to_close_timeout=policies.RECORD_TIMEOUT,
            retry_policy=policies.RECORD_RETRIES,
            summary="how the change stands in the records",
        )

    async def _show(self, order: ChangeOrder) -> ChangeNoted:
        return await workflow.execute_activity_method(
            KeyWorker.note_change,
            ChangeNote(subject=order.subject, name=order.name, digest=order.digest),
            task_queue=names.KEYS_QUEUE,
            start_to_close_timeout=policies.NOTE_TIMEOUT,
            retry_policy=policies.NOTE_RETRIES,
            summary="ask the key worker when it takes effect",
        )

    async def _end(self, order: ChangeOrder, noted: ChangeNoted) -> ChangeResult:
        return await workflow.execute_activity_method(
            RegistryChanges.end_change,
            ChangeEnding(digest=order.digest, refused=noted.refused),
            start_to_close_timeout=policies.RECORD_TIMEOUT,
            retry_policy=policies.RECORD_RETRIES,
            summary="put the change into effect",
        )

    async def _note_time(self, order: ChangeOrder, effective_at: int) -> None:
        await workflow.execute_activity_method(
            RegistryChanges.note_change_time,
            ChangeTime(digest=order.digest, effective_at=effective_at),
            start_to_close_timeout=policies.RECORD_TIMEOUT,
            retry_policy=policies.RECORD_RETRIES,
            summary="note when the change takes effect",
        )

    def _tell(self, order: ChangeOrder, left: timedelta) -> None:
        if self._telling is None:
            self._telling = workflow.start_activity_method(
                RegistryChanges.tell_change,
                order,
                start_to_close_timeout=policies.SMS_TIMEOUT,
                schedule_to_close_timeout=max(left, policies.CHANGE_TOLD_WITHIN),
                retry_policy=policies.CHANGE_SMS_RETRIES,
                summary="tell the people concerned by SMS",
            )

    async def _wait(self, wait: timedelta) -> None:
        try:
            await workflow.wait_condition(
                lambda: self._woken, timeout=wait, timeout_summary="until the change is due"
            )
        except TimeoutError:
            return
        self._woken = False

    async def _withdraw(self, order: ChangeOrder) -> bool:
        answer = await workflow.execute_activity_method(
            KeyWorker.withdraw_change,
            ChangeNote(subject=order.subject, name=order.name, digest=order.digest),
            task_queue=names.KEYS_QUEUE,
            start_to_close_timeout=policies.NOTE_TIMEOUT,
            retry_policy=policies.NOTE_RETRIES,
            summary="have the key worker forget the change",
        )
        return answer.withdrawn

    async def _tell_request(self, terminal_no: str, order: ChangeOrder) -> None:
        request = workflow.get_external_workflow_handle(names.loading_request_id(terminal_no))
        notice = RegistryNotice(run_id=names.registry_change_id(order.digest))
        try:
            await request.signal(names.SIGNAL_REGISTRY_CHANGED, notice)
        except FailureError:
            # It ended meanwhile; what it rested on is checked at every step anyway.
            workflow.logger.info("loading request of a changed terminal had ended")

    async def _told(self, *, wanted: bool) -> None:
        if self._telling is None:
            return
        if not wanted:
            self._telling.cancel()
        try:
            await self._telling
        except (ActivityError, asyncio.CancelledError):
            workflow.logger.warning("nobody could be told of a change")


def _until_next_look(left: timedelta) -> timedelta:
    if left > policies.CHANGE_LAST_LOOK:
        return left - policies.CHANGE_LAST_LOOK
    # Where the key worker's clock is behind, it is asked again, but not all the time.
    return left if left > timedelta(0) else policies.CHANGE_AGAIN
