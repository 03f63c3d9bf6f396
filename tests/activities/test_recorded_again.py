"""A second workflow of a request, statements of other requests, and rows that someone edited."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlmodel import Session

from ceremony.messages import EventStep, Recorded, SettleCommand, SettlementStep, StatementStep
from ceremony.reasons import Reason
from ceremony.stages import Stage
from ceremony.statements import Kind, request_id_of
from ceremony.verification import Verified
from records import credentialentries, submissions
from records.projector import ProjectionMissing
from records.tables.submission import SubmissionRow
from tests.support.backstage import Backstage
from tests.support.recording import Recording, opening_of


def loaded(recording: Recording) -> Recorded:
    """End a request LOADED."""
    recording.released()
    recorded = recording.record(recording.filed_receipt())
    command = SettleCommand(
        request_id=recording.request_id,
        terminal_no=recording.state.terminal_no,
        receipt=recording.state.receipt_digest,
    )
    said = recording.stage.settlement().settle(command)
    step = SettlementStep(state=recording.state, settlement=said)
    recording.state = recording.records.record_settlement(step)
    return recorded


def cancelled(recording: Recording) -> Recorded:
    """End a request CANCELLED."""
    cancellation = recording.world.cancellation(recording.request)
    return recording.record(recording.stage.file(cancellation))


def expired(recording: Recording) -> None:
    """End a request EXPIRED, which no statement tells of."""
    step = EventStep(state=recording.state, event="deadline")
    recording.state = recording.records.record_event(step)


@pytest.mark.parametrize("end", [loaded, cancelled, expired])
def test_a_second_workflow_of_an_ended_request_ends_the_same_way(
    recording: Recording, end: Callable[[Recording], object]
) -> None:
    """Started again with the same statement it gets the end back, and the row does not move."""
    end(recording)
    row = recording.stage.row(recording.request_id)
    again = recording.records.record_opening(opening_of(recording.request))
    assert (again.state.stage, again.state.reason) == (row.stage, row.reason)
    assert (again.state.token_digest, again.state.kcv) == (row.token_digest, row.kcv)
    assert again.state.final
    assert again.verdict.accepted
    assert recording.stage.row(recording.request_id) == row


@pytest.mark.parametrize("end", [loaded, cancelled, expired])
def test_no_state_brings_an_ended_row_back(
    recording: Recording, end: Callable[[Recording], object]
) -> None:
    """Whoever reset the workflow to before the end: what it records leaves the row where it is."""
    opened = recording.state
    end(recording)
    row = recording.stage.row(recording.request_id)
    recording.state = opened
    recording.apply()
    recording.decide()
    expired(recording)
    assert recording.stage.row(recording.request_id) == row


def test_a_second_workflow_goes_on_where_the_first_one_was(recording: Recording) -> None:
    """Terminated after the approval and started again: it still awaits the confirmation."""
    recording.apply()
    approved = recording.decide().state
    again = recording.records.record_opening(opening_of(recording.request))
    assert again.state == approved


def test_a_repeated_request_goes_on_in_the_same_stage(recording: Recording) -> None:
    """The terminal restarted: its new request is accepted and changes nothing of the old one."""
    recording.apply()
    another = recording.world.request()
    recorded = recording.record(recording.stage.file(another))
    assert recorded.verdict.accepted
    assert recorded.state.stage is Stage.AWAITING_REVIEW
    verdict = recording.verdict(another.digest)
    assert verdict is not None
    assert verdict.request_id == recording.request_id


def dropped(recording: Recording, digest: str, reason: Reason) -> None:
    """A signal of this digest is dropped: an event, no verdict, the state as it was."""
    before, events = recording.state, len(recording.events())
    recorded = recording.records.record_statement(StatementStep(state=before, digest=digest))
    assert (recorded.state, recorded.verdict.reasons) == (before, (reason,))
    (event,) = recording.events()[events:]
    assert (event.event, event.reason) == ("signal-dropped", reason)


def test_a_missing_statement_is_dropped(recording: Recording) -> None:
    """A forged signal leaves an event, and no verdict that would stand in a later one's way."""
    dropped(recording, "77" * 32, Reason.STATEMENT_MISSING)
    assert recording.verdict("77" * 32) is None


def test_a_statement_of_another_request_leaves_no_verdict(recording: Recording) -> None:
    """Another terminal's, or the same terminal's of another request: not this one's to judge."""
    world = recording.world
    other = world.request(about=world.other)
    recording.stage.file(other)
    dropped(recording, other.digest, Reason.WRONG_REQUEST)
    sooner = world.request()
    application = world.application(sooner)
    recording.stage.file_application(sooner, application, code="123456")
    dropped(recording, application.digest, Reason.WRONG_REQUEST)
    for digest in (other.digest, application.digest):
        assert recording.verdict(digest) is None


def test_a_statement_that_another_request_answered_does_not_act_here(stage: Backstage) -> None:
    """Replayed into a later request, an accepted application changes nothing."""
    first = Recording.opened(stage)
    first.apply()
    assert first.application is not None
    cancelled(first)
    second = Recording.opened(stage)
    second.code()
    dropped(second, first.application.digest, Reason.WRONG_REQUEST)
    verdict = second.verdict(first.application.digest)
    assert verdict is not None
    assert (verdict.request_id, verdict.accepted) == (first.request_id, True)


def filed_as(recording: Recording, genuine: Verified[Any], **changed: Any) -> str:
    """File a row as one with write access would, and give its digest."""
    row: dict[str, Any] = {
        "digest": genuine.digest,
        "kind": genuine.kind,
        "request_id": recording.request_id,
        "terminal_no": recording.state.terminal_no,
        "signer_kid": genuine.kid,
        "person": None,
        "statement": genuine.text,
        "received_at": recording.world.now,
        **changed,
    }
    with recording.stage.database.write() as session:
        submissions.receive(session, SubmissionRow(**row))
    return str(row["digest"])


def test_an_accepted_statement_under_another_digest_is_not_accepted_again(
    recording: Recording,
) -> None:
    """The replay store goes by digests: a text filed under a false one is refused."""
    recording.apply()
    rejected = recording.world.decision(recording.application, decision="reject")  # type: ignore[arg-type]
    digest = filed_as(recording, rejected, digest="77" * 32)
    recorded = recording.records.record_statement(
        StatementStep(state=recording.state, digest=digest)
    )
    assert recorded.verdict.reasons == (Reason.STATEMENT_MISSING,)
    assert recorded.state == recording.state


@pytest.mark.parametrize("text", ["", "a.b.c", "{}", "x" * 1_000_000])
def test_a_garbled_row_is_a_refusal_and_not_a_fault(recording: Recording, text: str) -> None:
    """Whatever is in the row, the workflow gets an answer and goes on."""
    decision = recording.world.cancellation(recording.request)
    digest = filed_as(recording, decision, statement=text, person="person-1")
    recorded = recording.records.record_statement(
        StatementStep(state=recording.state, digest=digest)
    )
    assert not recorded.verdict.accepted
    assert recorded.state == recording.state
    assert recording.verdict(digest) is not None


def test_a_statement_of_another_kind_than_its_row_says_is_refused(recording: Recording) -> None:
    """A login, or a cancellation filed as an application, is only what it is."""
    world = recording.world
    recording.code()
    for statement in (world.login(), world.cancellation(recording.request)):
        digest = filed_as(recording, statement, kind=Kind.APPLICATION, person="person-1")
        recorded = recording.records.record_statement(
            StatementStep(state=recording.state, digest=digest)
        )
        assert recorded.verdict.reasons == (Reason.WRONG_TYPE,)
        assert recorded.state == recording.state


def test_a_receipt_counts_although_an_administrator_was_revoked(recording: Recording) -> None:
    """The terminal's receipt rests on the terminal's entry: the load is not lost."""
    recording.released()
    receipt = recording.filed_receipt()
    with recording.stage.database.write() as session:
        revoke_first(session, recording)
    recorded = recording.record(receipt)
    assert recorded.verdict.accepted


def revoke_first(session: Session, recording: Recording) -> None:
    """Revoke the first administrator's credential."""
    first = recording.world.standing().first.digest
    credentialentries.revoke_credential(session, first, now=recording.world.now)


def test_a_request_whose_row_is_gone_is_a_fault(recording: Recording) -> None:
    """An open request without its row ran on another database: nothing is recorded."""
    gone = recording.state.model_copy(update={"request_id": "A" * 24})
    another = recording.world.request()
    recording.stage.file(another)
    with pytest.raises(ProjectionMissing):
        recording.records.record_statement(StatementStep(state=gone, digest=another.digest))
    assert recording.verdict(another.digest) is None
    assert request_id_of(another.digest) != recording.request_id
