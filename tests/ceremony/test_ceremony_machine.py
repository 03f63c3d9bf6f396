"""A state machine drives the pure ceremony with whatever may happen, and looks for a bad key.

Honest steps, statements of any kind by any signer with any field twisted, wrong codes, replays,
passing time, deadlines, registry changes, and a workflow that lies about its facts, against the
real reducer and the real release rule. Each run leans towards one final stage (its fate), so that
all of them are reached; what happens on the way is free.
"""

from collections import Counter
from typing import Any, Final

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

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
from ceremony.stages import EXPIRES_TO, FINAL, OPEN, TRANSITIONS, Stage
from ceremony.standing import Standing
from ceremony.state import CeremonyState, Verdict
from ceremony.statements import Kind, request_id_of
from ceremony.verification import Verified
from tests.support.modelkeyworker import ModelKeyWorker
from tests.support.world import FORMATS, SAMPLE_DIGEST, World

RUNS: Final = 200
STEPS: Final = 22
SHARE: Final = RUNS // 25
"""Every final stage is reached by at least this many runs (4 %)."""

ENDED: Counter[Stage] = Counter()
PATH: Final = [
    Stage.AWAITING_APPLICATION,
    Stage.AWAITING_REVIEW,
    Stage.AWAITING_CONFIRMATION,
    Stage.AWAITING_RECEIPT,
]
KINDS: Final = (
    Kind.REQUEST,
    Kind.APPLICATION,
    Kind.DECISION,
    Kind.CONFIRMATION,
    Kind.RECEIPT,
    Kind.CANCELLATION,
)
SIGNERS: Final = ("terminal", "other", "first", "second", "third")
TWISTS: Final[tuple[tuple[str, Any], ...]] = (
    ("", None),
    ("terminal_no", "ATM-0002"),
    ("request_id", "A" * 24),
    ("epp_fingerprint", SAMPLE_DIGEST),
    ("registry_digest", SAMPLE_DIGEST),
    ("qr_digest", SAMPLE_DIGEST),
    ("application_digest", SAMPLE_DIGEST),
    ("token_digest", SAMPLE_DIGEST),
    ("administrator", "A1003"),
    ("expires_at", 1),
    ("expires_at", 2_000_000_000),
    ("decision", "reject"),
    ("outcome", "refused"),
    ("kcv", "000000"),
)


class CeremonyMachine(RuleBasedStateMachine):
    """One loading request, everyone who may speak in it, and a key worker with a journal."""

    @initialize(fate=st.sampled_from(sorted(FINAL)))
    def open(self, fate: Stage) -> None:
        """A terminal asks for a key."""
        self.fate = fate
        self.world = World.make()
        self.opened = self.present = self.world.standing()
        self.request = self.world.request()
        self.request_id = request_id_of(self.request.digest)
        self.worker = ModelKeyWorker(self.world.trust, self.world.release_secrets)
        self.typed: dict[str, TypedCode] = {}
        self.shown: dict[str, QrContents] = {}
        self.right: set[str] = set()
        self.said: dict[str, Verified[Any]] = {}
        self.verdicts: dict[str, Verdict] = {}
        self.accepted: dict[Kind, Verified[Any]] = {}
        after = open_request(self.request, self._facts(self.request))
        self.said[self.request.digest] = self.request
        self.verdicts[self.request.digest] = after.verdict
        self.state: CeremonyState = after.state
        self.stages = [after.state.stage]
        assert after.verdict.accepted

    # ---- what people and clocks do

    @precondition(lambda self: not self.state.final)
    @rule()
    def go_on(self) -> None:
        """The next honest step, towards the run's fate."""
        match self.state.stage:
            case Stage.AWAITING_APPLICATION if self._code_needed():
                self.send_code()
            case Stage.AWAITING_APPLICATION:
                self._submit(self._make(Kind.APPLICATION), right=True)
            case Stage.AWAITING_REVIEW:
                said = "reject" if self.fate is Stage.REJECTED else "approve"
                self._submit(self._make(Kind.DECISION, decision=said))
            case Stage.AWAITING_CONFIRMATION:
                self._submit(self._make(Kind.CONFIRMATION), right=True)
            case _:
                self._submit(self._make(Kind.RECEIPT))

    @precondition(lambda self: not self.state.final)
    @rule()
    def go_further(self) -> None:
        """Two honest steps: endings must not crowd out the late stages."""
        self.go_on()
        if not self.state.final:
            self.go_on()

    @rule()
    def send_code(self) -> None:
        """An SMS code goes out, if one is due."""
        n = len(self.state.codes_sent_at) + 1
        if n <= MAX_CODES and code_due(self.state, n, self.world.now, RESEND_SECONDS):
            self._to(code_sent(self.state, self.world.now), {self.state.stage})

    @precondition(lambda self: self.fate is Stage.FAILED or self.state.attempts_left > 2)
    @rule()
    def mistype(self) -> None:
        """The first administrator, or the terminal, sends a wrong code."""
        if self.state.stage is Stage.AWAITING_APPLICATION:
            self._submit(self._make(Kind.APPLICATION), right=False)
        elif self.fate is Stage.FAILED or self.state.tries_left > 1:
            self._submit(self._make(Kind.CONFIRMATION), right=False)

    @rule(
        kind=st.sampled_from(KINDS),
        signer=st.sampled_from(SIGNERS),
        twist=st.sampled_from(TWISTS),
        right=st.booleans(),
        lie=st.booleans(),
    )
    def say_anything(
        self, kind: Kind, signer: str, twist: tuple[str, Any], right: bool, lie: bool
    ) -> None:
        """Anyone says anything; half of the time the workflow also lies about what it found."""
        self._submit(self._make(kind, signer=signer, **_applicable(kind, twist)), right, lie=lie)

    @rule(which=st.integers(0, 100), bypass=st.booleans())
    def replay(self, which: int, bypass: bool) -> None:
        """A statement comes again: the same answer, and no effect even past the replay store."""
        statement = list(self.said.values())[which % len(self.said)]
        if not bypass:
            assert self.verdicts[statement.digest] is not None
        elif not self.verdicts[statement.digest].accepted:
            self._submit(statement, right=statement.digest in self.right)

    @rule(seconds=st.sampled_from([1, 30, 61, 130]))
    def wait(self, seconds: int) -> None:
        """A little time passes."""
        self.world.pass_time(seconds)

    @precondition(lambda self: self.fate in {Stage.EXPIRED, Stage.FAILED})
    @rule(seconds=st.sampled_from([700, 3_600, 90_000]))
    def wait_long(self, seconds: int) -> None:
        """Much time passes: codes, approvals and applications expire."""
        self.world.pass_time(seconds)

    @precondition(
        lambda self: (
            not self.state.final
            and (
                self.fate is Stage.EXPIRED
                or (self.fate is Stage.UNCONFIRMED and self.state.stage is Stage.AWAITING_RECEIPT)
            )
        )
    )
    @rule()
    def deadline(self) -> None:
        """The stage's deadline passes."""
        before = self.state.stage
        self._to(expired(self.state), {EXPIRES_TO[before]})

    @precondition(lambda self: self.fate is Stage.CANCELLED and not self.state.final)
    @rule(signer=st.sampled_from(["terminal", "first", "second"]))
    def cancel(self, signer: str) -> None:
        """One who may cancel does."""
        self._submit(self._make(Kind.CANCELLATION, signer=signer))

    @precondition(lambda self: self.fate in {Stage.FAILED, Stage.UNCONFIRMED})
    @rule(change=st.sampled_from(["name", "number", "officers", "expiry", "branch"]))
    def registry_changes(self, change: str) -> None:
        """The registry changes without notice: renamed, another number, unsigned, expired."""
        if self.fate is Stage.UNCONFIRMED and self.state.stage is not Stage.AWAITING_RECEIPT:
            return
        world = self.world
        match change:
            case "branch":
                entry = world.terminal_entry(branch="Elsewhere", seq=2)
                world.terminal_envelopes[world.terminal.terminal_no] = entry
            case "name":
                self._enrol(name="Renamed")
            case "number":
                self._enrol(number=world.second.number)
            case "officers":
                self._enrol(officers=1)
            case _:
                self._enrol(valid_until=world.now)
        self.present = self._standing()

    @precondition(lambda self: self.present is not self.opened)
    @rule()
    def notice(self) -> None:
        """The workflow is told of a changed registry."""
        present = self.present.registry_digest if self.present else None
        before = self.state.stage
        after = registry_changed(self.state, present)
        if before in OPEN:
            released_key = before is Stage.AWAITING_RECEIPT
            self._to(after, {Stage.UNCONFIRMED if released_key else Stage.FAILED})
            assert after.reason is Reason.REGISTRY_CHANGED
        else:
            assert after == self.state

    # ---- what the system does with it

    def _submit(self, statement: Verified[Any], right: bool = False, *, lie: bool = False) -> None:
        self.said[statement.digest] = statement
        if right:
            self.right.add(statement.digest)
        self._type(statement, right)
        before = self.state
        after = advance(before, statement, self._facts(statement, right=right, lie=lie))
        self.verdicts[statement.digest] = after.verdict
        self._to(after.state, TRANSITIONS.get((before.stage, statement.kind), {before.stage}))
        if (before.stage, statement.kind) not in TRANSITIONS:
            assert after.state == before
            assert not after.verdict.accepted
        if after.verdict.accepted:
            self.accepted[statement.kind] = statement
            if statement.kind is Kind.CONFIRMATION:
                self._ask_key_worker()
            elif statement.kind is Kind.RECEIPT:
                self._settle(statement)

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
            after = release_refused(self.state, refusal.reason)
            self._to(after, {Stage.FAILED if before in PATH[:3] else before})
            return
        self._to(released(self.state, token), {Stage.AWAITING_RECEIPT})

    def _settle(self, receipt: Verified[Any]) -> None:
        active = self.worker.active(receipt.payload)
        kcv = self.worker.journal[self.request_id].kcv if active else None
        reason = Reason.LOADED if active else Reason.KCV_WRONG
        after = settled(self.state, active=active, reason=reason, kcv=kcv)
        self._to(after, {Stage.LOADED if active else Stage.UNCONFIRMED})

    def _to(self, after: CeremonyState, allowed: Any) -> None:
        if self.state.final:
            assert after == self.state, "a final stage was left"
        assert after.stage in allowed
        if after.stage is not self.state.stage:
            self.stages.append(after.stage)
        self.state = after

    # ---- how statements and facts come about

    def _make(self, kind: Kind, *, signer: str | None = None, **twist: Any) -> Verified[Any]:
        world, who = self.world, {}
        if signer is not None:
            one = getattr(world, signer)
            who = {"signer": one.device if signer in {"terminal", "other"} else one.signer}
        if kind in {Kind.REQUEST, Kind.CANCELLATION}:
            about = {} if kind is Kind.REQUEST else {"request": self.request}
            return getattr(world, kind.value)(**about, **who, **twist)  # type: ignore[no-any-return]
        good = self._application(**(twist | who if kind is Kind.APPLICATION else {}))
        match kind:
            case Kind.APPLICATION:
                return good
            case Kind.DECISION:
                return world.decision(good, **who, **twist)
            case Kind.CONFIRMATION:
                return world.confirmation(good, **who, **twist)
        row = self.worker.journal.get(self.request_id)
        refused = self.fate is Stage.UNCONFIRMED
        honest = {
            "token_digest": self.state.token_digest or SAMPLE_DIGEST,
            "kcv": "000000" if refused or row is None else row.kcv,
        }
        return world.receipt(world.confirmation(good), **who, **(honest | twist))

    def _application(self, **fields: Any) -> Verified[Any]:
        if not fields and Kind.APPLICATION in self.accepted:
            return self.accepted[Kind.APPLICATION]
        digest = {"registry_digest": self.opened.registry_digest}
        application = self.world.application(self.request, **(digest | fields))
        self.shown[application.digest] = self.world.shown_qr(self.request)
        return application

    def _type(self, statement: Verified[Any], right: bool) -> None:
        if statement.digest in self.typed:
            return
        scope = self.opened.code_scope(self.request_id)
        codes, edge = self.world.codes, self.world.edge
        if statement.kind is Kind.APPLICATION:
            n = max(1, len(self.state.codes_sent_at))
            code = codes.sms_code(scope, n) if right else "------"
            self.typed[statement.digest] = edge.seal(
                "sms", self.request_id, n, statement.digest, code
            )
        elif statement.kind is Kind.CONFIRMATION:
            code = codes.approval_code(scope) if right else "----"
            self.typed[statement.digest] = edge.seal(
                "approval", self.request_id, 0, statement.digest, code
            )

    def _facts(self, statement: Verified[Any], *, right: bool = False, lie: bool = False) -> Facts:
        standing = self.opened if lie else self.present
        row = self.worker.journal.get(self.request_id)
        return Facts(
            now=self.world.now,
            terminal=standing.terminal if standing else None,
            standing=standing,
            qr=self.shown.get(statement.digest),
            code_n=len(self.state.codes_sent_at),
            code_right=right or lie,
            tokens=frozenset(row.tokens.values()) if row else frozenset(),
            formats=frozenset(FORMATS),
        )

    def _code_needed(self) -> bool:
        sent = self.state.codes_sent_at
        if not sent:
            return True
        stale = self.world.now > sent[-1] + SMS_CODE_SECONDS
        return stale and len(sent) < MAX_CODES

    def _enrol(self, **fields: Any) -> None:
        first = self.world.first
        entry = self.world.credential_entry(first, **{"seq": 2, **fields})
        self.world.credential_envelopes[first.person] = entry

    def _standing(self) -> Standing | None:
        try:
            return self.world.standing()
        except EntryError:
            return None

    # ---- what must always hold

    @invariant()
    def no_key_without_two_approvals(self) -> None:
        """A key rests on an application and an approval, by two people, with the right codes."""
        row = self.worker.journal.get(self.request_id)
        if row is None:
            return
        grant, opened = row.grant, self.opened
        application, decision = grant.application, grant.decision
        assert self.said[application.digest].kid == opened.first.key.public_key.kid
        assert self.said[decision.digest].kid == opened.second.key.public_key.kid
        assert application.kid != decision.kid
        assert decision.payload.decision == "approve"
        assert decision.payload.application_digest == application.digest
        assert {application.digest, grant.confirmation.digest} <= self.right
        for said in (application.payload, decision.payload, grant.confirmation.payload):
            assert said.request_id == self.request_id
            assert said.terminal_no == self.world.terminal.terminal_no
            assert said.epp_fingerprint == self.world.terminal.epp.fingerprint

    @invariant()
    def never_two_keys(self) -> None:
        """At most one key a request, whose first token moved the request, and no other way."""
        assert len(self.worker.made) == len(set(self.worker.made)) <= 1
        assert (self.state.token_digest is not None) == bool(self.worker.made)
        if self.state.stage in {Stage.AWAITING_RECEIPT, Stage.LOADED, Stage.UNCONFIRMED}:
            assert self.worker.made == [self.request_id]

    @invariant()
    def no_stage_is_skipped(self) -> None:
        """The open stages come in their one order; at most one final stage ends the path."""
        waiting = [stage for stage in self.stages if stage in OPEN]
        assert waiting == PATH[: len(waiting)]
        assert self.stages == [*waiting, *(s for s in self.stages[-1:] if s in FINAL)]

    @invariant()
    def no_statement_without_a_verdict(self) -> None:
        """Everything said has a verdict, and what the state rests on was accepted."""
        assert set(self.said) == set(self.verdicts)
        for digest in (
            self.state.application_digest,
            self.state.decision_digest,
            self.state.confirmation_digest,
            self.state.receipt_digest,
        ):
            assert digest is None or self.verdicts[digest].accepted
        assert self.state.final == (self.state.reason is not None)
        assert (self.state.stage is Stage.LOADED) == (self.state.kcv is not None)

    def teardown(self) -> None:
        """Count where the run ended; an ended request answers everything with a refusal."""
        if not hasattr(self, "state"):
            return
        ENDED[self.state.stage] += 1
        if self.state.final:
            for kind in KINDS:
                self._submit(self._make(kind), right=True, lie=True)


def _applicable(kind: Kind, twist: tuple[str, Any]) -> dict[str, Any]:
    from ceremony.statements import PAYLOADS

    name, value = twist
    return {name: value} if name in PAYLOADS[kind].model_fields else {}


def test_no_run_gives_a_bad_key_and_every_ending_is_reached() -> None:
    """The invariants hold over all runs, and a fair share of them reaches each final stage."""
    ENDED.clear()
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        CeremonyMachine,
        settings=settings(
            max_examples=RUNS,
            stateful_step_count=STEPS,
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    for stage in FINAL:
        assert ENDED[stage] >= SHARE, f"{stage}: {ENDED}"
