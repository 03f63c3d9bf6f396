"""A state machine drives the pure ceremony with whatever may happen, and looks for a bad key.

Honest steps, statements of any kind by any signer with any field twisted, wrong codes, replays,
passing time, deadlines, registry changes, and a workflow that lies about its facts, against the
real reducer and the real release rule. Each run leans towards one final stage (its fate), so that
all of them are reached; what happens on the way is free. The same moves are driven twice: by
Hypothesis, which searches and shrinks, and by a seeded dice, which spreads evenly.
"""

import random
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from ceremony.reasons import Reason
from ceremony.stages import FINAL, OPEN, Stage
from ceremony.statements import PAYLOADS, Kind
from tests.support.system import CeremonySystem
from tests.support.world import SAMPLE_DIGEST, World

HYPOTHESIS_RUNS: Final = 200
DICE_RUNS: Final = 240
STEPS: Final = 20
SEARCHED_SHARE: Final = HYPOTHESIS_RUNS // 100
EVEN_SHARE: Final = DICE_RUNS // 20
"""Runs that must reach each final stage: 1 % of the searched ones, 5 % of the even ones."""

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
IN_PLACE: Final = dict(
    zip(PATH, (Kind.APPLICATION, Kind.DECISION, Kind.CONFIRMATION, Kind.RECEIPT), strict=True)
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
CHANGES: Final[tuple[dict[str, Any], ...]] = (
    {"name": "Renamed"},
    {"number": "+4915112345020"},
    {"officers": 1},
    {"valid_until": 1},
    {"roles": ("auditor",)},
)


class CeremonyMachine(RuleBasedStateMachine):
    """The moves of one run, and what must hold after each of them."""

    def __init__(self) -> None:
        """Wait for the run's fate."""
        super().__init__()
        self.fate = Stage.LOADED
        self.system = CeremonySystem(World.make())

    @initialize(fate=st.sampled_from(sorted(FINAL)), steps=st.integers(0, 4))
    def lean(self, fate: Stage, steps: int) -> None:
        """Choose the ending that this run leans towards, and how far it goes undisturbed."""
        self.fate = fate
        self.go_on(steps=steps)

    def _leans(self, *fates: Stage) -> bool:
        return not self.system.state.final and self.fate in fates

    @rule(steps=st.integers(1, 4))
    def go_on(self, steps: int) -> None:
        """The next honest steps, towards the run's fate; several, to get to the late stages."""
        for _ in range(steps):
            if not self.system.state.final:
                self._step()

    def _step(self) -> None:
        system, stage = self.system, self.system.state.stage
        if stage is Stage.AWAITING_APPLICATION and system.code_needed:
            system.send_code()
            return
        said: dict[str, Any] = {}
        if stage is Stage.AWAITING_REVIEW and self.fate is Stage.REJECTED:
            said["decision"] = "reject"
        if stage is Stage.AWAITING_RECEIPT and self.fate is Stage.UNCONFIRMED:
            said["kcv"] = "000000"
        system.submit(system.make(IN_PLACE[stage], **said), right=True)

    @rule()
    def send_code(self) -> None:
        """An SMS code goes out, if one is due."""
        self.system.send_code()

    @rule(times=st.integers(1, 5), lie=st.booleans())
    def mistype(self, times: int, lie: bool) -> None:
        """Wrong codes are typed; a lying workflow calls them right, and the key worker does not.

        Only a run that leans towards FAILED may use up all tries.
        """
        system = self.system
        for _ in range(times):
            few = min(system.state.attempts_left, system.state.tries_left + 1) <= 2
            if self._leans(Stage.FAILED) or not (few or lie):
                kind = IN_PLACE.get(system.state.stage, Kind.APPLICATION)
                system.submit(system.make(kind), lie=lie)

    @rule()
    def wrap_again(self) -> None:
        """The EPP lost its nonce: the terminal confirms once more."""
        if self.system.state.stage is Stage.AWAITING_RECEIPT:
            self.system.submit(self.system.make(Kind.CONFIRMATION), right=True)

    @rule(
        kind=st.sampled_from((None, *KINDS)),
        signer=st.sampled_from(SIGNERS),
        twist=st.sampled_from(TWISTS),
        right=st.booleans(),
        lie=st.booleans(),
    )
    def say_anything(
        self, kind: Kind | None, signer: str, twist: tuple[str, Any], right: bool, lie: bool
    ) -> None:
        """Anyone says anything, most often what is in place; the workflow may lie about it."""
        system = self.system
        chosen = kind or IN_PLACE.get(system.state.stage, Kind.RECEIPT)
        name, value = twist
        fields = {name: value} if name in PAYLOADS[chosen].model_fields else {}
        system.submit(system.make(chosen, signer=signer, **fields), right=right, lie=lie)

    @rule(which=st.integers(0, 100))
    def replay(self, which: int) -> None:
        """A refused statement comes again, past the replay store; an accepted one is answered."""
        system = self.system
        statement = list(system.said.values())[which % len(system.said)]
        if not system.verdicts[statement.digest].accepted:
            system.submit(statement, right=statement.digest in system.right)

    @rule(seconds=st.sampled_from([1, 30, 61, 130]))
    def wait(self, seconds: int) -> None:
        """A little time passes."""
        self.system.world.pass_time(seconds)

    @rule(seconds=st.sampled_from([700, 3_600, 90_000]))
    def wait_long(self, seconds: int) -> None:
        """Much time passes: codes, approvals and applications expire."""
        if self._leans(Stage.EXPIRED, Stage.FAILED):
            self.system.world.pass_time(seconds)

    @rule()
    def deadline(self) -> None:
        """The stage's deadline passes."""
        late = self.system.state.stage is Stage.AWAITING_RECEIPT
        if self._leans(Stage.EXPIRED) or (late and self._leans(Stage.UNCONFIRMED)):
            self.system.deadline()

    @rule(signer=st.sampled_from(["terminal", "first", "second"]))
    def cancel(self, signer: str) -> None:
        """One who may cancel does."""
        if self._leans(Stage.CANCELLED):
            self.system.submit(self.system.make(Kind.CANCELLATION, signer=signer))

    @rule(change=st.sampled_from(CHANGES), second=st.booleans(), told=st.booleans())
    def registry_changes(self, change: dict[str, Any], second: bool, told: bool) -> None:
        """An administrator's entry changes or loses its force; the workflow may not be told."""
        world, late = self.system.world, self.system.state.stage is Stage.AWAITING_RECEIPT
        if not (self._leans(Stage.FAILED) or (late and self._leans(Stage.UNCONFIRMED))):
            return
        person = world.second if second else world.first
        entry = world.credential_entry(person, **{"seq": 2, **change})
        world.credential_envelopes[person.person] = entry
        self.system.look_again()
        if told:
            self.system.notice()

    @rule()
    def notice(self) -> None:
        """The workflow is told to look at the registry."""
        self.system.notice()

    @invariant()
    def no_key_without_two_approvals(self) -> None:
        """A key rests on an application and an approval, by two people, with the right codes."""
        system = self.system
        row = system.worker.journal.get(system.request_id)
        if row is None:
            return
        application, decision = row.grant.application, row.grant.decision
        assert application.kid == system.opened.first.key.public_key.kid
        assert decision.kid == system.opened.second.key.public_key.kid
        assert application.kid != decision.kid
        assert decision.payload.decision == "approve"
        assert decision.payload.application_digest == application.digest
        assert {application.digest, row.grant.confirmation.digest} <= system.right
        for said in (application.payload, decision.payload, row.grant.confirmation.payload):
            assert said.request_id == system.request_id
            assert said.terminal_no == system.world.terminal.terminal_no
            assert said.epp_fingerprint == system.world.terminal.epp.fingerprint

    @invariant()
    def never_two_keys(self) -> None:
        """At most one key a request, and only its token moves the request on."""
        made, state = self.system.worker.made, self.system.state
        assert made in ([], [self.system.request_id])
        assert (state.token_digest is not None) == bool(made)
        if state.stage in {Stage.AWAITING_RECEIPT, Stage.LOADED, Stage.UNCONFIRMED}:
            assert made

    @invariant()
    def no_stage_is_skipped(self) -> None:
        """The open stages come in their one order; at most one final stage ends the path."""
        stages = self.system.stages
        waiting = [stage for stage in stages if stage in OPEN]
        assert waiting == PATH[: len(waiting)]
        assert stages == [*waiting, *(stage for stage in stages[-1:] if stage in FINAL)]

    @invariant()
    def no_statement_without_a_verdict(self) -> None:
        """Everything said has a verdict, and what the state rests on was accepted."""
        system, state = self.system, self.system.state
        assert set(system.said) == set(system.verdicts)
        for digest in (
            state.application_digest,
            state.decision_digest,
            state.confirmation_digest,
            state.receipt_digest,
        ):
            assert digest is None or system.verdicts[digest].accepted
        assert state.final == (state.reason is not None)
        assert (state.stage is Stage.LOADED) == (state.kcv is not None)

    def teardown(self) -> None:
        """An ended request refuses everything, even to a workflow that lies."""
        if self.system.state.final:
            for kind in KINDS:
                self.system.submit(self.system.make(kind), right=True, lie=True)


def _assert_fair_share(ended: Counter[Stage], share: int) -> None:
    for stage in FINAL:
        assert ended[stage] >= share, f"{stage}: {ended}"


def test_hypothesis_finds_no_bad_key() -> None:
    """The invariants hold over searched runs, and a fair share of them reaches each ending."""
    ended: Counter[Stage] = Counter()

    class Counted(CeremonyMachine):
        def teardown(self) -> None:
            super().teardown()
            ended[self.system.state.stage] += 1

    run_state_machine_as_test(
        Counted,
        settings=settings(
            max_examples=HYPOTHESIS_RUNS,
            stateful_step_count=STEPS,
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    _assert_fair_share(ended, SEARCHED_SHARE)


def _throw(machine: CeremonyMachine, dice: random.Random) -> None:
    moves: dict[Callable[[], object], int] = {
        lambda: machine.go_on(steps=dice.choice([1, 1, 1, 2])): 6,
        machine.send_code: 1,
        machine.wrap_again: 2,
        machine.deadline: 1,
        machine.notice: 1,
        lambda: machine.mistype(times=dice.randrange(1, 4), lie=dice.random() < 0.3): 4,
        lambda: machine.replay(which=dice.randrange(100)): 2,
        lambda: machine.wait(seconds=dice.choice([1, 30, 61, 130])): 1,
        lambda: machine.wait_long(seconds=dice.choice([700, 3_600, 90_000])): 1,
        lambda: machine.cancel(signer=dice.choice(["terminal", "first", "second"])): 1,
        lambda: machine.registry_changes(
            change=dice.choice(CHANGES), second=dice.random() < 0.5, told=dice.random() < 0.5
        ): 1,
        lambda: machine.say_anything(
            kind=dice.choice([None, None, *KINDS]),
            signer=dice.choice(SIGNERS),
            twist=dice.choice(TWISTS),
            right=dice.random() < 0.7,
            lie=dice.random() < 0.3,
        ): 6,
    }
    dice.choices(list(moves), list(moves.values()))[0]()


def test_a_seeded_dice_finds_no_bad_key() -> None:
    """The same over evenly spread runs, which also meet re-wraps and a key worker that refuses."""
    ended: Counter[Stage] = Counter()
    reasons: Counter[Reason | None] = Counter()
    refusals: Counter[Reason] = Counter()
    rewraps = 0
    for run in range(DICE_RUNS):
        dice = random.Random(run)
        machine = CeremonyMachine()
        machine.lean(fate=sorted(FINAL)[run % len(FINAL)], steps=0)
        for _ in range(STEPS):
            if machine.system.state.final:
                break
            _throw(machine, dice)
            machine.no_key_without_two_approvals()
            machine.never_two_keys()
            machine.no_stage_is_skipped()
            machine.no_statement_without_a_verdict()
        machine.teardown()
        ended[machine.system.state.stage] += 1
        refusals.update(machine.system.refusals)
        rewraps += 3 - machine.system.state.rewraps_left
        reasons.update(verdict.reason for verdict in machine.system.verdicts.values())
    _assert_fair_share(ended, EVEN_SHARE)
    for ending in (Reason.SMS_CODE_WRONG, Reason.APPROVAL_CODE_WRONG):
        assert refusals[ending], "the key worker never met a workflow that lied"
    assert rewraps
    assert reasons[None]
    assert len(reasons) > 15, "the dice hardly met a check"
