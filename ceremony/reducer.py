"""The reducer: what each authentic statement and each event makes of a loading request.

`advance` never raises for what people do: a refusal is a verdict. A statement that is not of
this request's rightful signatory, or not about this request, changes nothing at all.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from ceremony.checks import (
    Facts,
    Reasons,
    cancellation_check,
    decision_check,
    first_check,
    is_terminal,
    opening_check,
    receipt_check,
    second_check,
)
from ceremony.codes import MAX_CODES
from ceremony.reasons import Reason
from ceremony.stages import EXPIRES_TO, OPEN, TRANSITIONS, Stage, permits
from ceremony.state import ATTEMPTS, CONFIRMATION_TRIES, CeremonyState, Verdict
from ceremony.statements import (
    ApplicationPayload,
    CancellationPayload,
    ConfirmationPayload,
    DecisionPayload,
    Kind,
    Payload,
    ReceiptPayload,
    RequestBound,
    RequestPayload,
    request_id_of,
)
from ceremony.verification import Verified

UNCOUNTED: Final = frozenset({Reason.NOT_FIRST_ADMINISTRATOR, Reason.DAILY_ATTEMPTS_EXHAUSTED})
"""Refusals of an application that use up no attempt: nobody else can exhaust another's."""

MISTYPED: Final = frozenset({Reason.ADMINISTRATOR_WRONG, Reason.APPROVAL_CODE_WRONG})
"""Refusals of a confirmation that may be repeated; any other is final.

The number is judged by the second check, the code by the key worker.
"""


class Advance(NamedTuple):
    """A statement's effect: the state after it and the verdict on it."""

    state: CeremonyState
    verdict: Verdict


class TransitionError(RuntimeError):
    """A transition that the table does not know: a fault of ours, never of a caller."""


def open_request(request: Verified[RequestPayload], facts: Facts) -> Advance:
    """Open a loading request, or end it at once as FAILED with the reason."""
    reasons = opening_check(request, facts)
    standing = facts.standing
    state = CeremonyState(
        request_id=request_id_of(request.digest),
        terminal_no=request.payload.terminal_no,
        stage=Stage.FAILED if reasons else Stage.AWAITING_APPLICATION,
        reason=reasons[0] if reasons else None,
        opened_at=facts.now,
        request_digest=request.digest,
        branch=standing.terminal.entry.branch if standing else "",
        epp_fingerprint=request.payload.epp_fingerprint,
        registry_digest=standing.registry_digest if standing else "",
        first_staff_no=standing.first.entry.staff_no if standing else "",
        second_staff_no=standing.second.entry.staff_no if standing else "",
    )
    return Advance(state, Verdict(kind=Kind.REQUEST, digest=request.digest, reasons=reasons))


def advance(state: CeremonyState, statement: Verified[Any], facts: Facts) -> Advance:
    """Apply an authentic statement to an open or ended request.

    Raises:
        TransitionError: if a rule below contradicts the transition table.
    """
    kind = statement.kind
    payload: Payload = statement.payload
    if isinstance(payload, RequestBound) and payload.request_id != state.request_id:
        return _judged(state, statement, (Reason.WRONG_REQUEST,))
    if not permits(state.stage, kind):
        return _judged(state, statement, (Reason.WRONG_STAGE,))
    after = _RULES[kind](state, statement, facts)
    if after.state.stage not in TRANSITIONS[state.stage, kind]:
        raise TransitionError(f"{state.stage} -> {after.state.stage} by {kind}")
    return after


def late(state: CeremonyState, kind: Kind, digest: str) -> Advance:
    """Answer a statement that reached a request already ended: `wrong-stage`."""
    return Advance(state, Verdict(kind=kind, digest=digest, reasons=(Reason.WRONG_STAGE,)))


def code_due(state: CeremonyState, n: int, now: int, resend_after: int) -> bool:
    """Say whether SMS code n may be sent now: a further one of three, in its stage, not too soon.

    One that was asked for but not sent is passed over, so that the next one can still be had.
    """
    sent = state.codes_sent_at
    return (
        state.stage is Stage.AWAITING_APPLICATION
        and len(sent) < n <= MAX_CODES
        and (not sent or now >= sent[-1] + resend_after)
    )


def code_sent(state: CeremonyState, now: int, n: int | None = None) -> CeremonyState:
    """Note that SMS code n, or the next one, is on its way; its ten minutes begin."""
    sent = state.codes_sent_at
    count = 1 if n is None else n - len(sent)
    return _with(state, codes_sent_at=(*sent, *(now,) * count))


def released(state: CeremonyState, confirmation_digest: str, token_digest: str) -> CeremonyState:
    """Note the key worker's key token: the first one releases, a further one re-wraps.

    Raises:
        TransitionError: if no token is due at this stage, or all re-wraps are used up.
    """
    given = {"confirmation_digest": confirmation_digest, "token_digest": token_digest}
    if state.stage is Stage.AWAITING_CONFIRMATION and state.token_digest is None:
        return _with(state, stage=Stage.AWAITING_RECEIPT, **given)
    if state.stage is Stage.AWAITING_RECEIPT and state.rewraps_left > 0:
        return _with(state, rewraps_left=state.rewraps_left - 1, **given)
    raise TransitionError(f"release at {state.stage}")


def release_refused(state: CeremonyState, reason: Reason, tries: int = 0) -> CeremonyState:
    """Note that the key worker refused: final before release, without effect after it.

    A wrong approval code is a slip of the finger, as a mistyped number is: it uses up one of the
    tries, and ends the request only with the last one. `tries` are those counted already.

    Raises:
        TransitionError: if no release is due at this stage.
    """
    if reason is Reason.APPROVAL_CODE_WRONG and permits(state.stage, Kind.CONFIRMATION):
        return _mistyped(state, tries)
    if state.stage is Stage.AWAITING_CONFIRMATION:
        return _with(state, stage=Stage.FAILED, reason=reason)
    if state.stage is Stage.AWAITING_RECEIPT:
        return state
    raise TransitionError(f"release refused at {state.stage}")


def settled(
    state: CeremonyState, *, active: bool, reason: Reason, kcv: str | None
) -> CeremonyState:
    """Note what the key worker made of the receipt: active, or unconfirmed with the reason.

    An active key has had its receipt, whether or not this state knows of it.

    Raises:
        TransitionError: if no receipt is due at this stage, or none came and the key is not active.
    """
    if state.stage is not Stage.AWAITING_RECEIPT:
        raise TransitionError(f"settlement at {state.stage}")
    if active:
        return _with(state, stage=Stage.LOADED, reason=Reason.LOADED, kcv=kcv)
    if state.receipt_digest is None:
        raise TransitionError("settlement without a receipt")
    return _with(state, stage=Stage.UNCONFIRMED, reason=reason)


def expired(state: CeremonyState) -> CeremonyState:
    """Apply a passed deadline: before release EXPIRED, after it UNCONFIRMED."""
    if state.stage not in OPEN:
        raise TransitionError(f"expiry at {state.stage}")
    after = EXPIRES_TO[state.stage]
    reason = Reason.RECEIPT_MISSING if after is Stage.UNCONFIRMED else Reason.EXPIRED
    return _with(state, stage=after, reason=reason)


def registry_changed(state: CeremonyState, present: str | None) -> CeremonyState:
    """End the request if the registry no longer says what it rests on; else change nothing."""
    if state.stage not in OPEN or present == state.registry_digest:
        return state
    after = Stage.UNCONFIRMED if state.stage is Stage.AWAITING_RECEIPT else Stage.FAILED
    return _with(state, stage=after, reason=Reason.REGISTRY_CHANGED)


def further(one: CeremonyState, other: CeremonyState) -> CeremonyState:
    """Of two states of one request, the one that got further; it never goes back.

    A workflow that was reset, or started again, meets statements that were judged already.
    """
    ahead = max(one, other, key=_progress)
    return spent(spent(ahead, one), other)


def spent(state: CeremonyState, other: CeremonyState) -> CeremonyState:
    """A state with what another one of its request has used up, or sent, and with nothing else.

    What either of them has used up stays used up; an SMS code that either sent counts as sent.
    """
    return _with(
        state,
        codes_sent_at=max(state.codes_sent_at, other.codes_sent_at, key=len),
        attempts_left=min(state.attempts_left, other.attempts_left),
        tries_left=min(state.tries_left, other.tries_left),
        rewraps_left=min(state.rewraps_left, other.rewraps_left),
    )


def _progress(state: CeremonyState) -> tuple[int, bool, int]:
    used = -(state.attempts_left + state.tries_left + state.rewraps_left)
    order = _ORDER.get(state.stage, len(_ORDER))
    return order, state.receipt_digest is not None, used


def _repeat(state: CeremonyState, request: Verified[RequestPayload], facts: Facts) -> Advance:
    return _judged(state, request, opening_check(request, facts))


def _apply(
    state: CeremonyState, application: Verified[ApplicationPayload], facts: Facts
) -> Advance:
    reasons = first_check(state, application, facts)
    if not reasons:
        after = _with(
            state,
            stage=Stage.AWAITING_REVIEW,
            application_digest=application.digest,
            application_expires_at=application.payload.expires_at,
            qr_digest=application.payload.qr_digest,
        )
        return _judged(after, application, ())
    if not UNCOUNTED.isdisjoint(reasons):
        return _judged(state, application, reasons)
    left = min(state.attempts_left, ATTEMPTS - facts.attempts) - 1
    if left > 0:
        return _judged(_with(state, attempts_left=left), application, reasons)
    failed = _with(state, attempts_left=0, stage=Stage.FAILED, reason=Reason.ATTEMPTS_EXHAUSTED)
    return _judged(failed, application, reasons)


def _decide(state: CeremonyState, decision: Verified[DecisionPayload], facts: Facts) -> Advance:
    reasons = decision_check(state, decision, facts)
    if reasons:
        return _judged(state, decision, reasons)
    said = decision.payload
    after = (
        _with(
            state,
            stage=Stage.AWAITING_CONFIRMATION,
            decision_digest=decision.digest,
            approval_expires_at=said.expires_at,
        )
        if said.decision == "approve"
        else _with(
            state,
            stage=Stage.REJECTED,
            decision_digest=decision.digest,
            reason=Reason.REJECTED,
        )
    )
    return _judged(after, decision, ())


def _confirm(
    state: CeremonyState, confirmation: Verified[ConfirmationPayload], facts: Facts
) -> Advance:
    reasons = second_check(state, confirmation, facts)
    if not reasons or not is_terminal(facts, confirmation.kid):
        # The state rests on it only with its token: the key worker has yet to judge the code.
        return _judged(state, confirmation, reasons)
    if MISTYPED.issuperset(reasons):
        return _judged(_mistyped(state, facts.tries), confirmation, reasons)
    if state.stage is Stage.AWAITING_RECEIPT:
        return _judged(state, confirmation, reasons)
    failed = _with(state, stage=Stage.FAILED, reason=reasons[0])
    return _judged(failed, confirmation, reasons)


def _mistyped(state: CeremonyState, tries: int) -> CeremonyState:
    left = max(0, min(state.tries_left, CONFIRMATION_TRIES - tries) - 1)
    after = _with(state, tries_left=left)
    if left == 0 and state.stage is Stage.AWAITING_CONFIRMATION:
        return _with(after, stage=Stage.FAILED, reason=Reason.CONFIRMATION_TRIES_EXHAUSTED)
    return after


def _acknowledge(state: CeremonyState, receipt: Verified[ReceiptPayload], facts: Facts) -> Advance:
    reasons = receipt_check(state, receipt, facts)
    after = state if reasons else _with(state, receipt_digest=receipt.digest)
    return _judged(after, receipt, reasons)


def _cancel(
    state: CeremonyState, cancellation: Verified[CancellationPayload], facts: Facts
) -> Advance:
    reasons = cancellation_check(state, cancellation, facts)
    if reasons:
        return _judged(state, cancellation, reasons)
    reason = (
        Reason.CANCELLED_BY_TERMINAL
        if is_terminal(facts, cancellation.kid)
        else Reason.CANCELLED_BY_ADMINISTRATOR
    )
    return _judged(_with(state, stage=Stage.CANCELLED, reason=reason), cancellation, ())


_ORDER: Final[Mapping[Stage, int]] = MappingProxyType(
    {
        Stage.AWAITING_APPLICATION: 0,
        Stage.AWAITING_REVIEW: 1,
        Stage.AWAITING_CONFIRMATION: 2,
        Stage.AWAITING_RECEIPT: 3,
    }
)
_Rule = Callable[[CeremonyState, Any, Facts], Advance]
_RULES: Final[Mapping[Kind, _Rule]] = MappingProxyType(
    {
        Kind.REQUEST: _repeat,
        Kind.APPLICATION: _apply,
        Kind.DECISION: _decide,
        Kind.CONFIRMATION: _confirm,
        Kind.RECEIPT: _acknowledge,
        Kind.CANCELLATION: _cancel,
    }
)


def _judged(state: CeremonyState, statement: Verified[Any], reasons: Reasons) -> Advance:
    verdict = Verdict(kind=statement.kind, digest=statement.digest, reasons=reasons)
    return Advance(state, verdict)


def _with(state: CeremonyState, **changes: object) -> CeremonyState:
    return state.model_copy(update=changes)
