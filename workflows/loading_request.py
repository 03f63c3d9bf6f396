"""One loading request: a terminal asks for a key, two administrators authorise it, it proves it.

The workflow waits, calls and records. What a statement means is decided by `ceremony.reducer`
within the recording activity; whether a key may exist, by the key worker. Signal handlers only
append; `run` acts, one statement at a time.
"""

import asyncio
from collections import deque
from collections.abc import Coroutine
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.ceremony_records import CeremonyRecords
    from activities.key_worker import KeyWorker
    from activities.sms import SmsSender
    from ceremony import names, reducer
    from ceremony.messages import (
        NOT_ASKED,
        CodeRequest,
        EventStep,
        LoadingResult,
        Notice,
        Opening,
        Recorded,
        RegistryNotice,
        ReleaseCommand,
        ReleaseStep,
        SettleCommand,
        Settlement,
        SettlementStep,
        SmsCodeCommand,
        StatementStep,
        Submission,
    )
    from ceremony.reasons import Reason
    from ceremony.stages import Stage
    from ceremony.state import CeremonyState
    from ceremony.statements import Kind
    from engine import searchattributes
    from workflows import details, policies

Item = tuple[str, Submission | CodeRequest | RegistryNotice]

UNASKED_PATCH: Final = "unasked-codes-use-nothing-up"


@workflow.defn(name=names.LOADING_REQUEST)
class LoadingRequest:
    """The durable course of one loading request; its id is that of the terminal."""

    @workflow.init
    def __init__(self, opening: Opening) -> None:
        """Know the opening statement before the first signal is handled."""
        self._opening = opening
        self._queue: deque[Item] = deque()
        # By request too: a misdirected signal must not keep out the one that is meant.
        self._seen = {(opening.request_id, opening.digest)}
        self._state: CeremonyState | None = None
        self._due: datetime | None = None
        self._armed: datetime | None = None
        self._timer: asyncio.Task[None] | None = None
        # In the order of their start: a set's order differs between a run and its replay.
        self._sending: dict[asyncio.Task[None], None] = {}
        self._timeline: list[str] = []

    @workflow.run
    async def run(self, opening: Opening) -> LoadingResult:
        """Carry the request to a final stage, which is returned; only a fault raises."""
        self._note(await self._record_opening(opening))
        while not self._now.final:
            await workflow.wait_condition(lambda: bool(self._queue) or self._overdue)
            if self._queue:
                await self._take(*self._queue.popleft())
            else:
                await self._expire()
        await self._close()
        return LoadingResult(
            stage=self._now.stage,
            reason=self._now.reason,
            token_digest=self._now.token_digest,
            kcv=self._now.kcv,
        )

    @workflow.signal(name=names.SIGNAL_REQUEST_REPEATED)
    def request_repeated(self, submission: Submission | None) -> None:
        """The terminal restarted, or asked twice: the same loading request goes on."""
        self._append(Kind.REQUEST, submission)

    @workflow.signal(name=names.SIGNAL_CODE_REQUESTED)
    def code_requested(self, request: CodeRequest | None) -> None:
        """An SMS code was asked for."""
        if request is not None:
            self._queue.append(("code", request))

    @workflow.signal(name=names.SIGNAL_APPLICATION)
    def application_submitted(self, submission: Submission | None) -> None:
        """The first administrator applied."""
        self._append(Kind.APPLICATION, submission)

    @workflow.signal(name=names.SIGNAL_DECISION)
    def decision_submitted(self, submission: Submission | None) -> None:
        """The second administrator decided."""
        self._append(Kind.DECISION, submission)

    @workflow.signal(name=names.SIGNAL_CONFIRMATION)
    def confirmation_submitted(self, submission: Submission | None) -> None:
        """The terminal confirmed."""
        self._append(Kind.CONFIRMATION, submission)

    @workflow.signal(name=names.SIGNAL_RECEIPT)
    def receipt_submitted(self, submission: Submission | None) -> None:
        """The terminal answered the key token."""
        self._append(Kind.RECEIPT, submission)

    @workflow.signal(name=names.SIGNAL_CANCELLATION)
    def cancellation_submitted(self, submission: Submission | None) -> None:
        """The terminal or an administrator cancelled."""
        self._append(Kind.CANCELLATION, submission)

    @workflow.signal(name=names.SIGNAL_REGISTRY_CHANGED)
    def registry_changed(self, notice: RegistryNotice | None) -> None:
        """A synchronisation changed what the registry says about this terminal."""
        if notice is not None:
            self._queue.append(("registry", notice))

    @workflow.query(name=names.QUERY_STATUS)
    def status(self) -> CeremonyState | None:
        """The state as it is; None before the opening is recorded."""
        return self._state

    def _append(self, kind: Kind, submission: Submission | None) -> None:
        # The SDK drops a forged signal that does not fit, but hands a null through.
        if submission is None:
            return
        key = submission.request_id, submission.digest
        if key not in self._seen:
            self._seen.add(key)
            self._queue.append((kind, submission))

    async def _take(self, label: str, item: Submission | CodeRequest | RegistryNotice) -> None:
        if isinstance(item, RegistryNotice):
            await self._consult_registry()
        elif label != Kind.REQUEST and item.request_id != self._now.request_id:
            self._say(f"{label} of another request dropped")
        elif isinstance(item, CodeRequest):
            self._send_code(item)
        else:
            await self._judge(label, item)

    async def _judge(self, label: str, submission: Submission) -> None:
        recorded = await self._record_statement(label, submission)
        # After a reset an ended request meets its accepted statements again: nothing follows.
        acts = recorded.verdict.accepted and not recorded.state.final
        accepted = recorded.verdict.kind if acts else None
        if accepted is Kind.CONFIRMATION:
            recorded = await self._release(recorded)
            if recorded.verdict.reason is Reason.TOKEN_UNKNOWN:
                # Without a verdict: the terminal's next attempt with the same one is to be heard.
                self._seen.discard((submission.request_id, submission.digest))
        self._note(recorded)
        if accepted is Kind.RECEIPT:
            await self._settle()

    async def _release(self, checked: Recorded) -> Recorded:
        state = checked.state
        outcome = await workflow.execute_activity_method(
            KeyWorker.release_key,
            ReleaseCommand(
                request_id=state.request_id,
                terminal_no=state.terminal_no,
                request=state.request_digest,
                application=state.application_digest or "",
                decision=state.decision_digest or "",
                confirmation=checked.verdict.digest,
            ),
            task_queue=names.KEYS_QUEUE,
            start_to_close_timeout=policies.KEY_TIMEOUT,
            retry_policy=policies.KEY_RETRIES,
            summary="key worker: release",
        )
        return await workflow.execute_local_activity_method(
            CeremonyRecords.record_release,
            ReleaseStep(state=state, digest=checked.verdict.digest, outcome=outcome),
            start_to_close_timeout=policies.RECORD_TIMEOUT,
            retry_policy=policies.RECORD_RETRIES,
            local_retry_threshold=policies.RECORD_LOCAL_THRESHOLD,
            summary="record release",
        )

    async def _settle(self) -> None:
        settlement = await self._settle_key(self._now.receipt_digest)
        self._adopt(
            await workflow.execute_local_activity_method(
                CeremonyRecords.record_settlement,
                SettlementStep(state=self._now, settlement=settlement),
                start_to_close_timeout=policies.RECORD_TIMEOUT,
                retry_policy=policies.RECORD_RETRIES,
                local_retry_threshold=policies.RECORD_LOCAL_THRESHOLD,
                summary="record settlement",
            )
        )

    async def _consult_registry(self) -> None:
        state = await self._record_event("registry")
        if state.stage is Stage.UNCONFIRMED and not self._now.final:
            await self._settle_key(None)
        self._adopt(state)

    async def _expire(self) -> None:
        if self._now.stage is Stage.AWAITING_RECEIPT:
            # It may answer that the key is active: another run took the receipt. The key worker
            # published that before it answered, and recording goes by what it published.
            await self._settle_key(None)
        self._adopt(await self._record_event("deadline"))

    async def _close(self) -> None:
        for task in tuple(self._sending):
            task.cancel()
        if self._now.registry_digest:
            self._tell("ended", within=policies.LAST_NOTICE_WITHIN)
        # No acknowledged statement goes unanswered: late ones are recorded as wrong-stage.
        while self._sending or self._queue:
            await workflow.wait_condition(lambda: bool(self._queue) or not self._sending)
            while self._queue:
                await self._take(*self._queue.popleft())

    async def _record_opening(self, opening: Opening) -> Recorded:
        return await workflow.execute_local_activity_method(
            CeremonyRecords.record_opening,
            opening,
            start_to_close_timeout=policies.RECORD_TIMEOUT,
            retry_policy=policies.RECORD_RETRIES,
            local_retry_threshold=policies.RECORD_LOCAL_THRESHOLD,
            summary="record opening",
        )

    async def _record_statement(self, label: str, submission: Submission) -> Recorded:
        return await workflow.execute_local_activity_method(
            CeremonyRecords.record_statement,
            StatementStep(state=self._now, digest=submission.digest),
            start_to_close_timeout=policies.RECORD_TIMEOUT,
            retry_policy=policies.RECORD_RETRIES,
            local_retry_threshold=policies.RECORD_LOCAL_THRESHOLD,
            summary=f"record {label}",
        )

    async def _record_event(self, event: Literal["deadline", "registry"]) -> CeremonyState:
        return await workflow.execute_local_activity_method(
            CeremonyRecords.record_event,
            EventStep(state=self._now, event=event),
            start_to_close_timeout=policies.RECORD_TIMEOUT,
            retry_policy=policies.RECORD_RETRIES,
            local_retry_threshold=policies.RECORD_LOCAL_THRESHOLD,
            summary=f"record {event}",
        )

    async def _settle_key(self, receipt: str | None) -> Settlement:
        return await workflow.execute_activity_method(
            KeyWorker.settle_key,
            SettleCommand(
                request_id=self._now.request_id,
                terminal_no=self._now.terminal_no,
                receipt=receipt,
            ),
            task_queue=names.KEYS_QUEUE,
            start_to_close_timeout=policies.KEY_TIMEOUT,
            retry_policy=policies.KEY_RETRIES,
            summary="key worker: settle",
        )

    def _send_code(self, request: CodeRequest) -> None:
        now = int(workflow.time())
        least = int((policies.RESEND - policies.RESEND_SLACK).total_seconds())
        if not reducer.code_due(self._now, request.n, now, least):
            self._say(f"SMS code {request.n} not due")
            return
        before = self._now.codes_sent_at
        self._state = reducer.code_sent(self._now, now, request.n)
        self._say(f"SMS code {request.n} to administrator {self._now.first_staff_no}")
        self._in_background(self._code(request.n, before, self._state.codes_sent_at))

    async def _code(self, n: int, before: tuple[int, ...], counted: tuple[int, ...]) -> str:
        status = await workflow.execute_activity_method(
            SmsSender.send_sms_code,
            SmsCodeCommand(request_id=self._now.request_id, terminal_no=self._now.terminal_no, n=n),
            start_to_close_timeout=policies.SMS_TIMEOUT,
            schedule_to_close_timeout=policies.SMS_CODE_WITHIN,
            retry_policy=policies.SMS_RETRIES,
            summary=f"SMS code {n}",
        )
        if status == NOT_ASKED and workflow.patched(UNASKED_PATCH):
            # A forged signal: the administrator's own codes are as they were.
            if self._now.codes_sent_at == counted:
                self._state = self._now.model_copy(update={"codes_sent_at": before})
            self._say(f"SMS code {n} was not asked for")
        return status

    def _tell(self, event: Literal["review", "approved", "ended"], *, within: timedelta) -> None:
        self._in_background(
            workflow.execute_activity_method(
                SmsSender.send_notice,
                Notice(
                    request_id=self._now.request_id,
                    terminal_no=self._now.terminal_no,
                    event=event,
                    stage=self._now.stage,
                ),
                start_to_close_timeout=policies.SMS_TIMEOUT,
                schedule_to_close_timeout=within,
                retry_policy=policies.SMS_RETRIES,
                summary=f"SMS notice: {event}",
            )
        )

    def _in_background(self, sending: Coroutine[Any, Any, str]) -> None:
        # Slow SMS never blocks the ceremony: nobody awaits this but the end of `run`.
        task = asyncio.create_task(self._send(sending))
        self._sending[task] = None
        task.add_done_callback(self._sent)

    def _sent(self, task: asyncio.Task[None]) -> None:
        del self._sending[task]

    async def _send(self, sending: Coroutine[Any, Any, str]) -> None:
        try:
            await sending
        except (ActivityError, asyncio.CancelledError):
            self._say("an SMS was not sent")

    def _note(self, recorded: Recorded) -> None:
        line = details.verdict_line(workflow.now(), recorded.state, recorded.verdict)
        self._timeline.append(line)
        self._adopt(recorded.state)

    def _say(self, text: str) -> None:
        self._timeline.append(details.event_line(workflow.now(), text))
        if self._state is not None:
            workflow.set_current_details(details.describe(self._state, self._timeline))

    def _adopt(self, state: CeremonyState) -> None:
        before, self._state = self._state, state
        if before is None or before.stage is not state.stage:
            self._enter(state)
        workflow.set_current_details(details.describe(state, self._timeline))

    def _enter(self, state: CeremonyState) -> None:
        self._timeline.append(details.event_line(workflow.now(), f"stage {state.stage}"))
        workflow.upsert_search_attributes(
            [
                searchattributes.REQUEST.value_set(state.request_id),
                searchattributes.TERMINAL.value_set(state.terminal_no),
                searchattributes.BRANCH.value_set(state.branch),
                searchattributes.FIRST_ADMINISTRATOR.value_set(state.first_staff_no),
                searchattributes.SECOND_ADMINISTRATOR.value_set(state.second_staff_no),
                searchattributes.STAGE.value_set(state.stage),
            ]
        )
        if state.stage is Stage.AWAITING_REVIEW:
            self._tell("review", within=policies.NOTICE_WITHIN)
        if state.stage is Stage.AWAITING_CONFIRMATION:
            self._tell("approved", within=policies.NOTICE_WITHIN)
        if not state.final:
            self._set_deadline(workflow.now() + policies.STAGE_DEADLINES[state.stage])

    def _set_deadline(self, due: datetime) -> None:
        self._due = due
        # One timer, armed anew only when it fires, or when a nearer deadline would be missed.
        if self._armed is None or due < self._armed:
            self._armed = due
            self._timer = asyncio.create_task(self._watch(due))

    async def _watch(self, until: datetime) -> None:
        while self._armed == until:
            left = until - workflow.now()
            await workflow.sleep(left, summary=f"deadline at {until:%Y-%m-%d %H:%M:%S} UTC")
            if self._armed == until and self._due is not None:
                self._armed = until = self._due
                if self._overdue:
                    return

    @property
    def _overdue(self) -> bool:
        return self._due is not None and self._due <= workflow.now()

    @property
    def _now(self) -> CeremonyState:
        if self._state is None:
            raise RuntimeError("the opening is not recorded yet")
        return self._state
