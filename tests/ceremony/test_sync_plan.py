"""What a registry synchronisation plans for one terminal: added, changed, refused, back again."""

from dataclasses import replace

import pytest

from ceremony.reasons import Reason
from ceremony.syncplan import SyncPlan, plan_sync, plan_unmodified
from ceremony.syncrows import FeedRow, RefusedRow
from tests.support.sketches import (
    KNOWN,
    OFFICER,
    OFFICERS,
    OTHER,
    Sketch,
    numbers,
    plan,
    reasons,
)


def test_an_empty_registry_takes_the_whole_feed() -> None:
    """The first synchronisation adds every terminal and ends nothing."""
    result = plan([], [KNOWN, OTHER])
    assert numbers(result.added) == {"T1", "T2"}
    assert result == SyncPlan(result.added, (), (), (), (), ())


def test_the_same_feed_again_changes_nothing() -> None:
    """A synchronisation is idempotent."""
    result = plan([KNOWN, OTHER], [OTHER, KNOWN])
    assert result == SyncPlan((), (), ("T1", "T2"), (), (), ())
    removed = KNOWN.indexed(in_force=False)
    assert plan_unmodified([OTHER.indexed(), removed]).unchanged == ("T2",)


@pytest.mark.parametrize(
    ("change", "ends"),
    [
        ({"branch": "c"}, False),
        ({"first": "cleo", "officers": OFFICERS}, True),
        ({"second": "cleo", "officers": OFFICERS}, True),
        ({"first": "ben", "second": "ann", "officers": OFFICERS}, True),
        ({"certificate": "renewed", "officers": OFFICER}, True),
        ({"epp": "new", "officers": OFFICER}, True),
        ({"device": "new", "officers": OFFICER}, True),
    ],
)
def test_what_a_change_ends(change: dict[str, str], ends: bool) -> None:
    """A changed EPP certificate, device key or administrator ends the open request, no other."""
    result = plan([KNOWN, OTHER], [replace(KNOWN, seq=6, **change), OTHER])  # type: ignore[arg-type]
    assert numbers(result.changed) == {"T1"}
    assert result.unchanged == ("T2",)
    assert result.ends_requests == (("T1",) if ends else ())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"seq": 4}, Reason.SEQ_LOWERED),
        ({"seq": 5}, Reason.SEQ_LOWERED),
        ({"seq": 4, "officers": OFFICER, "device": "new"}, Reason.SEQ_LOWERED),
        ({"certificate": "renewed"}, Reason.OFFICER_REQUIRED),
        ({"epp": "new"}, Reason.OFFICER_REQUIRED),
        ({"device": "new"}, Reason.OFFICER_REQUIRED),
        ({"first": "ben"}, Reason.SAME_PERSON),
        ({"first": "cleo"}, Reason.OFFICERS_MISSING),
        ({"second": "cleo", "officers": OFFICER}, Reason.OFFICERS_MISSING),
        ({"first": "ben", "second": "ann"}, Reason.OFFICERS_MISSING),
        ({"epp": "T2", "officers": OFFICER}, Reason.FOREIGN_EPP_KEY),
        ({"epp": "T2", "certificate": "own", "officers": OFFICER}, Reason.FOREIGN_EPP_KEY),
        ({"device": "T2", "officers": OFFICER}, Reason.FOREIGN_DEVICE_KEY),
    ],
)
def test_what_a_known_terminal_is_refused_for(change: dict[str, object], reason: Reason) -> None:
    """A refused change leaves the terminal's former entry in force, and stops nothing else."""
    changed = replace(KNOWN, **{"seq": 6, "branch": "c", **change})  # type: ignore[arg-type]
    result = plan([KNOWN, OTHER], [changed, OTHER, Sketch("T3")])
    assert result.refused == (RefusedRow("line of T1", "T1", reason),)
    assert numbers(result.added) == {"T3"}
    assert (result.changed, result.unchanged) == ((), ("T2",))
    assert (result.removed, result.ends_requests) == ((), ())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"second": "ann"}, Reason.SAME_PERSON),
        ({"epp": "T1"}, Reason.FOREIGN_EPP_KEY),
        ({"device": "T1"}, Reason.FOREIGN_DEVICE_KEY),
    ],
)
def test_what_a_new_terminal_is_refused_for(change: dict[str, str], reason: Reason) -> None:
    """A new terminal cannot have one person twice, nor a key of a terminal in force."""
    new = replace(Sketch("T9"), **change)  # type: ignore[arg-type]
    assert reasons(plan([KNOWN], [KNOWN, new])) == {("T9", reason)}


def test_a_row_refused_before_keeps_its_terminal() -> None:
    """A row that did not verify is reported, and its terminal is neither changed nor removed."""
    rows = [
        OTHER.row(),
        FeedRow.refused("line 2", Reason.BAD_SIGNATURE, "T1"),
        FeedRow.refused("line 3", Reason.MALFORMED),
    ]
    result = plan_sync([KNOWN.indexed(), OTHER.indexed()], rows)
    assert (result.unchanged, result.removed) == (("T2",), ())
    assert result.refused == (
        RefusedRow("line 2", "T1", Reason.BAD_SIGNATURE),
        RefusedRow("line 3", None, Reason.MALFORMED),
    )


def test_the_higher_seq_of_one_terminal_wins() -> None:
    """Of several rows of a terminal the highest `seq` counts; the others are duplicates."""
    rows = [replace(KNOWN, seq=seq, branch="c").row(f"line {seq}") for seq in (6, 8, 7)]
    result = plan_sync([KNOWN.indexed()], rows)
    assert [one.entry.seq for one in result.changed] == [8]
    assert {(row.position, row.reason) for row in result.refused} == {
        ("line 6", Reason.DUPLICATE_TERMINAL),
        ("line 7", Reason.DUPLICATE_TERMINAL),
    }


def test_two_entries_of_one_seq_are_both_refused() -> None:
    """Neither of two different entries with one `seq` is believed, unless the registry has it."""
    first, second = Sketch("T3", seq=2), Sketch("T3", seq=2, branch="c")
    assert plan([OTHER], [OTHER, first, second]).added == ()
    assert len(plan([OTHER], [OTHER, first, second]).refused) == 2
    result = plan([first], [second, first])
    assert result.unchanged == ("T3",)
    assert reasons(result) == {("T3", Reason.DUPLICATE_TERMINAL)}


def test_the_copy_with_the_officers_signature_wins() -> None:
    """The same entry twice, once with an officer's signature: the change is allowed."""
    changed = replace(KNOWN, seq=6, device="new")
    result = plan([KNOWN], [changed, replace(changed, officers=OFFICER)])
    assert numbers(result.changed) == {"T1"}
    assert reasons(result) == {("T1", Reason.DUPLICATE_TERMINAL)}


@pytest.mark.parametrize(
    ("back", "reason"),
    [
        ({}, None),
        ({"seq": 6, "branch": "c"}, None),
        ({"seq": 6, "device": "new", "officers": OFFICER}, None),
        ({"seq": 4}, Reason.SEQ_LOWERED),
        ({"seq": 5, "branch": "c"}, Reason.SEQ_LOWERED),
        ({"seq": 6, "device": "new"}, Reason.OFFICER_REQUIRED),
        ({"seq": 6, "epp": "new"}, Reason.OFFICER_REQUIRED),
    ],
)
def test_a_removed_terminal_comes_back_by_the_same_rules(
    back: dict[str, object], reason: Reason | None
) -> None:
    """A removal followed by an addition gets round neither `seq` nor the officers."""
    index = [KNOWN.indexed(in_force=False), OTHER.indexed()]
    result = plan_sync(index, [OTHER.row(), replace(KNOWN, **back).row()])  # type: ignore[arg-type]
    assert numbers(result.added) == ({"T1"} if reason is None else set())
    assert reasons(result) == (set() if reason is None else {("T1", reason)})
    assert result.ends_requests == ()
