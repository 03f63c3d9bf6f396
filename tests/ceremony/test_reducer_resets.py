"""Two states of one request, after a reset or by somebody's claim: which of them counts."""

import itertools

from ceremony.reducer import further, spent
from ceremony.stages import Stage
from tests.support.drive import drive_to


def test_of_two_states_the_further_one_counts() -> None:
    """A workflow that was reset never goes back, whichever state it compares with which."""
    path = [
        drive_to(stage).state
        for stage in (
            Stage.AWAITING_APPLICATION,
            Stage.AWAITING_REVIEW,
            Stage.AWAITING_CONFIRMATION,
            Stage.AWAITING_RECEIPT,
            Stage.LOADED,
        )
    ]
    for earlier, later in itertools.pairwise(path):
        assert further(earlier, later) == further(later, earlier) == later
    tried = path[0].model_copy(update={"attempts_left": 3})
    assert further(tried, path[0]) == further(path[0], tried) == tried


def test_of_two_states_nothing_that_was_used_comes_back() -> None:
    """After a reset the state that got further goes on, with what either of them had used up."""
    drive = drive_to(Stage.AWAITING_APPLICATION)
    fresh = drive.state
    sent = fresh.model_copy(update={"codes_sent_at": (1, 2)})
    judged = fresh.model_copy(update={"codes_sent_at": (1,), "attempts_left": 4})
    merged = further(sent, judged)
    assert (merged.codes_sent_at, merged.attempts_left) == ((1, 2), 4)
    assert further(judged, sent) == merged


def test_of_a_claimed_state_only_what_was_used_up_counts() -> None:
    """Stage and digests are the first state's; tries of either are spent, codes of either sent."""
    here = drive_to(Stage.AWAITING_REVIEW).state
    claimed = drive_to(Stage.LOADED).state.model_copy(
        update={"attempts_left": 2, "tries_left": 1, "rewraps_left": 0, "codes_sent_at": (1, 2)}
    )
    expected = {"attempts_left": 2, "tries_left": 1, "rewraps_left": 0, "codes_sent_at": (1, 2)}
    assert spent(here, claimed) == here.model_copy(update=expected)
    richer = here.model_copy(update={"attempts_left": 99, "tries_left": 99, "rewraps_left": 99})
    assert spent(here, richer) == here
