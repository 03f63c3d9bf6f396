"""Made-up states and answers: whoever calls the recording activities may deny, and no more.

A state counts as far as the recorded verdicts justify it, an answer of the key worker's only if it
published the same.
"""

from typing import Any

import pytest

from ceremony.messages import (
    EventStep,
    Recorded,
    ReleaseOutcome,
    ReleaseStep,
    SettleCommand,
    Settlement,
    SettlementStep,
    StatementStep,
)
from ceremony.reasons import Reason
from ceremony.stages import Stage
from ceremony.state import CeremonyState
from tests.support.backstage import Backstage
from tests.support.recording import Recording

FORGED = "77" * 32
FORGED_KCV = "a1b2c3"


def answer(recording: Recording, digest: str | None = None, **said: Any) -> Recorded:
    """Record a made-up answer of the key worker's to the confirmation, or to another statement."""
    assert recording.confirmation is not None
    step = ReleaseStep(
        state=recording.state,
        digest=digest or recording.confirmation.digest,
        outcome=ReleaseOutcome(**said),
    )
    return recording.records.record_release(step)


def settle(recording: Recording, **said: Any) -> CeremonyState:
    """Record a made-up settlement."""
    step = SettlementStep(state=recording.state, settlement=Settlement(**said))
    return recording.records.record_settlement(step)


def settled_elsewhere(recording: Recording, **bent: Any) -> None:
    """Let the key worker settle by a receipt that no run of the workflow has recorded."""
    receipt = recording.filed_receipt(**bent)
    command = SettleCommand(
        request_id=recording.request_id,
        terminal_no=recording.state.terminal_no,
        receipt=receipt.digest,
    )
    recording.stage.settlement().settle(command)


def require_dropped(recording: Recording, reason: Reason) -> None:
    """The answer left an event and nothing else."""
    assert (recording.events()[-1].event, recording.events()[-1].reason) == (
        "answer-dropped",
        reason,
    )


def test_a_token_that_was_not_published_is_not_recorded(recording: Recording) -> None:
    """Made up before the key worker answered: no verdict, and its genuine answer still counts."""
    recording.apply()
    recording.decide()
    before = recording.confirm().state
    told = answer(recording, token_digest=FORGED)
    assert (told.state, told.verdict.reasons) == (before, (Reason.TOKEN_UNKNOWN,))
    require_dropped(recording, Reason.TOKEN_UNKNOWN)
    assert recording.verdict(told.verdict.digest) is None
    assert recording.stage.row(recording.request_id).stage is Stage.AWAITING_CONFIRMATION
    assert recording.release().state.stage is Stage.AWAITING_RECEIPT


def test_another_token_than_the_published_one_is_not_recorded(recording: Recording) -> None:
    """Nor a refusal, where the key worker gave a token."""
    recording.apply()
    recording.decide()
    recording.confirm()
    recording.stage.release().release(recording.command())
    for said in ({"token_digest": FORGED}, {"refused": Reason.REGISTRY_CHANGED}, {}):
        told = answer(recording, **said)
        assert (told.state, told.verdict.reasons) == (recording.state, (Reason.TOKEN_UNKNOWN,))
        require_dropped(recording, Reason.TOKEN_UNKNOWN)
    assert recording.stage.row(recording.request_id).token_digest is None
    assert recording.release().verdict.accepted


def test_a_token_of_another_confirmation_or_request_is_not_recorded(stage: Backstage) -> None:
    """A genuine token's digest, for a confirmation that it does not answer."""
    first = Recording.opened(stage)
    token = first.released().state.token_digest
    first.confirm()
    assert answer(first, token_digest=token).verdict.reasons == (Reason.TOKEN_UNKNOWN,)
    second = Recording.opened(stage, stage.world.request(about=stage.world.other))
    other = answer(first, second.request.digest, token_digest=token)
    assert other.verdict.reasons == (Reason.WRONG_REQUEST,)


def test_only_a_confirmation_is_answered_by_the_key_worker(recording: Recording) -> None:
    """A pending decision cannot be refused in the key worker's name."""
    recording.apply()
    assert recording.application is not None
    decision = recording.world.decision(recording.application)
    recording.stage.file(decision)
    recording.filed_confirmation()
    told = answer(recording, decision.digest, refused=Reason.REGISTRY_CHANGED)
    require_dropped(recording, Reason.WRONG_REQUEST)
    assert recording.verdict(decision.digest) is None
    assert told.state == recording.state
    early = answer(recording, refused=Reason.REGISTRY_CHANGED)
    assert (early.state.stage, early.verdict.reason) == (
        Stage.AWAITING_REVIEW,
        Reason.WRONG_STAGE,
    )


@pytest.mark.parametrize(
    "said",
    [
        {"active": True, "reason": Reason.LOADED, "kcv": FORGED_KCV},
        {"active": True, "reason": Reason.LOADED},
        {"active": False, "reason": Reason.KCV_WRONG},
    ],
)
def test_a_settlement_that_was_not_published_is_not_recorded(
    recording: Recording, said: dict[str, Any]
) -> None:
    """Neither LOADED nor UNCONFIRMED while the key is only released; the genuine one counts."""
    recording.released()
    recording.record(recording.filed_receipt())
    assert settle(recording, **said) == recording.state
    require_dropped(recording, Reason.TOKEN_UNKNOWN)
    row = recording.stage.row(recording.request_id)
    assert (row.stage, row.kcv) == (Stage.AWAITING_RECEIPT, None)
    settled_elsewhere(recording)
    kcv = recording.stage.journal.kcv_of(recording.request_id)
    loaded = settle(recording, active=True, reason=Reason.LOADED, kcv=kcv)
    assert (loaded.stage, loaded.kcv) == (Stage.LOADED, kcv)


def test_of_an_active_key_nothing_else_can_be_recorded(recording: Recording) -> None:
    """Another KCV, or "unconfirmed": what the key worker published is recorded instead."""
    recording.released()
    recording.record(recording.filed_receipt())
    settled_elsewhere(recording)
    kcv = recording.stage.journal.kcv_of(recording.request_id)
    for said in (
        {"active": True, "reason": Reason.LOADED, "kcv": FORGED_KCV},
        {"active": False, "reason": Reason.KCV_WRONG},
    ):
        assert (settle(recording, **said).stage, settle(recording, **said).kcv) == (
            Stage.LOADED,
            kcv,
        )
    assert recording.stage.row(recording.request_id).kcv == kcv


def test_an_unconfirmed_key_is_not_recorded_as_loaded(recording: Recording) -> None:
    """It is UNCONFIRMED, for the reason that the key worker gave."""
    recording.released()
    recording.record(recording.filed_receipt(kcv="000000"))
    settled_elsewhere(recording, kcv="000000")
    assert settle(recording, active=True, reason=Reason.LOADED, kcv=FORGED_KCV) == recording.state
    ended = settle(recording, active=False, reason=Reason.KCV_WRONG)
    assert (ended.stage, ended.reason, ended.kcv) == (Stage.UNCONFIRMED, Reason.KCV_WRONG, None)


def test_no_settlement_without_a_recorded_receipt(recording: Recording) -> None:
    """A key unconfirmed for want of a receipt is the deadline's to record, no settlement's."""
    recording.released()
    recording.stage.settlement().settle(
        SettleCommand(
            request_id=recording.request_id,
            terminal_no=recording.state.terminal_no,
            receipt=None,
        )
    )
    recording.state = recording.state.model_copy(update={"receipt_digest": FORGED})
    assert settle(recording, active=False, reason=Reason.KCV_WRONG) == recording.state
    require_dropped(recording, Reason.WRONG_STAGE)


CLAIMS: list[dict[str, Any]] = [
    {"stage": Stage.AWAITING_CONFIRMATION, "decision_digest": FORGED},
    {"stage": Stage.AWAITING_RECEIPT, "token_digest": FORGED, "confirmation_digest": FORGED},
    {"stage": Stage.AWAITING_APPLICATION, "application_digest": None},
    {"registry_digest": FORGED, "epp_fingerprint": FORGED},
    {"second_staff_no": "A1003"},
]
"""What a forger says of a request that is at AWAITING_REVIEW."""


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_claimed_state_is_not_believed(recording: Recording, claim: dict[str, Any]) -> None:
    """Statements and events are recorded against what the verdicts say, and the row follows it."""
    recording.apply()
    genuine = recording.state
    row = recording.stage.row(recording.request_id)
    claimed = genuine.model_copy(update=claim)
    repeat = recording.world.request()
    recording.stage.file(repeat)
    told = recording.records.record_statement(StatementStep(state=claimed, digest=repeat.digest))
    assert (told.state, told.verdict.accepted) == (genuine, True)
    step = EventStep(state=claimed, event="registry")
    assert recording.records.record_event(step) == genuine
    assert recording.stage.row(recording.request_id) == row
    recording.state = claimed
    assert recording.decide().state.stage is Stage.AWAITING_CONFIRMATION


@pytest.mark.parametrize("end", [Stage.LOADED, Stage.FAILED, Stage.EXPIRED, Stage.UNCONFIRMED])
def test_an_end_that_nobody_recorded_is_not_believed(recording: Recording, end: Stage) -> None:
    """No late verdict for a pending statement, and no such stage in the row."""
    recording.apply()
    row = recording.stage.row(recording.request_id)
    claimed = recording.state.model_copy(
        update={"stage": end, "reason": Reason.LOADED, "kcv": FORGED_KCV}
    )
    assert recording.application is not None
    decision = recording.world.decision(recording.application)
    recording.stage.file(decision)
    step = StatementStep(state=claimed, digest=decision.digest)
    told = recording.records.record_statement(step)
    assert told.verdict.reasons == (Reason.WRONG_STAGE,)
    assert recording.verdict(decision.digest) is None
    for event in ("deadline", "registry"):
        claim = EventStep.model_validate({"state": claimed, "event": event})
        assert recording.records.record_event(claim) == claimed
    assert recording.stage.row(recording.request_id) == row
    assert recording.decide().verdict.accepted


@pytest.mark.parametrize("event", ["deadline", "registry"])
def test_a_key_that_is_active_by_then_is_loaded(recording: Recording, event: str) -> None:
    """Its receipt came to another run of the workflow: the end is LOADED, with its KCV."""
    recording.released()
    settled_elsewhere(recording)
    world = recording.world
    world.terminal_envelopes["ATM-0001"] = world.terminal_entry(seq=2)
    recording.stage.register()
    step = EventStep.model_validate({"state": recording.state, "event": event})
    ended = recording.records.record_event(step)
    kcv = recording.stage.journal.kcv_of(recording.request_id)
    row = recording.stage.row(recording.request_id)
    assert (ended.stage, ended.reason, ended.kcv) == (Stage.LOADED, Reason.LOADED, kcv)
    assert (row.stage, row.kcv) == (Stage.LOADED, kcv)
    assert recording.events()[-1].event == "key-settled"


def test_a_deadline_before_release_expires_whatever_is_claimed(recording: Recording) -> None:
    """A claimed release makes no request unconfirmed that has no key."""
    recording.apply()
    claimed = recording.state.model_copy(
        update={"stage": Stage.AWAITING_RECEIPT, "token_digest": FORGED}
    )
    ended = recording.records.record_event(EventStep(state=claimed, event="deadline"))
    row = recording.stage.row(recording.request_id)
    assert (ended.stage, row.stage, row.token_digest) == (Stage.EXPIRED, Stage.EXPIRED, None)


def test_an_answer_to_an_ended_request_gives_nothing(recording: Recording) -> None:
    """Cancelled by another run while the key worker was answering: `wrong-stage`, as recorded."""
    recording.apply()
    recording.decide()
    before = recording.confirm().state
    recording.stage.release().release(recording.command())
    cancellation = recording.world.cancellation(recording.request)
    recording.record(recording.stage.file(cancellation))
    recording.state = before
    late = recording.release()
    assert (late.state.stage, late.verdict.reason) == (Stage.CANCELLED, Reason.WRONG_STAGE)
    assert recording.stage.row(recording.request_id).stage is Stage.CANCELLED
