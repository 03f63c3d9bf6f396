"""Which statements Temporal has taken lately."""

import pytest

from api.signalled import AGAIN_AFTER, AT_MOST, Signalled

NOW = 1_800_000_000


@pytest.mark.parametrize(
    ("passed", "lately"),
    [(0, True), (AGAIN_AFTER - 1, True), (AGAIN_AFTER, False), (-1, False)],
)
def test_a_signal_counts_for_its_seconds_only(passed: int, lately: bool) -> None:
    """Neither after them nor before it: a clock that was set back delays no statement."""
    signalled = Signalled()
    signalled.note("a", NOW)
    assert signalled.lately("a", NOW + passed) is lately
    assert not signalled.lately("b", NOW + passed)


def test_the_oldest_are_forgotten_first() -> None:
    """The memory has an end; what was signalled again is young again."""
    signalled = Signalled()
    for n in range(AT_MOST):
        signalled.note(str(n), NOW)
    signalled.note("0", NOW)
    signalled.note("one more", NOW)
    assert signalled.lately("0", NOW)
    assert not signalled.lately("1", NOW)
    assert signalled.lately("one more", NOW)
