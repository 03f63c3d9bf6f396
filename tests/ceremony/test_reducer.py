"""The reducer: what each statement and event makes of a loading request, and what it leaves."""

import itertools
from collections.abc import Callable

import pytest

from ceremony.checks import RESEND_SECONDS, Facts
from ceremony.reasons import Reason
from ceremony.reducer import (
    TransitionError,
    code_due,
    code_sent,
    expired,
    further,
    late,
    open_request,
    registry_changed,
    release_refused,
    released,
    settled,
    spent,
)
from ceremony.stages import FINAL, OPEN, Stage
from ceremony.state import ATTEMPTS, CONFIRMATION_TRIES, REWRAPS
from ceremony.statements import Kind, request_id_of
from tests.support.drive import Drive, drive_to
from tests.support.world import FORMATS, SAMPLE_DIGEST, SAMPLE_KCV, World


def test_the_ceremony_goes_through() -> None:
    """Request, application, decision, confirmation, release, receipt: LOADED, with its KCV."""
    drive = drive_to(Stage.LOADED)
    assert all(verdict.accepted for verdict in drive.verdicts)
    state = drive.state
    assert (state.reason, state.kcv, state.final) == (Reason.LOADED, SAMPLE_KCV, True)
    assert drive.application is not None
    assert state.application_digest == drive.application.digest
    assert state.qr_digest == drive.application.payload.qr_digest
    assert state.token_digest == SAMPLE_DIGEST


def test_a_request_opens_with_what_it_rests_on() -> None:
    """The state holds ids, digests and staff numbers, and starts the counts."""
    world = World.make()
    drive = Drive.open(world)
    state = drive.state
    assert state.stage is Stage.AWAITING_APPLICATION
    assert state.request_id == request_id_of(drive.request.digest)
    assert state.registry_digest == drive.standing.registry_digest
    assert (state.first_staff_no, state.second_staff_no) == ("A1001", "A1002")
    assert (state.attempts_left, state.tries_left, state.rewraps_left) == (
        ATTEMPTS,
        CONFIRMATION_TRIES,
        REWRAPS,
    )
    assert state.opened_at == world.now


def test_a_request_without_a_registry_fails_at_once() -> None:
    """It is answered all the same: FAILED, with the reason."""
    world = World.make()
    request = world.request()
    facts = Facts(now=world.now, terminal=None, standing=None, formats=frozenset(FORMATS))
    state, verdict = open_request(request, facts)
    assert (state.stage, state.reason) == (Stage.FAILED, Reason.REGISTRY_INCOMPLETE)
    assert not verdict.accepted


def test_the_state_holds_no_secret() -> None:
    """No number, code, key or QR text travels in a workflow's payload."""
    drive = drive_to(Stage.LOADED)
    written = drive.state.model_dump_json()
    world = drive.world
    for secret in (
        world.first.number,
        world.second.number,
        world.sms_code(drive.request),
        world.qr_token(drive.request),
    ):
        assert secret not in written


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


def test_what_the_key_worker_refuses_is_final_before_release_only() -> None:
    """Before there is a key the request fails; afterwards only the re-wrap does."""
    drive = drive_to(Stage.AWAITING_CONFIRMATION)
    drive.confirm()
    failed = release_refused(drive.state, Reason.REGISTRY_CHANGED)
    assert (failed.stage, failed.reason) == (Stage.FAILED, Reason.REGISTRY_CHANGED)
    drive.release()
    assert release_refused(drive.state, Reason.REGISTRY_CHANGED) == drive.state


def test_a_receipt_settles_only_through_the_key_worker() -> None:
    """An accepted receipt waits; active is LOADED, anything else UNCONFIRMED without a KCV."""
    drive = drive_to(Stage.AWAITING_RECEIPT)
    assert drive.confirmation is not None
    drive.submit(drive.world.receipt(drive.confirmation))
    assert drive.state.stage is Stage.AWAITING_RECEIPT
    loaded = settled(drive.state, active=True, reason=Reason.LOADED, kcv=SAMPLE_KCV)
    assert (loaded.stage, loaded.kcv) == (Stage.LOADED, SAMPLE_KCV)
    lost = settled(drive.state, active=False, reason=Reason.KCV_WRONG, kcv=None)
    assert (lost.stage, lost.reason, lost.kcv) == (Stage.UNCONFIRMED, Reason.KCV_WRONG, None)


@pytest.mark.parametrize("stage", sorted(OPEN))
def test_a_deadline_ends_each_open_stage(stage: Stage) -> None:
    """EXPIRED before release; after it the key is unconfirmed, never destroyed."""
    after = expired(drive_to(stage).state)
    if stage is Stage.AWAITING_RECEIPT:
        assert (after.stage, after.reason) == (Stage.UNCONFIRMED, Reason.RECEIPT_MISSING)
        assert after.token_digest is not None
    else:
        assert (after.stage, after.reason) == (Stage.EXPIRED, Reason.EXPIRED)


@pytest.mark.parametrize("stage", sorted(OPEN))
def test_a_changed_registry_ends_each_open_stage(stage: Stage) -> None:
    """Whether it says something else or nothing; the same digest changes nothing."""
    state = drive_to(stage).state
    assert registry_changed(state, state.registry_digest) == state
    for present in (SAMPLE_DIGEST, None):
        after = registry_changed(state, present)
        assert after.reason is Reason.REGISTRY_CHANGED
        released_key = stage is Stage.AWAITING_RECEIPT
        assert after.stage is (Stage.UNCONFIRMED if released_key else Stage.FAILED)


@pytest.mark.parametrize("stage", sorted(FINAL))
def test_no_event_leaves_a_final_stage(stage: Stage) -> None:
    """Events at an ended request are faults of ours, or without effect."""
    state = drive_to(stage).state
    assert registry_changed(state, None) == state
    events: list[Callable[[], object]] = [
        lambda: expired(state),
        lambda: released(state, SAMPLE_DIGEST, SAMPLE_DIGEST),
        lambda: release_refused(state, Reason.REGISTRY_CHANGED),
        lambda: release_refused(state, Reason.APPROVAL_CODE_WRONG),
        lambda: settled(state, active=True, reason=Reason.LOADED, kcv=SAMPLE_KCV),
    ]
    for event in events:
        with pytest.raises(TransitionError):
            event()


def test_no_key_before_approval_and_no_settlement_without_a_receipt() -> None:
    """Even an event from the key worker cannot skip the stage or statement that it answers."""
    for stage in (Stage.AWAITING_APPLICATION, Stage.AWAITING_REVIEW):
        state = drive_to(stage).state
        with pytest.raises(TransitionError):
            released(state, SAMPLE_DIGEST, SAMPLE_DIGEST)
        for reason in (Reason.REGISTRY_CHANGED, Reason.APPROVAL_CODE_WRONG):
            with pytest.raises(TransitionError):
                release_refused(state, reason)
        with pytest.raises(TransitionError):
            settled(state, active=True, reason=Reason.LOADED, kcv=SAMPLE_KCV)
    loading = drive_to(Stage.AWAITING_RECEIPT).state
    with pytest.raises(TransitionError):
        settled(loading, active=False, reason=Reason.KCV_WRONG, kcv=None)


def test_an_active_key_is_loaded_though_its_receipt_came_elsewhere() -> None:
    """The key worker verified a receipt that this run of the workflow never saw."""
    loading = drive_to(Stage.AWAITING_RECEIPT).state
    loaded = settled(loading, active=True, reason=Reason.LOADED, kcv=SAMPLE_KCV)
    assert (loaded.stage, loaded.kcv, loaded.receipt_digest) == (Stage.LOADED, SAMPLE_KCV, None)


def test_a_release_rests_on_the_confirmation_that_it_answers() -> None:
    """The first token's, then that of each re-wrap."""
    drive = drive_to(Stage.AWAITING_RECEIPT)
    for _ in range(2):
        assert drive.confirmation is not None
        assert drive.state.confirmation_digest == drive.confirmation.digest
        drive.confirm()
        drive.release()


def test_a_rejection_is_final_and_keeps_its_decision() -> None:
    """The decision's digest stays, for the evidence."""
    drive = drive_to(Stage.REJECTED)
    assert drive.decision is not None
    assert drive.state.decision_digest == drive.decision.digest
    assert drive.state.reason is Reason.REJECTED


def test_a_cancellation_says_by_whom() -> None:
    """The terminal or an administrator: two reasons."""
    for signer, reason in (
        ("terminal", Reason.CANCELLED_BY_TERMINAL),
        ("first", Reason.CANCELLED_BY_ADMINISTRATOR),
        ("second", Reason.CANCELLED_BY_ADMINISTRATOR),
    ):
        drive = drive_to(Stage.AWAITING_REVIEW)
        one = getattr(drive.world, signer)
        by = one.device if signer == "terminal" else one.signer
        drive.submit(drive.world.cancellation(drive.request, signer=by))
        assert (drive.state.stage, drive.state.reason) == (Stage.CANCELLED, reason)


def test_a_late_statement_is_answered() -> None:
    """`wrong-stage`, and the state as it was."""
    state = drive_to(Stage.LOADED).state
    after = late(state, Kind.DECISION, SAMPLE_DIGEST)
    assert after.state == state
    assert after.verdict.reasons == (Reason.WRONG_STAGE,)


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


def test_repeats_change_nothing() -> None:
    """A terminal that restarted asks again: accepted in every open stage, without effect."""
    for stage in OPEN:
        drive = drive_to(stage)
        before = drive.state
        assert drive.submit(drive.world.request()).accepted
        assert drive.state == before


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
