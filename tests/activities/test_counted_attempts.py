"""Facts and counts: codes right, wrong, expired or never sent, and no guess beyond the limits.

The records judge SMS codes; approval codes are the key worker's, and the records only count.
"""

import pytest
from sqlalchemy import text

from ceremony.messages import StatementStep
from ceremony.reasons import Reason
from ceremony.stages import Stage
from ceremony.state import ATTEMPTS, CONFIRMATION_TRIES, DAILY_ATTEMPTS
from ceremony.statements import request_id_of
from records import verdicts
from tests.support.backstage import Backstage
from tests.support.recording import Recording

WRONG = "000000"
WRONG_APPROVAL = "0000"


def right(recording: Recording) -> str:
    """SMS code 1 of the request."""
    return recording.world.sms_code(recording.request)


def scope_of(recording: Recording) -> str:
    """Where the first administrator's wrong applications are counted."""
    return f"request/{recording.request_id}/{recording.world.first.kid}"


def day_of(person: str = "person-1") -> str:
    """Where a person's wrong applications of the worlds' first day are counted."""
    return f"day/{person}/20270115"


def test_a_right_code_passes_and_a_wrong_one_counts(recording: Recording) -> None:
    """One attempt of the request and of the day for a wrong code, none for the right one."""
    recording.code()
    wrong = recording.guess(WRONG)
    assert wrong.verdict.reasons == (Reason.SMS_CODE_WRONG,)
    assert (wrong.state.attempts_left, recording.used(scope_of(recording))) == (ATTEMPTS - 1, 1)
    verdict = recording.verdict(wrong.verdict.digest)
    assert verdict is not None
    assert verdict.attempts_left == ATTEMPTS - 1
    assert recording.guess(right(recording)).state.stage is Stage.AWAITING_REVIEW
    assert (recording.used(scope_of(recording)), recording.used(day_of())) == (1, 1)


def test_a_code_expires_after_ten_minutes(recording: Recording) -> None:
    """Right, but late: refused as expired."""
    recording.code()
    recording.world.pass_time(601)
    assert recording.guess(right(recording)).verdict.reasons == (Reason.SMS_CODE_EXPIRED,)


def test_a_code_that_was_never_sent_does_not_count_as_sent(recording: Recording) -> None:
    """Whoever computes code 1 before it was asked for is refused."""
    assert recording.guess(right(recording)).verdict.reasons == (Reason.SMS_CODE_NOT_SENT,)


def test_only_the_newest_code_counts(recording: Recording) -> None:
    """After a second code the first one is refused, and the other way round before it."""
    recording.code()
    second = recording.world.sms_code(recording.request, 2)
    early = recording.record(recording.filed_application(second, n=2))
    assert early.verdict.reasons == (Reason.SMS_CODE_NOT_SENT,)
    recording.world.pass_time(60)
    recording.code()
    late = recording.guess(right(recording))
    assert late.verdict.reasons == (Reason.SMS_CODE_NOT_SENT,)
    accepted = recording.record(recording.filed_application(second, n=2))
    assert accepted.verdict.accepted


@pytest.mark.parametrize("n", [0, -1, 4, 2**31 - 1])
def test_a_code_number_out_of_range_is_refused(recording: Recording, n: int) -> None:
    """There are codes 1 to 3; any other number is wrong, not a fault."""
    recording.code()
    recorded = recording.record(recording.filed_application(right(recording), n=n))
    assert Reason.SMS_CODE_WRONG in recorded.verdict.reasons


def test_the_fifth_wrong_code_ends_the_request(recording: Recording) -> None:
    """Five attempts; then FAILED, and the right code comes too late."""
    recording.code()
    left = [recording.guess(WRONG).state.attempts_left for _ in range(ATTEMPTS)]
    assert left == [4, 3, 2, 1, 0]
    row = recording.stage.row(recording.request_id)
    assert (row.stage, row.reason) == (Stage.FAILED, Reason.ATTEMPTS_EXHAUSTED)
    assert recording.guess(right(recording)).verdict.reasons == (Reason.WRONG_STAGE,)


def test_a_reset_workflow_gives_no_sixth_guess(recording: Recording) -> None:
    """The state rolled back to before the first guess: the database still counts the five."""
    recording.code()
    before = recording.state
    for _ in range(ATTEMPTS - 1):
        recording.guess(WRONG)
    recording.state = before
    assert recording.guess(WRONG).state.stage is Stage.FAILED
    recording.state = before
    sixth = recording.guess(right(recording))
    assert sixth.verdict.reasons == (Reason.WRONG_STAGE,)
    assert recording.used(scope_of(recording)) == ATTEMPTS


def test_deleted_verdicts_give_no_sixth_guess(recording: Recording) -> None:
    """Nor with the verdicts deleted as well, while the counts are there."""
    recording.code()
    before = recording.state
    for _ in range(ATTEMPTS):
        recording.guess(WRONG)
    forget(recording, "DELETE FROM verdicts WHERE kind = 'application'")
    recording.state = before
    sixth = recording.guess(right(recording))
    assert sixth.verdict.reasons == (Reason.ATTEMPTS_EXHAUSTED,)
    assert recording.used(scope_of(recording)) == ATTEMPTS


@pytest.mark.parametrize(
    "forged",
    [
        {"first_staff_no": "A1002"},
        {"attempts_left": 1_000},
        {"registry_digest": "77" * 32},
        {"stage": Stage.AWAITING_REVIEW},
        {"terminal_no": "ATM-0002"},
    ],
)
def test_forged_states_give_no_free_guess(recording: Recording, forged: dict[str, object]) -> None:
    """A state of the caller's invention is judged, and counted, as the records have it."""
    recording.code()
    for used in range(1, ATTEMPTS + 1):
        state = recording.state.model_copy(update=forged)
        wrong = recording.filed_application(WRONG)
        told = recording.records.record_statement(StatementStep(state=state, digest=wrong.digest))
        assert told.verdict.reasons == (Reason.SMS_CODE_WRONG,)
        assert recording.used(scope_of(recording)) == used
    assert recording.guess(right(recording)).verdict.reasons == (Reason.WRONG_STAGE,)


@pytest.mark.parametrize("left", [0, -5])
def test_a_forged_count_gives_no_free_guess_either(recording: Recording, left: int) -> None:
    """A state that has used up more than was used ends the request: it denies, no more."""
    recording.code()
    recording.state = recording.state.model_copy(update={"attempts_left": left})
    assert recording.guess(WRONG).state.stage is Stage.FAILED
    assert recording.used(scope_of(recording)) == 1


def test_ten_wrong_codes_of_a_day_over_several_requests(stage: Backstage) -> None:
    """A third request of the day is not even judged; one of the next day is."""
    for _ in range(2):
        recording = Recording.opened(stage)
        recording.code()
        for _ in range(DAILY_ATTEMPTS // 2):
            recording.guess(WRONG)
        assert recording.state.stage is Stage.FAILED
    assert recording.used(day_of()) == DAILY_ATTEMPTS
    third = Recording.opened(stage)
    third.code()
    refused = third.guess(right(third))
    assert refused.verdict.reasons == (Reason.DAILY_ATTEMPTS_EXHAUSTED,)
    assert (refused.state.stage, refused.state.attempts_left) == (
        Stage.AWAITING_APPLICATION,
        ATTEMPTS,
    )
    stage.world.pass_time(86_400)
    tomorrow = Recording.opened(stage)
    assert tomorrow.apply().verdict.accepted


def test_nobody_else_uses_up_the_first_administrators_attempts(recording: Recording) -> None:
    """The second administrator's guesses count for that person alone, and stop after five too."""
    world = recording.world
    recording.code()
    for n in range(ATTEMPTS + 2):
        other = recording.guess(
            WRONG, signer=world.second.signer, administrator=world.second.staff_no
        )
        assert other.verdict.reason is Reason.NOT_FIRST_ADMINISTRATOR
        assert (Reason.ATTEMPTS_EXHAUSTED in other.verdict.reasons) == (n >= ATTEMPTS)
        assert (Reason.SMS_CODE_WRONG in other.verdict.reasons) == (n < ATTEMPTS)
        verdict = recording.verdict(other.verdict.digest)
        assert verdict is not None
        assert verdict.attempts_left is None
    assert recording.state.attempts_left == ATTEMPTS
    assert (recording.used(scope_of(recording)), recording.used(day_of())) == (0, 0)
    assert recording.used(day_of("person-2")) == ATTEMPTS
    assert recording.guess(right(recording)).verdict.accepted


def test_three_mistyped_confirmations_end_the_request(recording: Recording) -> None:
    """Code or number mistyped: three tries in all, then FAILED."""
    recording.apply()
    recording.decide()
    mistyped = [
        recording.tried(WRONG_APPROVAL),
        recording.confirm(administrator=recording.world.third.staff_no),
        recording.tried(WRONG_APPROVAL),
    ]
    assert [one.state.tries_left for one in mistyped] == [2, 1, 0]
    assert [one.verdict.reason for one in mistyped] == [
        Reason.APPROVAL_CODE_WRONG,
        Reason.ADMINISTRATOR_WRONG,
        Reason.APPROVAL_CODE_WRONG,
    ]
    row = recording.stage.row(recording.request_id)
    assert (row.stage, row.reason) == (Stage.FAILED, Reason.CONFIRMATION_TRIES_EXHAUSTED)
    assert row.confirmation_digest is None
    assert recording.used(tries_of(recording)) == CONFIRMATION_TRIES


def tries_of(recording: Recording) -> str:
    """Where the request's mistyped confirmations are counted."""
    return f"confirmation/{recording.request_id}"


def test_a_mistyped_code_recorded_again_is_one_try(recording: Recording) -> None:
    """A retried activity, of the key worker's or of the records', uses up no second try."""
    recording.apply()
    recording.decide()
    before = recording.confirm(WRONG_APPROVAL).state
    told = [recording.release() for _ in range(3)]
    recording.state = before
    told.append(recording.release())
    assert {one.verdict.reasons for one in told} == {(Reason.APPROVAL_CODE_WRONG,)}
    assert {one.state.tries_left for one in told} == {CONFIRMATION_TRIES - 1}
    assert recording.used(tries_of(recording)) == 1
    assert recording.stage.journal.wrong_tries(recording.request_id) == 1


def test_a_reset_workflow_gives_no_fourth_try(recording: Recording) -> None:
    """The records, the database's count and the key worker's journal each know of the three."""
    recording.apply()
    recording.decide()
    before = recording.state
    for _ in range(CONFIRMATION_TRIES):
        recording.state = before
        recording.tried(WRONG_APPROVAL)
    recording.state = before
    assert recording.confirm().verdict.reasons == (Reason.WRONG_STAGE,)
    forget(recording, "DELETE FROM verdicts WHERE kind = 'confirmation'")
    recording.state = before
    assert recording.confirm().verdict.reasons == (Reason.CONFIRMATION_TRIES_EXHAUSTED,)
    forget(recording, "DELETE FROM verdicts WHERE kind = 'confirmation'")
    forget(recording, "DELETE FROM attempts")
    reopen = "UPDATE loading_requests SET stage = 'AWAITING_CONFIRMATION', reason = NULL"
    forget(recording, reopen)
    recording.state = before
    fourth = recording.tried()
    assert fourth.verdict.reasons == (Reason.CONFIRMATION_TRIES_EXHAUSTED,)
    assert (fourth.state.stage, fourth.state.reason) == (
        Stage.FAILED,
        Reason.CONFIRMATION_TRIES_EXHAUSTED,
    )
    assert recording.stage.journal.key_of(recording.request_id) is None


def forget(recording: Recording, sql: str) -> None:
    """Change the records as whoever owns the database does."""
    with recording.stage.database.write() as session:
        on = "" if recording.stage.database.sqlite_path else " ON verdicts"
        session.connection().execute(text(f"DROP TRIGGER IF EXISTS verdicts_refuse_delete{on}"))
        session.connection().execute(text(sql))


@pytest.mark.parametrize(
    "forged",
    [
        {},
        {"tries_left": 0},
        {"tries_left": -1},
        {"qr_digest": "77" * 32},
        {"approval_expires_at": 1},
        {"stage": Stage.AWAITING_RECEIPT, "token_digest": "77" * 32, "rewraps_left": 0},
    ],
)
def test_the_records_never_tell_whether_a_code_is_right(
    recording: Recording, forged: dict[str, object]
) -> None:
    """Whatever state is claimed: a right approval code and a wrong one are the same to them."""
    recording.apply()
    recording.decide()
    state = recording.state.model_copy(update=forged)
    told = []
    for code in (None, WRONG_APPROVAL):
        filed = recording.filed_confirmation(code)
        step = StatementStep(state=state, digest=filed.digest)
        told.append(recording.records.record_statement(step).verdict.reasons)
        forget(recording, "DELETE FROM verdicts WHERE kind = 'confirmation'")
        forget(recording, "DELETE FROM attempts WHERE scope LIKE 'confirmation/%'")
    assert told[0] == told[1]
    assert Reason.APPROVAL_CODE_WRONG not in told[0]


def test_a_code_typed_with_another_statement_is_wrong(recording: Recording) -> None:
    """The MAC of a right code is bound to its statement, request and purpose."""
    recording.code()
    world = recording.world
    application = world.application(recording.request)
    other = world.application(recording.request)
    typed = world.edge.seal(
        "sms", request_id_of(recording.request.digest), 1, other.digest, right(recording)
    )
    filed = recording.stage.file(application, code=typed, qr=world.shown_qr(recording.request))
    assert recording.record(filed).verdict.reasons == (Reason.SMS_CODE_WRONG,)


def test_a_refused_statement_leaves_the_row_as_it_was_but_for_counts(
    recording: Recording,
) -> None:
    """A wrong code moves neither stage nor version."""
    recording.code()
    recording.guess(WRONG)
    row = recording.stage.row(recording.request_id)
    assert (row.stage, row.version) == (Stage.AWAITING_APPLICATION, 1)
    with recording.stage.database.read() as session:
        assert len(verdicts.of_request(session, recording.request_id)) == 2
