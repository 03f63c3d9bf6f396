"""The system around the pure ceremony, for tests that drive it with whatever may happen.

`CeremonySystem` does with statements what workflow, activities and key worker do with them, in
one process and without Temporal or database: it gathers facts, advances, asks a model key worker
and settles. It watches every transition: an illegal one is an AssertionError at once.
"""

from collections.abc import Collection
from typing import Any, Final

from ceremony.checks import RESEND_SECONDS, SMS_CODE_SECONDS, Facts
from ceremony.codes import MAX_CODES, TypedCode
from ceremony.eppcertificate import EntryError
from ceremony.qr import QrContents
from ceremony.reasons import Reason
from ceremony.reducer import (
    advance,
    code_due,
    code_sent,
    expired,
    open_request,
    registry_changed,
    release_refused,
    released,
    settled,
)
from ceremony.release_rule import ReleaseRefused, Statements
from ceremony.stages import EXPIRES_TO, OPEN, TRANSITIONS, Stage
from ceremony.standing import Standing
from ceremony.state import CeremonyState, Verdict
from ceremony.statements import Kind, request_id_of
from ceremony.verification import Verified
from tests.support.modelkeyworker import ModelKeyWorker
from tests.support.world import FORMATS, SAMPLE_DIGEST, World

WRONG_CODE: Final = "------"


class CeremonySystem:
    """One loading request, everyone who may speak in it, and a key worker with a journal.

    `said` and `verdicts` hold every statement and its last verdict by digest; `right` the digests
    of those with which the right code was typed; `stages` the path so far; `refusals` what the
    key worker refused. `opened` is the registry's standing at the start, `present` the one now.
    """

    def __init__(self, world: World) -> None:
        """Let the world's terminal ask for a key."""
        self.world = world
        self.opened = world.standing()
        self.present: Standing | None = self.opened
        self.request = world.request()
        self.request_id = request_id_of(self.request.digest)
        self.worker = ModelKeyWorker(world.trust, world.release_secrets)
        self.said: dict[str, Verified[Any]] = {self.request.digest: self.request}
        self.typed: dict[str, TypedCode] = {}
        self.shown: dict[str, QrContents] = {}
        self.right: set[str] = set()
        self.accepted: dict[Kind, Verified[Any]] = {}
        self.refusals: list[Reason] = []
        after = open_request(self.request, self._facts(self.request, 0, right=False, lie=False))
        self.state: CeremonyState = after.state
        self.verdicts: dict[str, Verdict] = {self.request.digest: after.verdict}
        self.stages = [after.state.stage]

    # ---- statements

    def make(self, kind: Kind, *, signer: str | None = None, **fields: Any) -> Verified[Any]:
        """Sign a statement of this request; `signer` names a terminal or administrator."""
        world = self.world
        if signer is not None:
            one = getattr(world, signer)
            fields["signer"] = one.device if signer in {"terminal", "other"} else one.signer
        match kind:
            case Kind.REQUEST:
                return world.request(**fields)
            case Kind.CANCELLATION:
                return world.cancellation(self.request, **fields)
            case Kind.APPLICATION:
                return self._application(fields)
            case Kind.DECISION:
                return world.decision(self._applied(), **fields)
            case Kind.CONFIRMATION:
                return world.confirmation(self._applied(), **fields)
        row = self.worker.journal.get(self.request_id)
        honest = {
            "token_digest": self.state.token_digest or SAMPLE_DIGEST,
            "kcv": row.kcv if row else "000000",
        }
        return world.receipt(world.confirmation(self._applied()), **(honest | fields))

    def submit(self, statement: Verified[Any], *, right: bool = False, lie: bool = False) -> None:
        """Judge a statement and do what follows from it.

        Args:
            statement: what was said.
            right: the right code was typed with it.
            lie: the workflow claims that all codes are right and nothing changed.
        """
        self.said[statement.digest] = statement
        if right:
            self.right.add(statement.digest)
        self._type(statement, right)
        before = self.state
        facts = self._facts(statement, len(before.codes_sent_at), right=right, lie=lie)
        after = advance(before, statement, facts)
        self.verdicts[statement.digest] = after.verdict
        in_place = (before.stage, statement.kind) in TRANSITIONS
        assert in_place or (after.state == before and not after.verdict.accepted)
        self._to(after.state, TRANSITIONS.get((before.stage, statement.kind), {before.stage}))
        if after.verdict.accepted:
            self.accepted[statement.kind] = statement
            if statement.kind is Kind.CONFIRMATION:
                self._ask_key_worker()
            elif statement.kind is Kind.RECEIPT:
                self._settle(statement)

    # ---- events

    def send_code(self) -> None:
        """Send the next SMS code, if it is due."""
        n = len(self.state.codes_sent_at) + 1
        if n <= MAX_CODES and code_due(self.state, n, self.world.now, RESEND_SECONDS):
            self._to(code_sent(self.state, self.world.now), {self.state.stage})

    def deadline(self) -> None:
        """Let the stage's deadline pass."""
        self._to(expired(self.state), {EXPIRES_TO[self.state.stage]})

    def look_again(self) -> None:
        """Let the registry in force be read again; nobody is told."""
        try:
            self.present = self.world.standing()
        except EntryError:
            self.present = None

    def notice(self) -> None:
        """Tell the workflow that the registry changed."""
        before = self.state.stage
        present = self.present.registry_digest if self.present else None
        after = registry_changed(self.state, present)
        if before in OPEN and present != self.opened.registry_digest:
            released_key = before is Stage.AWAITING_RECEIPT
            self._to(after, {Stage.UNCONFIRMED if released_key else Stage.FAILED})
        else:
            assert after == self.state

    @property
    def code_needed(self) -> bool:
        """Whether an honest first administrator would ask for an SMS code now."""
        sent = self.state.codes_sent_at
        stale = bool(sent) and self.world.now > sent[-1] + SMS_CODE_SECONDS
        return not sent or (stale and len(sent) < MAX_CODES)

    # ---- what follows

    def _ask_key_worker(self) -> None:
        application = self.accepted[Kind.APPLICATION]
        confirmation = self.accepted[Kind.CONFIRMATION]
        shown = self.shown[application.digest]
        case = Statements(
            request=self.request.text,
            application=application.text,
            decision=self.accepted[Kind.DECISION].text,
            confirmation=confirmation.text,
            qr_n=shown.n,
            qr_expires_at=shown.expires_at,
            sms_code=self.typed[application.digest],
            approval_code=self.typed[confirmation.digest],
        )
        before = self.state.stage
        entries = self.world.entries()
        try:
            token = self.worker.release(case, entries, self.request_id, now=self.world.now)
        except ReleaseRefused as refusal:
            self.refusals.append(refusal.reason)
            self.verdicts[confirmation.digest] = Verdict(
                kind=Kind.CONFIRMATION, digest=confirmation.digest, reasons=(refusal.reason,)
            )
            after = release_refused(self.state, refusal.reason)
            mistyped = refusal.reason is Reason.APPROVAL_CODE_WRONG and after.tries_left > 0
            lost = before is Stage.AWAITING_CONFIRMATION and not mistyped
            self._to(after, {Stage.FAILED if lost else before})
            return
        after = released(self.state, confirmation.digest, token)
        self._to(after, {Stage.AWAITING_RECEIPT})

    def _settle(self, receipt: Verified[Any]) -> None:
        active = self.worker.active(receipt.payload)
        kcv = self.worker.journal[self.request_id].kcv if active else None
        reason = Reason.LOADED if active else Reason.KCV_WRONG
        after = settled(self.state, active=active, reason=reason, kcv=kcv)
        self._to(after, {Stage.LOADED if active else Stage.UNCONFIRMED})

    def _to(self, after: CeremonyState, allowed: Collection[Stage]) -> None:
        assert after == self.state or not self.state.final, "a final stage was left"
        assert after.stage in allowed, f"{self.state.stage} -> {after.stage}"
        if after.stage is not self.state.stage:
            self.stages.append(after.stage)
        self.state = after

    def _application(self, fields: dict[str, Any]) -> Verified[Any]:
        digest = {"registry_digest": self.opened.registry_digest}
        application = self.world.application(self.request, **(digest | fields))
        self.shown[application.digest] = self.world.shown_qr(self.request)
        return application

    def _applied(self) -> Verified[Any]:
        return self.accepted.get(Kind.APPLICATION) or self._application({})

    def _type(self, statement: Verified[Any], right: bool) -> None:
        scope = self.opened.code_scope(self.request_id)
        if statement.kind is Kind.APPLICATION:
            n = max(1, len(self.state.codes_sent_at))
            code = self.world.codes.sms_code(scope, n) if right else WRONG_CODE
            self.typed[statement.digest] = self.world.edge.seal(
                "sms", self.request_id, n, statement.digest, code
            )
        elif statement.kind is Kind.CONFIRMATION:
            code = self.world.codes.approval_code(scope) if right else WRONG_CODE
            self.typed[statement.digest] = self.world.edge.seal(
                "approval", self.request_id, 0, statement.digest, code
            )

    def _facts(self, statement: Verified[Any], code_n: int, *, right: bool, lie: bool) -> Facts:
        standing = self.opened if lie else self.present
        row = self.worker.journal.get(self.request_id)
        return Facts(
            now=self.world.now,
            terminal=standing.terminal if standing else None,
            standing=standing,
            qr=self.shown.get(statement.digest),
            code_n=code_n,
            code_right=right or lie,
            tokens=frozenset(row.tokens.values()) if row else frozenset(),
            formats=frozenset(FORMATS),
        )
