"""The life of a key: one table, and nothing moves a key but what it names."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ceremony.keylife import LOST, OFFICERS_OF, TRANSITIONS, KeyAct, KeyActor, KeyState, after

# Row by row: who may do what to a key in which state, and where that leaves it.
DESIGN = [
    ("released", "terminal", "loaded", "active"),
    ("released", "terminal", "not-proved", "unconfirmed"),
    ("released", "deadline", "not-proved", "unconfirmed"),
    ("released", "officer", "revoke", "compromised"),
    ("unconfirmed", "terminal", "loaded", "active"),
    ("unconfirmed", "terminal", "not-proved", "unconfirmed"),
    ("unconfirmed", "officers", "settle-loaded", "active"),
    ("unconfirmed", "officers", "settle-not-loaded", "retired"),
    ("unconfirmed", "officer", "revoke", "compromised"),
    ("unconfirmed", "officers", "destroy", "destroyed"),
    ("active", "terminal", "loaded", "active"),
    ("active", "successor", "succeeded", "retired"),
    ("active", "officer", "revoke", "compromised"),
    ("active", "officers", "destroy", "destroyed"),
    ("retired", "officer", "revoke", "compromised"),
    ("retired", "officers", "destroy", "destroyed"),
    ("compromised", "officers", "destroy", "destroyed"),
]
STEPS = list(product(KeyState, KeyActor, KeyAct))


def test_the_table_is_the_designs() -> None:
    """These seventeen moves and no other; every other triple is refused."""
    made = {
        (state.value, actor.value, act.value, to.value)
        for (state, actor, act), to in TRANSITIONS.items()
    }
    assert made == set(DESIGN)
    allowed = {(state, actor, act) for state, actor, act, _ in DESIGN}
    for state, actor, act in STEPS:
        known = (state.value, actor.value, act.value) in allowed
        assert (after(state, actor, act) is not None) is known


def test_two_officers_settle_and_destroy_and_one_only_takes_away() -> None:
    """One officer alone never makes a key active, retired or destroyed."""
    assert {act for act, actor in OFFICERS_OF.items() if actor is KeyActor.OFFICERS} == {
        KeyAct.SETTLE_LOADED,
        KeyAct.SETTLE_NOT_LOADED,
        KeyAct.DESTROY,
    }
    alone = {to for (_, actor, _), to in TRANSITIONS.items() if actor is KeyActor.OFFICER}
    assert alone == {KeyState.COMPROMISED}


def test_nobody_but_officers_destroys_and_a_destroyed_key_stays_so() -> None:
    """No receipt, deadline or successor ends a key; out of `destroyed` nothing leads."""
    for (state, actor, _), to in TRANSITIONS.items():
        assert (to is KeyState.DESTROYED) <= (actor is KeyActor.OFFICERS)
        assert state is not KeyState.DESTROYED


def test_a_released_key_is_not_destroyed() -> None:
    """Its terminal may be loading it at this moment."""
    assert after(KeyState.RELEASED, KeyActor.OFFICERS, KeyAct.DESTROY) is None


@given(st.lists(st.sampled_from(STEPS), max_size=30))
def test_a_lost_key_never_comes_back(steps: list[tuple[KeyState, KeyActor, KeyAct]]) -> None:
    """Whatever is said of it afterwards: compromised may become destroyed, and nothing else."""
    state, lost = KeyState.RELEASED, False
    for _, actor, act in steps:
        state = after(state, actor, act) or state
        lost = lost or state in LOST
        assert not lost or state in LOST


@pytest.mark.parametrize("state", sorted(set(KeyState) - {KeyState.RELEASED}))
def test_every_state_can_be_reached(state: KeyState) -> None:
    """No word of the table is idle."""
    assert state in TRANSITIONS.values()
