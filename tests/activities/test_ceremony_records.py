"""Recording: verdict, projection, counts and audit in one transaction, found or created."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from sqlmodel import Session

from ceremony.messages import (
    EventStep,
    Recorded,
    ReleaseOutcome,
    ReleaseStep,
    SettleCommand,
    SettlementStep,
    StatementStep,
)
from ceremony.reasons import Reason
from ceremony.stages import Stage
from ceremony.state import ATTEMPTS
from records import credentialentries, terminalentries
from records.database import Database
from tests.support.backstage import Backstage
from tests.support.recording import Recording, opening_of

WRONG = "000000"


class Crash(Exception):
    """The process died before its transaction was committed."""


class DyingDatabase(Database):
    """The same file, through a process that dies just before every commit."""

    @contextmanager
    def write(self, *, quiet: bool = False) -> Iterator[Session]:
        """Do all of it, and commit nothing."""
        with super().write(quiet=quiet) as session:
            yield session
            session.flush()
            raise Crash


def everything(stage: Backstage) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables."""
    with stage.database.read() as session:
        connection = session.connection()
        return {
            name: [tuple(row) for row in connection.execute(table.select())]
            for name, table in Database.metadata.tables.items()
        }


def dying(recording: Recording) -> Recording:
    """The same request, recorded by a process that dies before every commit."""
    stage = replace(recording.stage, database=DyingDatabase(recording.stage.url))
    other = replace(recording, stage=stage)
    other.records = type(recording.records)(stage.database, recording.records._facts, stage.clock)
    return other


def require_nothing_of(recording: Recording, act: Callable[[Recording], object]) -> None:
    """The act of a process that dies before commit leaves every table as it was."""
    before = everything(recording.stage)
    victim = dying(recording)
    with pytest.raises(Crash):
        act(victim)
    victim.stage.database.close()
    assert everything(recording.stage) == before


def test_an_opening_writes_row_verdict_and_audit(recording: Recording) -> None:
    """One transaction: the row at version 1, the verdict, one event naming the terminal."""
    row = recording.stage.row(recording.request_id)
    verdict = recording.verdict(recording.request.digest)
    assert verdict is not None
    assert (row.stage, row.version, verdict.version) == (Stage.AWAITING_APPLICATION, 1, 1)
    assert (row.first_person, row.second_person) == ("person-1", "person-2")
    assert (row.registry_digest, row.opened_at) == (
        recording.world.standing().registry_digest,
        recording.world.now,
    )
    (event,) = recording.events()
    assert (event.event, event.actor_kind, event.actor) == (
        "request-accepted",
        "terminal",
        "ATM-0001",
    )


def test_every_step_is_found_when_it_is_repeated(recording: Recording) -> None:
    """A retry of any step gets the same answer and writes nothing more."""
    stage, records = recording.stage, recording.records
    opening = opening_of(recording.request)
    first = [records.record_opening(opening)]
    assert first[0].state == recording.state
    steps: list[Callable[[], Any]] = [lambda: records.record_opening(opening)]

    def keep(submission_digest: str, recorded: Recorded, before: Any) -> None:
        step = StatementStep(state=before, digest=submission_digest)
        steps.append(lambda: records.record_statement(step))
        first.append(recorded)

    recording.code()
    before = recording.state
    wrong = recording.filed_application(WRONG)
    keep(wrong.digest, recording.record(wrong), before)
    before = recording.state
    applied = recording.filed_application(recording.world.sms_code(recording.request))
    keep(applied.digest, recording.record(applied), before)
    before = recording.state
    decided = recording.decide()
    keep(decided.verdict.digest, decided, before)
    recording.confirm()
    assert recording.confirmation is not None
    outcome = stage.release().release(recording.command())
    step = ReleaseStep(state=recording.state, digest=recording.confirmation.digest, outcome=outcome)
    released = records.record_release(step)
    recording.state = released.state
    receipt = recording.filed_receipt()
    before = recording.state
    keep(receipt.digest, recording.record(receipt), before)
    rows = everything(stage)
    for again, known in zip(steps[1:], first[1:], strict=True):
        answer = again()
        assert answer.verdict.accepted == known.verdict.accepted
        assert answer.verdict.reason == known.verdict.reason
        assert answer.state == known.state
    assert records.record_release(step) == released
    assert records.record_opening(opening).verdict == first[0].verdict
    assert everything(stage) == rows


def test_a_crash_before_commit_leaves_nothing(recording: Recording) -> None:
    """Opening, refusal with its counts, acceptance, release, settlement, deadline: all or none."""
    world = recording.world
    another = world.request(about=world.other)
    recording.stage.file(another)
    require_nothing_of(recording, lambda r: r.records.record_opening(opening_of(another)))
    recording.code()
    wrong = recording.filed_application(WRONG)
    require_nothing_of(recording, lambda r: r.record(wrong))
    assert recording.record(wrong).state.attempts_left == ATTEMPTS - 1
    right = recording.filed_application(world.sms_code(recording.request))
    require_nothing_of(recording, lambda r: r.record(right))
    recording.record(right)
    deadline = EventStep(state=recording.state, event="deadline")
    require_nothing_of(recording, lambda r: r.records.record_event(deadline))
    recording.decide()
    confirmation = recording.filed_confirmation()
    require_nothing_of(recording, lambda r: r.record(confirmation))
    recording.record(confirmation)
    outcome = recording.stage.release().release(recording.command())
    step = ReleaseStep(state=recording.state, digest=confirmation.digest, outcome=outcome)
    require_nothing_of(recording, lambda r: r.records.record_release(step))
    recording.state = recording.records.record_release(step).state
    recording.record(recording.filed_receipt())
    settled = settlement_of(recording)
    require_nothing_of(recording, lambda r: r.records.record_settlement(settled))
    assert recording.records.record_settlement(settled).stage is Stage.LOADED


def settlement_of(recording: Recording) -> SettlementStep:
    """Let the key worker settle by the recorded receipt, and give what is to be recorded."""
    command = SettleCommand(
        request_id=recording.request_id,
        terminal_no=recording.state.terminal_no,
        receipt=recording.state.receipt_digest,
    )
    said = recording.stage.settlement().settle(command)
    return SettlementStep(state=recording.state, settlement=said)


def test_a_confirmation_has_no_verdict_before_the_key_worker_answered(
    recording: Recording,
) -> None:
    """Checked, it leaves an audit event; accepted it is only with a token."""
    recording.apply()
    recording.decide()
    checked = recording.confirm()
    assert checked.verdict.accepted
    assert recording.verdict(checked.verdict.digest) is None
    assert recording.stage.row(recording.request_id).stage is Stage.AWAITING_CONFIRMATION
    assert recording.events()[-1].event == "confirmation-checked"
    released = recording.release()
    verdict = recording.verdict(checked.verdict.digest)
    assert verdict is not None
    assert (verdict.accepted, verdict.stage) == (True, Stage.AWAITING_RECEIPT)
    assert recording.stage.row(recording.request_id).token_digest == released.state.token_digest


@pytest.mark.parametrize("said", [Reason.SEQ_LOWERED, None])
def test_a_refused_release_ends_the_request(recording: Recording, said: Reason | None) -> None:
    """The key worker's reason is the verdict's and the request's; silence is a refusal too."""
    recording.apply()
    recording.decide()
    checked = recording.confirm()
    outcome = ReleaseOutcome(refused=said)
    step = ReleaseStep(state=recording.state, digest=checked.verdict.digest, outcome=outcome)
    recorded = recording.records.record_release(step)
    reason = said or Reason.RELEASE_REFUSED
    assert (recorded.verdict.reason, recorded.state.stage) == (reason, Stage.FAILED)
    row = recording.stage.row(recording.request_id)
    assert (row.stage, row.reason) == (Stage.FAILED, reason)
    assert recording.records.record_release(step) == recorded


def test_the_audit_trail_tells_who_did_what_with_which_outcome(recording: Recording) -> None:
    """Staff numbers and reason codes of every step; no code, number or token."""
    recording.code()
    recording.guess(WRONG)
    recording.guess(recording.world.sms_code(recording.request))
    recording.decide()
    recording.confirm()
    recording.release()
    recording.record(recording.filed_receipt())
    recording.records.record_settlement(settlement_of(recording))
    told = [(one.event, one.actor_kind.value, one.actor, one.reason) for one in recording.events()]
    assert told == [
        ("request-accepted", "terminal", "ATM-0001", None),
        ("application-refused", "administrator", "A1001", "sms-code-wrong"),
        ("application-accepted", "administrator", "A1001", None),
        ("decision-accepted", "administrator", "A1002", None),
        ("confirmation-checked", "terminal", "ATM-0001", None),
        ("confirmation-accepted", "terminal", "ATM-0001", None),
        ("receipt-accepted", "terminal", "ATM-0001", None),
        ("key-settled", "key-worker", None, "loaded"),
    ]
    details = " ".join(one.detail for one in recording.events())
    for secret in (
        recording.world.sms_code(recording.request),
        recording.world.approval_code(recording.request),
        recording.world.first.number,
        recording.stage.journal.kcv_of(recording.request_id),
    ):
        assert f'"{secret}"' not in details


def test_an_opening_whose_statement_is_missing_makes_no_row(recording: Recording) -> None:
    """Forged by whoever writes to Temporal: FAILED at once, and no row, verdict or event."""
    before = everything(recording.stage)
    known = opening_of(recording.request)
    for forged in (
        known.model_copy(update={"digest": "77" * 32}),
        known.model_copy(update={"digest": "77" * 32, "terminal_no": "ATM-0002"}),
    ):
        recorded = recording.records.record_opening(forged)
        assert (recorded.state.stage, recorded.verdict.reason) == (
            Stage.FAILED,
            Reason.STATEMENT_MISSING,
        )
    assert everything(recording.stage) == before


def test_a_statement_of_a_request_without_a_row_is_answered_once_it_has_ended(
    recording: Recording,
) -> None:
    """A genuine request that met a forged workflow gets its verdict, and the workflow closes."""
    forged = opening_of(recording.request).model_copy(update={"digest": "77" * 32})
    state = recording.records.record_opening(forged).state
    state = state.model_copy(update={"request_id": "A" * 24})
    genuine = recording.world.request()
    recording.stage.file(genuine)
    recorded = recording.records.record_statement(StatementStep(state=state, digest=genuine.digest))
    assert recorded.verdict.reason is Reason.WRONG_STAGE
    verdict = recording.verdict(genuine.digest)
    assert verdict is not None
    assert (verdict.reason, verdict.version) == (Reason.WRONG_STAGE, 0)


@pytest.mark.parametrize("bend", ["unknown terminal", "another device", "no administrator"])
def test_an_opening_that_is_refused_is_kept_with_its_reason(stage: Backstage, bend: str) -> None:
    """A request by a wrong key or with an incomplete registry ends FAILED, with a row."""
    world = stage.world
    request = world.request(signer=world.other.device if bend == "another device" else None)
    if bend != "another device":
        with stage.database.write() as session:
            if bend == "unknown terminal":
                terminalentries.withdraw_terminal(session, "ATM-0001", now=world.now)
            else:
                first = world.standing().first.digest
                credentialentries.revoke_credential(session, first, now=world.now)
    recording = Recording.opened(stage, request)
    row = stage.row(recording.request_id)
    expected = {
        "unknown terminal": Reason.UNKNOWN_KEY,
        "another device": Reason.UNKNOWN_KEY,
        "no administrator": Reason.REGISTRY_INCOMPLETE,
    }[bend]
    assert (row.stage, row.reason, recording.state.stage) == (
        Stage.FAILED,
        expected,
        Stage.FAILED,
    )
    verdict = recording.verdict(request.digest)
    assert verdict is not None
    assert (verdict.accepted, verdict.reason) == (False, expected)


def test_a_passed_deadline_is_recorded_once(recording: Recording) -> None:
    """EXPIRED, one event; recorded again nothing changes."""
    step = EventStep(state=recording.state, event="deadline")
    ended = recording.records.record_event(step)
    assert recording.records.record_event(step) == ended
    assert (ended.stage, recording.stage.row(recording.request_id).stage) == (
        Stage.EXPIRED,
        Stage.EXPIRED,
    )
    assert [one.event for one in recording.events()] == ["request-accepted", "deadline-passed"]


def test_a_changed_registry_ends_the_request_and_an_unchanged_one_does_not(
    recording: Recording,
) -> None:
    """The activity looks at the registry itself, whoever says that it changed."""
    step = EventStep(state=recording.state, event="registry")
    assert recording.records.record_event(step) == recording.state
    world = recording.world
    world.terminal_envelopes["ATM-0001"] = world.terminal_entry(seq=2)
    recording.stage.register()
    ended = recording.records.record_event(step)
    assert (ended.stage, ended.reason) == (Stage.FAILED, Reason.REGISTRY_CHANGED)
    assert [one.event for one in recording.events()] == ["request-accepted", "registry-changed"]
