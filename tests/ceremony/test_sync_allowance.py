"""How many terminals one run of the synchronisation may remove, to the last one."""

import pytest

from ceremony.reasons import Reason
from ceremony.syncplan import SyncLimits, SyncStopped, plan_sync
from ceremony.syncrows import FeedRow


@pytest.mark.parametrize(
    ("in_force", "allowed"),
    [(0, 1), (1, 1), (19, 1), (20, 1), (39, 1), (40, 2), (99, 4), (100, 5), (119, 5), (120, 6)],
)
def test_five_percent_and_at_least_one(in_force: int, allowed: int) -> None:
    """A removal of over 5 % stops; the share is rounded down, and one is always allowed."""
    assert SyncLimits().allowance(in_force) == allowed


def test_a_row_without_entry_and_reason_is_malformed() -> None:
    """A row that nobody could read is refused under a reason all the same."""
    plan = plan_sync([], [FeedRow("row 1", None, None, None)])
    assert [(one.position, one.reason) for one in plan.refused] == [("row 1", Reason.MALFORMED)]


def test_a_stopped_run_says_how_much_it_would_have_removed() -> None:
    """The officer who looks at it reads both numbers."""
    stopped = SyncStopped(Reason.TOO_MANY_REMOVED, removals=3, in_force=40)
    assert str(stopped) == "too-many-removed: 3 of 40"
    assert (stopped.reason, stopped.removals, stopped.in_force) == (
        Reason.TOO_MANY_REMOVED,
        3,
        40,
    )
