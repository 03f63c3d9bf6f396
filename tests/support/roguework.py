"""Rogue workers on the ceremony's own task queue: they answer workflow tasks in its place.

`obliging` runs the genuine workflow over activities of the rogue's own, so that the histories hold
forged results and the genuine worker can go on with them; `selfmade` runs a workflow of the
rogue's own making, which needs nobody's approval. Neither has a secret or the database: only
write access to Temporal.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import RawValue, RetryPolicy
from temporalio.exceptions import ActivityError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from ceremony import names
from ceremony.messages import (
    EventStep,
    LoadingResult,
    Notice,
    Opening,
    Recorded,
    ReleaseStep,
    SettlementStep,
    SmsCodeCommand,
    StatementStep,
    SyncOrder,
    SyncReport,
)
from ceremony.reasons import Reason
from ceremony.stages import Stage
from ceremony.state import CeremonyState, Verdict
from ceremony.statements import Kind
from workflows.loading_request import LoadingRequest
from workflows.registry_sync import RegistrySync

FORGED: Final = "0f" * 32
KCV: Final = "a1b2c3"
FOREVER: Final = 4_000_000_000

_NEXT: Final[Mapping[Stage, tuple[Kind, dict[str, Any]]]] = {
    Stage.AWAITING_APPLICATION: (Kind.APPLICATION, {"stage": Stage.AWAITING_REVIEW}),
    Stage.AWAITING_REVIEW: (Kind.DECISION, {"stage": Stage.AWAITING_CONFIRMATION}),
    Stage.AWAITING_CONFIRMATION: (Kind.CONFIRMATION, {}),
    Stage.AWAITING_RECEIPT: (Kind.RECEIPT, {}),
}


class ObligingRecords:
    """Accepts whatever it is told, as the statement that comes next."""

    @activity.defn
    def record_opening(self, opening: Opening) -> Recorded:
        """Open anything."""
        state = CeremonyState(
            request_id=opening.request_id,
            terminal_no=opening.terminal_no,
            stage=Stage.AWAITING_APPLICATION,
            opened_at=0,
            request_digest=opening.digest,
            branch="",
            epp_fingerprint=FORGED,
            registry_digest=FORGED,
            first_staff_no="",
            second_staff_no="",
        )
        return Recorded(state=state, verdict=Verdict(kind=Kind.REQUEST, digest=opening.digest))

    @activity.defn
    def record_statement(self, step: StatementStep) -> Recorded:
        """Accept anything as what comes next."""
        kind, changes = _NEXT[step.state.stage]
        state = step.state.model_copy(
            update={
                **changes,
                f"{kind}_digest": step.digest,
                "application_expires_at": FOREVER,
                "approval_expires_at": FOREVER,
            }
        )
        return Recorded(state=state, verdict=Verdict(kind=kind, digest=step.digest))

    @activity.defn
    def record_release(self, step: ReleaseStep) -> Recorded:
        """Say that the key worker released, whatever it said."""
        changes = {
            "stage": Stage.AWAITING_RECEIPT,
            "confirmation_digest": step.digest,
            "token_digest": step.outcome.token_digest or FORGED,
        }
        state = step.state.model_copy(update=changes)
        return Recorded(state=state, verdict=Verdict(kind=Kind.CONFIRMATION, digest=step.digest))

    @activity.defn
    def record_settlement(self, step: SettlementStep) -> CeremonyState:
        """Say that the key is active, whatever the key worker said."""
        changes = {"stage": Stage.LOADED, "reason": Reason.LOADED, "kcv": KCV}
        return step.state.model_copy(update=changes)

    @activity.defn
    def record_event(self, step: EventStep) -> CeremonyState:
        """Let no deadline pass, no change of the registry matter."""
        return step.state

    @activity.defn
    def send_sms_code(self, command: SmsCodeCommand) -> str:
        """Swallow a code."""
        return f"sent {command.n}"

    @activity.defn
    def send_notice(self, notice: Notice) -> str:
        """Swallow a notice."""
        return f"sent {notice.event}"

    @activity.defn
    def synchronise(self, order: SyncOrder) -> SyncReport:
        """Swallow a synchronisation."""
        return SyncReport(run_id=order.order or "rogue", added=1_000_000)


@workflow.defn(name=names.LOADING_REQUEST)
class SelfmadeRequest:
    """Needs no approval: calls the key worker at once, with every digest that it was ever told."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._told: list[str] = []
        self.answers: list[Any] = []

    @workflow.run
    async def run(self, opening: Opening) -> LoadingResult:
        """Wait for a confirmation's digest, ask for a key in every way, and say LOADED."""
        await workflow.wait_condition(lambda: "end" in self._told)
        told = [opening.digest, FORGED, *(one for one in self._told if one != "end")]
        subject = {"request_id": opening.request_id, "terminal_no": opening.terminal_no}
        commands = [
            {
                **subject,
                "request": opening.digest,
                "application": application,
                "decision": decision,
                "confirmation": told[-1],
            }
            for application in told
            for decision in told
        ]
        calls = (self._call("release_key", command) for command in commands)
        self.answers = list(await asyncio.gather(*calls))
        for receipt in (None, *told):
            await self._call("settle_key", {**subject, "receipt": receipt})
        return LoadingResult(stage=Stage.LOADED, reason=None, token_digest=FORGED, kcv=KCV)

    @workflow.signal(dynamic=True)
    def hear(self, name: str, args: Sequence[RawValue]) -> None:
        """Remember the digest that a signal names."""
        for one in args:
            said = workflow.payload_converter().from_payload(one.payload)
            self._told.append(said["digest"] if isinstance(said, dict) else name)

    @workflow.query
    def released(self) -> list[Any]:
        """What the key worker answered."""
        return self.answers

    async def _call(self, name: str, command: object) -> Any:
        try:
            return await workflow.execute_activity(
                name,
                command,
                task_queue=names.KEYS_QUEUE,
                start_to_close_timeout=timedelta(seconds=20),
                retry_policy=RetryPolicy(maximum_attempts=1),
            )
        except ActivityError as error:
            return {"error": str(error.cause)}


@asynccontextmanager
async def rogue_worker(client: Client, course: type = LoadingRequest) -> AsyncIterator[None]:
    """Poll the ceremony's queue with a workflow of one's choice, and oblige everybody."""
    rogue = ObligingRecords()
    with ThreadPoolExecutor(4) as executor:
        async with Worker(
            client,
            task_queue=names.CEREMONY_QUEUE,
            workflows=[course, RegistrySync],
            activities=[
                rogue.record_opening,
                rogue.record_statement,
                rogue.record_release,
                rogue.record_settlement,
                rogue.record_event,
                rogue.send_sms_code,
                rogue.send_notice,
                rogue.synchronise,
            ],
            activity_executor=executor,
            workflow_runner=UnsandboxedWorkflowRunner(),
            # An attacker may be slow: interrupting it raises wherever this process happens to be.
            debug_mode=True,
            sticky_queue_schedule_to_start_timeout=timedelta(seconds=1),
        ):
            yield
