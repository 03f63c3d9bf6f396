"""Attempts, tries, re-wraps and SMS codes as the reducer counts them: never more than so many."""

import pytest

from ceremony.checks import RESEND_SECONDS
from ceremony.reasons import Reason
from ceremony.reducer import TransitionError, code_due, code_sent, released
from ceremony.stages import Stage
from ceremony.state import ATTEMPTS, CONFIRMATION_TRIES, REWRAPS
from tests.support.drive import Drive, drive_to
from tests.support.world import SAMPLE_DIGEST, World


def test_five_wrong_applications_fail_the_request() -> None:
    """Each counts down; the fifth ends it, and a right one in between ends the counting."""
    drive = Drive.open(World.make())
    drive.code_sent()
    left = []
    for _ in range(ATTEMPTS):
        drive.submit(drive.world.application(drive.request), code_right=False)
        left.append(drive.state.attempts_left)
    assert left == [4, 3, 2, 1, 0]
    assert (drive.state.stage, drive.state.reason) == (Stage.FAILED, Reason.ATTEMPTS_EXHAUSTED)


def test_a_right_application_after_four_wrong_ones_is_accepted() -> None:
    """The fifth attempt is an attempt."""
    drive = Drive.open(World.make())
    drive.code_sent()
    for _ in range(ATTEMPTS - 1):
        drive.submit(drive.world.application(drive.request), code_right=False)
    drive.submit(drive.world.application(drive.request))
    assert drive.state.stage is Stage.AWAITING_REVIEW


def test_resending_resets_no_count() -> None:
    """A new SMS code is no new set of attempts, nor is a count that the database remembers."""
    drive = Drive.open(World.make())
    drive.code_sent()
    drive.submit(drive.world.application(drive.request), code_right=False)
    drive.world.pass_time(RESEND_SECONDS)
    drive.code_sent()
    assert drive.state.attempts_left == 4
    drive.submit(drive.world.application(drive.request), code_right=False, attempts=3)
    assert drive.state.attempts_left == 1


def test_nobody_uses_up_anothers_attempts() -> None:
    """Wrong applications of other people change nothing at all."""
    drive = Drive.open(World.make())
    drive.code_sent()
    before = drive.state
    world = drive.world
    for signer in (world.second.signer, world.third.signer, world.terminal.device):
        for _ in range(ATTEMPTS + 1):
            verdict = drive.submit(
                world.application(drive.request, signer=signer), code_right=False
            )
            assert verdict.reason is Reason.NOT_FIRST_ADMINISTRATOR
    assert drive.state == before


def test_the_daily_limit_counts_nothing_further() -> None:
    """A person past the day's limit is refused, without using up this request."""
    drive = Drive.open(World.make())
    drive.code_sent()
    before = drive.state
    verdict = drive.submit(drive.world.application(drive.request), daily_attempts=10)
    assert verdict.reason is Reason.DAILY_ATTEMPTS_EXHAUSTED
    assert drive.state == before


def test_three_mistyped_confirmations_fail_the_request() -> None:
    """A number or a code mistyped may be repeated, three times in all, whoever judged it."""
    drive = drive_to(Stage.AWAITING_CONFIRMATION)
    assert drive.application is not None
    drive.mistype()
    drive.submit(drive.world.confirmation(drive.application, administrator="A1003"))
    assert (drive.state.stage, drive.state.tries_left) == (Stage.AWAITING_CONFIRMATION, 1)
    drive.mistype()
    assert (drive.state.stage, drive.state.reason) == (
        Stage.FAILED,
        Reason.CONFIRMATION_TRIES_EXHAUSTED,
    )


def test_a_mistyped_confirmation_leaves_nothing_but_its_count() -> None:
    """The state does not rest on it, nor does it end on it."""
    drive = drive_to(Stage.AWAITING_CONFIRMATION)
    before = drive.state
    drive.mistype()
    assert drive.state == before.model_copy(update={"tries_left": CONFIRMATION_TRIES - 1})
    assert drive.state.confirmation_digest is None


def test_tries_that_the_database_counted_count() -> None:
    """A workflow that was reset gets no try back, of the code no more than of the number."""
    drive = drive_to(Stage.AWAITING_CONFIRMATION)
    drive.mistype(tries=2)
    assert drive.state.reason is Reason.CONFIRMATION_TRIES_EXHAUSTED
    drive = drive_to(Stage.AWAITING_CONFIRMATION)
    assert drive.application is not None
    drive.submit(drive.world.confirmation(drive.application, administrator="A1003"), tries=2)
    assert drive.state.reason is Reason.CONFIRMATION_TRIES_EXHAUSTED


def test_a_confirmation_after_two_mistyped_ones_is_accepted() -> None:
    """The third try is a try."""
    drive = drive_to(Stage.AWAITING_CONFIRMATION)
    for _ in range(2):
        drive.mistype()
    drive.confirm()
    assert drive.verdicts[-1].accepted
    drive.release()
    assert drive.state.stage is Stage.AWAITING_RECEIPT


@pytest.mark.parametrize(
    "said",
    [
        {"qr_digest": SAMPLE_DIGEST},
        {"epp_fingerprint": SAMPLE_DIGEST},
        {"terminal_no": "ATM-0002"},
    ],
    ids=lambda said: next(iter(said)),
)
def test_any_other_refused_confirmation_is_final(said: dict[str, str]) -> None:
    """The terminal itself said something that cannot be a slip of the finger."""
    drive = drive_to(Stage.AWAITING_CONFIRMATION)
    assert drive.application is not None
    device = drive.world.terminal.device
    drive.submit(drive.world.confirmation(drive.application, signer=device, **said))
    assert drive.state.stage is Stage.FAILED
    assert drive.state.reason is drive.verdicts[-1].reason


def test_a_confirmation_by_another_key_changes_nothing() -> None:
    """Whoever is not the terminal cannot fail its request."""
    drive = drive_to(Stage.AWAITING_CONFIRMATION)
    assert drive.application is not None
    before = drive.state
    world = drive.world
    for signer in (world.other.device, world.first.signer, world.third.signer):
        drive.submit(world.confirmation(drive.application, signer=signer))
        assert drive.verdicts[-1].reason is Reason.WRONG_SIGNATORY
    assert drive.state == before


def test_the_same_key_is_wrapped_again_three_times_at_most() -> None:
    """Each re-wrap replaces the token's digest; the fourth is refused and changes nothing."""
    drive = drive_to(Stage.AWAITING_RECEIPT)
    for n in range(REWRAPS):
        drive.confirm()
        assert drive.verdicts[-1].accepted
        drive.release(f"{n:064x}")
    assert (drive.state.stage, drive.state.rewraps_left) == (Stage.AWAITING_RECEIPT, 0)
    before = drive.state
    drive.confirm()
    assert drive.verdicts[-1].reason is Reason.REWRAPS_EXHAUSTED
    assert drive.state == before
    with pytest.raises(TransitionError):
        released(drive.state, SAMPLE_DIGEST, SAMPLE_DIGEST)


def test_a_refused_confirmation_after_release_ends_nothing() -> None:
    """The key exists: a slip at the terminal does not lose it."""
    drive = drive_to(Stage.AWAITING_RECEIPT)
    assert drive.application is not None
    rests_on = drive.state.confirmation_digest
    for _ in range(CONFIRMATION_TRIES):
        drive.mistype()
    drive.confirm()
    assert drive.verdicts[-1].reason is Reason.CONFIRMATION_TRIES_EXHAUSTED
    drive.submit(drive.world.confirmation(drive.application, qr_digest=SAMPLE_DIGEST))
    assert (drive.state.stage, drive.state.tries_left) == (Stage.AWAITING_RECEIPT, 0)
    assert drive.state.confirmation_digest == rests_on


def test_an_sms_code_is_due_in_order_and_not_too_soon() -> None:
    """A further one of three, after a minute, while an application is awaited."""
    drive = Drive.open(World.make())
    now = drive.world.now
    assert [code_due(drive.state, n, now, RESEND_SECONDS) for n in range(5)] == [
        False,
        True,
        True,
        True,
        False,
    ]
    drive.code_sent()
    assert not code_due(drive.state, 1, now + 3_600, RESEND_SECONDS)
    assert not code_due(drive.state, 2, now + RESEND_SECONDS - 1, RESEND_SECONDS)
    assert code_due(drive.state, 2, now + RESEND_SECONDS, RESEND_SECONDS)
    assert not code_due(drive_to(Stage.AWAITING_REVIEW).state, 2, now + 3_600, RESEND_SECONDS)


def test_a_code_that_was_passed_over_counts_as_sent() -> None:
    """Code 2 was asked for and never sent: after code 3 only code 3 is the newest."""
    state = code_sent(Drive.open(World.make()).state, 100)
    assert code_sent(state, 200, 3).codes_sent_at == (100, 200, 200)
    assert code_sent(state, 200).codes_sent_at == (100, 200)
