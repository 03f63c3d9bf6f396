"""Feeds that would take away too much, or of which nothing can be believed."""

import pytest

from ceremony.reasons import Reason
from ceremony.syncplan import SyncLimits, SyncStopped, plan_sync
from ceremony.syncrows import FeedRow
from tests.support.sketches import KNOWN, OTHER, Sketch


@pytest.mark.parametrize(
    ("terminals", "gone", "stops"),
    [
        (1, 1, True),
        (2, 1, False),
        (3, 2, True),
        (19, 2, True),
        (20, 1, False),
        (20, 2, True),
        (39, 2, True),
        (40, 2, False),
        (100, 5, False),
        (100, 6, True),
    ],
)
def test_removing_more_than_five_percent_stops_the_run(
    terminals: int, gone: int, stops: bool
) -> None:
    """Over 5 % stops everything until an officer orders it; one may always go, if any is left."""
    registry = [Sketch(f"T{n}") for n in range(terminals)]
    index, rows = [one.indexed() for one in registry], [one.row() for one in registry[gone:]]
    if not stops:
        result = plan_sync(index, rows)
        assert len(result.removed) == gone
        assert result.ends_requests == result.removed
        return
    with pytest.raises(SyncStopped) as caught:
        plan_sync(index, rows)
    assert caught.value.reason is Reason.TOO_MANY_REMOVED
    assert (caught.value.removals, caught.value.in_force) == (gone, terminals)
    if rows:
        assert len(plan_sync(index, rows, removals_ordered=True).removed) == gone


def test_the_limit_is_of_those_in_force() -> None:
    """Terminals removed before neither raise the limit nor are removed again."""
    gone = [Sketch(f"G{n}").indexed(in_force=False) for n in range(100)]
    registry = [Sketch(f"T{n}") for n in range(20)]
    index = gone + [one.indexed() for one in registry]
    with pytest.raises(SyncStopped):
        plan_sync(index, [one.row() for one in registry[2:]])
    assert plan_sync(index, [one.row() for one in registry[1:]]).removed == ("T0",)
    strict = SyncLimits(removal_percent=0, removal_floor=0)
    with pytest.raises(SyncStopped):
        plan_sync(index, [one.row() for one in registry[1:]], limits=strict)


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("rows", [[], [FeedRow.refused("line 1", Reason.MALFORMED)]])
def test_a_feed_without_a_believed_row_removes_nothing(rows: list[FeedRow], ordered: bool) -> None:
    """An empty or unreadable feed is a broken one, even where an officer ordered removals."""
    with pytest.raises(SyncStopped):
        plan_sync([KNOWN.indexed()], rows, removals_ordered=ordered)
    assert plan_sync([], rows).added == ()


def test_a_feed_signed_by_another_key_keeps_every_terminal() -> None:
    """If every row is refused but says whose it is, all terminals stay as they are."""
    rows = [FeedRow.refused(no, Reason.WRONG_SIGNER, no) for no in ("T1", "T2")]
    result = plan_sync([KNOWN.indexed(), OTHER.indexed()], rows)
    assert (result.changed, result.unchanged, result.removed) == ((), (), ())
    assert len(result.refused) == 2
