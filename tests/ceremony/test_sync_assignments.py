"""Other administrators for a known terminal: a threshold of officers, and a time to wait."""

from dataclasses import replace

import pytest

from ceremony.reasons import Reason
from ceremony.syncplan import SyncPlan, plan_sync
from ceremony.syncrows import IndexedTerminal
from tests.support.sketches import KNOWN, OFFICER, OFFICERS, OTHER, Sketch, numbers, reasons

GIVEN = replace(KNOWN, seq=6, second="cleo", officers=OFFICERS)
"""The terminal given to another second administrator, signed by enough officers."""


def plan(index: list[IndexedTerminal], *feed: Sketch) -> SyncPlan:
    """The plan of a deployment in which such changes wait."""
    rows = [one.row() for one in feed]
    return plan_sync([*index, OTHER.indexed()], [*rows, OTHER.row()], cooling_off=True)


def test_other_administrators_wait() -> None:
    """The row is planned apart: the entry in force stays, and its open request goes on."""
    result = plan([KNOWN.indexed()], GIVEN)
    assert numbers(result.waiting) == {"T1"}
    assert (result.added, result.changed, result.removed, result.refused) == ((), (), (), ())
    assert result.ends_requests == ()


def test_without_a_cooling_off_time_they_change_at_once() -> None:
    """As every other change does."""
    result = plan_sync([KNOWN.indexed(), OTHER.indexed()], [GIVEN.row(), OTHER.row()])
    assert (numbers(result.changed), result.waiting) == ({"T1"}, ())
    assert result.ends_requests == ("T1",)


@pytest.mark.parametrize("officers", [frozenset(), OFFICER], ids=["feed alone", "one officer"])
def test_a_removed_terminal_comes_back_with_its_administrators_only(
    officers: frozenset[str],
) -> None:
    """Removing it and adding it again does not get round the officers."""
    back = replace(GIVEN, officers=officers)
    result = plan([KNOWN.indexed(in_force=False)], back)
    assert reasons(result) == {("T1", Reason.OFFICERS_MISSING)}
    assert (result.added, result.waiting) == ((), ())
    same = plan([KNOWN.indexed(in_force=False)], replace(KNOWN, seq=6))
    assert numbers(same.added) == {"T1"}


def test_a_removed_terminal_waits_as_well() -> None:
    """It comes back when the time is over, and not before."""
    result = plan([KNOWN.indexed(in_force=False)], GIVEN)
    assert (numbers(result.waiting), result.added) == ({"T1"}, ())


def test_what_waits_is_unchanged_in_the_next_run() -> None:
    """The feed goes on naming it; nothing starts anew."""
    waiting = KNOWN.indexed(later=GIVEN.later(cooling=True))
    result = plan([waiting], GIVEN)
    assert result.unchanged == ("T1", "T2")
    assert (result.waiting, result.refused) == ((), ())


def test_what_was_withdrawn_does_not_come_back() -> None:
    """Only a newer entry is looked at again."""
    withdrawn = KNOWN.indexed(later=GIVEN.later(cooling=False))
    assert reasons(plan([withdrawn], GIVEN)) == {("T1", Reason.ENTRY_WITHDRAWN)}
    again = plan([withdrawn], replace(GIVEN, seq=7))
    assert numbers(again.waiting) == {"T1"}


@pytest.mark.parametrize("cooling", [True, False])
@pytest.mark.parametrize("seq", [5, 6])
def test_nothing_is_put_below_an_entry_on_record(seq: int, cooling: bool) -> None:
    """Nor beside it."""
    index = KNOWN.indexed(later=replace(GIVEN, seq=6).later(cooling=cooling))
    result = plan([index], replace(KNOWN, seq=seq, branch="c"))
    assert reasons(result) == {("T1", Reason.SEQ_LOWERED)}


def test_a_newer_entry_with_the_former_administrators_is_applied() -> None:
    """It needs no officer, and takes the place of the change that waited."""
    index = KNOWN.indexed(later=GIVEN.later(cooling=True))
    result = plan([index], replace(KNOWN, seq=7))
    assert (numbers(result.changed), result.waiting) == ({"T1"}, ())


def test_each_newer_change_needs_the_officers_again() -> None:
    """That the one before was signed helps nobody."""
    index = KNOWN.indexed(later=GIVEN.later(cooling=True))
    unsigned = replace(GIVEN, seq=7, officers=frozenset())
    assert reasons(plan([index], unsigned)) == {("T1", Reason.OFFICERS_MISSING)}


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (Sketch("T3", epp="new"), Reason.FOREIGN_EPP_KEY),
        (Sketch("T3", device="new"), Reason.FOREIGN_DEVICE_KEY),
    ],
    ids=["epp", "device"],
)
@pytest.mark.parametrize("in_force", [True, False])
def test_the_keys_of_what_waits_are_no_other_terminals(
    wanted: Sketch, reason: Reason, in_force: bool
) -> None:
    """Or two terminals would have one key as soon as the change takes effect."""
    moved = replace(GIVEN, epp="new", device="new")
    waiting = KNOWN.indexed(in_force=in_force, later=moved.later(cooling=True))
    assert reasons(plan([waiting], moved, wanted)) == {("T3", reason)}
    withdrawn = KNOWN.indexed(in_force=in_force, later=moved.later(cooling=False))
    assert numbers(plan([withdrawn], KNOWN, wanted).added) == {"T3"}


def test_the_keys_of_a_removed_terminal_are_free() -> None:
    """Whoever was removed holds nothing but what waits."""
    result = plan([KNOWN.indexed(in_force=False)], Sketch("T3", epp="T1"))
    assert numbers(result.added) == {"T3"}


@pytest.mark.parametrize("in_force", [True, False])
def test_a_terminal_that_waits_is_removed_when_it_is_named_no_more(in_force: bool) -> None:
    """Or it would come into force by itself; what was ended before needs no removal."""
    waiting = KNOWN.indexed(in_force=in_force, later=GIVEN.later(cooling=True))
    assert plan([waiting]).removed == ("T1",)
    ended = KNOWN.indexed(in_force=False, later=GIVEN.later(cooling=False))
    assert plan([ended]).removed == ()
