"""The ceremonies in this process, for tests of the API: the real activities without Temporal."""

import asyncio
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from activities.ceremony_records import CeremonyRecords
from activities.facts import FactFinder
from activities.key_worker import KeyWorker
from api.ceremonies import CeremoniesAway, CeremonyClosed
from ceremony.checks import RESEND_SECONDS
from ceremony.messages import (
    CodeRequest,
    EventStep,
    Opening,
    Recorded,
    ReleaseCommand,
    ReleaseStep,
    SettleCommand,
    SettlementStep,
    StatementStep,
    Submission,
)
from ceremony.reducer import code_due, code_sent
from ceremony.state import CeremonyState
from ceremony.statements import Kind
from tests.support.backstage import Backstage


@dataclass
class MemoryCeremonies:
    """`Ceremonies` in this process; `told` is every message that reached it.

    `away` refuses everything, as an unreachable server does. `silent` accepts and does nothing,
    as a server without workers does. Statements are verified, the reducer decides and the key
    worker releases, all at once.
    """

    backstage: Backstage
    told: list[tuple[str, Any]] = field(default_factory=list)
    states: dict[str, CeremonyState] = field(default_factory=dict)
    away: bool = False
    silent: bool = False
    key_worker: bool = True

    def __post_init__(self) -> None:
        """Make the activities."""
        world = self.backstage.world
        self._records = CeremonyRecords(
            self.backstage.database,
            FactFinder(world.trust, world.codes, world.edge),
            self.backstage.clock,
        )

    async def open(self, opening: Opening) -> None:
        """See `api.ceremonies.Ceremonies`."""
        self._hear("open", opening)
        if self.silent:
            return
        state = self.states.get(opening.terminal_no)
        if state is None or state.final:
            recorded = await asyncio.to_thread(self._records.record_opening, opening)
            self.states[opening.terminal_no] = recorded.state
            return
        told = Submission(request_id=opening.request_id, digest=opening.digest)
        await asyncio.to_thread(self._judge, state, told)

    async def submit(self, signal: str, terminal_no: str, submission: Submission) -> None:
        """See `api.ceremonies.Ceremonies`."""
        state = self._running(terminal_no)
        self._hear(signal, submission)
        if not self.silent and submission.request_id == state.request_id:
            await asyncio.to_thread(self._judge, state, submission)

    async def ask_code(self, terminal_no: str, asked: CodeRequest) -> None:
        """See `api.ceremonies.Ceremonies`; a code that is due counts as sent."""
        state, now = self._running(terminal_no), self.backstage.world.now
        self._hear("code", asked)
        if code_due(state, asked.n, now, RESEND_SECONDS):
            self.states[terminal_no] = code_sent(state, now)

    async def ready(self) -> None:
        """See `api.ceremonies.Ceremonies`."""
        if self.away:
            raise CeremoniesAway

    async def key_worker_polls(self) -> bool:
        """See `api.ceremonies.Ceremonies`."""
        await self.ready()
        return self.key_worker

    @cached_property
    def _keys(self) -> KeyWorker:
        # Reading the KDH key takes half a second, and most tests release nothing.
        return self.backstage.key_worker()

    def expire(self, terminal_no: str) -> None:
        """Let the stage's deadline pass."""
        step = EventStep(state=self.states[terminal_no], event="deadline")
        self.states[terminal_no] = self._records.record_event(step)

    def _hear(self, what: str, message: Opening | Submission | CodeRequest) -> None:
        if self.away:
            raise CeremoniesAway
        self.told.append((what, message))

    def _running(self, terminal_no: str) -> CeremonyState:
        if self.away:
            raise CeremoniesAway
        state = self.states.get(terminal_no)
        if state is None or state.final:
            raise CeremonyClosed
        return state

    def _judge(self, state: CeremonyState, told: Submission) -> None:
        recorded = self._records.record_statement(StatementStep(state=state, digest=told.digest))
        kind = recorded.verdict.kind if recorded.verdict.accepted else None
        if kind is Kind.CONFIRMATION and recorded.verdict.digest == told.digest:
            recorded = self._release(recorded)
        after = recorded.state
        if kind is Kind.RECEIPT:
            command = SettleCommand(
                request_id=after.request_id,
                terminal_no=after.terminal_no,
                receipt=after.receipt_digest,
            )
            settlement = self._keys.settle_key(command)
            after = self._records.record_settlement(
                SettlementStep(state=after, settlement=settlement)
            )
        self.states[state.terminal_no] = after

    def _release(self, checked: Recorded) -> Recorded:
        state = checked.state
        outcome = self._keys.release_key(
            ReleaseCommand(
                request_id=state.request_id,
                terminal_no=state.terminal_no,
                request=state.request_digest,
                application=state.application_digest or "",
                decision=state.decision_digest or "",
                confirmation=checked.verdict.digest,
            )
        )
        return self._records.record_release(
            ReleaseStep(state=state, digest=checked.verdict.digest, outcome=outcome)
        )
