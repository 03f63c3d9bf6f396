"""The reducer: what each statement and event makes of a loading request, and what it leaves."""

from collections.abc import Callable

import pytest

from ceremony.checks import Facts
from ceremony.reasons import Reason
from ceremony.reducer import (
    TransitionError,
    expired,
    late,
    open_request,
    registry_changed,
    release_refused,
    released,
    settled,
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


def test_repeats_change_nothing() -> None:
    """A terminal that restarted asks again: accepted in every open stage, without effect."""
    for stage in OPEN:
        drive = drive_to(stage)
        before = drive.state
        assert drive.submit(drive.world.request()).accepted
        assert drive.state == before
