"""The transition table is complete, and nothing moves a request but what it names."""

from ceremony.reasons import Reason
from ceremony.reducer import _RULES
from ceremony.stages import BEFORE_RELEASE, EXPIRES_TO, FINAL, OPEN, TRANSITIONS, Stage, permits
from ceremony.statements import Kind

NOT_OF_A_REQUEST = {
    Kind.LOGIN,
    Kind.TERMINAL_ENTRY,
    Kind.CREDENTIAL_ENTRY,
    Kind.RELEASE_RECORD,
    Kind.REMOVAL_ORDER,
    Kind.REVOCATION,
    Kind.KEY_ORDER,
}

# The design's section 2, row by row: who may follow whom by a statement.
DESIGN = {
    (Stage.AWAITING_APPLICATION, Kind.REQUEST): set(),
    (Stage.AWAITING_REVIEW, Kind.REQUEST): set(),
    (Stage.AWAITING_CONFIRMATION, Kind.REQUEST): set(),
    (Stage.AWAITING_RECEIPT, Kind.REQUEST): set(),
    (Stage.AWAITING_APPLICATION, Kind.APPLICATION): {Stage.AWAITING_REVIEW, Stage.FAILED},
    (Stage.AWAITING_REVIEW, Kind.DECISION): {Stage.AWAITING_CONFIRMATION, Stage.REJECTED},
    (Stage.AWAITING_CONFIRMATION, Kind.CONFIRMATION): {Stage.AWAITING_RECEIPT, Stage.FAILED},
    (Stage.AWAITING_RECEIPT, Kind.CONFIRMATION): set(),
    (Stage.AWAITING_RECEIPT, Kind.RECEIPT): {Stage.LOADED, Stage.UNCONFIRMED},
    (Stage.AWAITING_APPLICATION, Kind.CANCELLATION): {Stage.CANCELLED},
    (Stage.AWAITING_REVIEW, Kind.CANCELLATION): {Stage.CANCELLED},
    (Stage.AWAITING_CONFIRMATION, Kind.CANCELLATION): {Stage.CANCELLED},
}


def test_the_table_is_the_designs() -> None:
    """Every pair leads where the design says, or stays where it is; no pair more or less."""
    assert {pair: set(to) for pair, to in TRANSITIONS.items()} == {
        (stage, kind): {stage} | to for (stage, kind), to in DESIGN.items()
    }


def test_open_and_final_stages_divide_all() -> None:
    """Ten stages: four wait, six end; only the last of the four is after release."""
    assert len(OPEN) == 4
    assert set(Stage) == OPEN | FINAL
    assert not OPEN & FINAL
    assert {Stage.AWAITING_RECEIPT} == OPEN - BEFORE_RELEASE


def test_final_stages_have_no_way_out() -> None:
    """No statement and no deadline leads out of a final stage."""
    assert {stage for stage, _ in TRANSITIONS} == OPEN
    assert set(EXPIRES_TO) == OPEN
    assert set(EXPIRES_TO.values()) == {Stage.EXPIRED, Stage.UNCONFIRMED}
    assert EXPIRES_TO[Stage.AWAITING_RECEIPT] is Stage.UNCONFIRMED
    for stage in FINAL:
        assert not any(permits(stage, kind) for kind in Kind)


def test_the_reducer_has_a_rule_for_each_kind_of_the_table() -> None:
    """Each kind that the table permits somewhere has exactly one rule, and no other kind has."""
    assert set(_RULES) == {kind for _, kind in TRANSITIONS}
    assert set(_RULES) == set(Kind) - NOT_OF_A_REQUEST


def test_every_final_stage_is_reachable() -> None:
    """By a statement, a deadline, or both."""
    reached = {stage for to in TRANSITIONS.values() for stage in to} | set(EXPIRES_TO.values())
    assert reached == set(Stage)


def test_no_statement_skips_a_stage() -> None:
    """From one waiting stage the next waiting stage is the only open one to follow."""
    order = [
        Stage.AWAITING_APPLICATION,
        Stage.AWAITING_REVIEW,
        Stage.AWAITING_CONFIRMATION,
        Stage.AWAITING_RECEIPT,
    ]
    for (stage, _), following in TRANSITIONS.items():
        for other in following & OPEN:
            assert order.index(other) - order.index(stage) in {0, 1}


def test_reason_codes_are_stable_kebab_case() -> None:
    """A code is its name in kebab-case, so that neither can drift from the other."""
    for reason in Reason:
        assert reason.value == reason.name.lower().replace("_", "-")
