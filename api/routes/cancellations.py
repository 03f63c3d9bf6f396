"""Cancellations: the terminal or either administrator ends a loading request before release."""

from functools import partial

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlmodel import Session

from api.authentication import BySessionIfAny, BySignature, RequestIdPath
from api.enrolled import Signed
from api.parts import PartsDep
from api.places import of_administrator, of_terminal
from api.problems import verdict_problem
from api.responses import (
    BY_CLOCK,
    IN_PLACE,
    SESSION,
    STAGED,
    STATEMENT,
    TEMPORAL,
    pending,
    problems,
)
from api.signedin import SignedIn
from api.statements import Intake, Pending, Place, take_in
from api.wire import SignedBody, accepted, statement_text
from ceremony.reasons import Reason
from ceremony.stages import Stage
from ceremony.statements import CancellationPayload
from records.tables.verdict import VerdictRow

router = APIRouter(prefix="/v1/loading-requests/{request_id}", tags=["loading requests"])

_REFUSED = {403: ("not-your-session", Reason.WRONG_SIGNATORY)}


class Cancelled(BaseModel):
    """Where the loading request stands now."""

    stage: Stage


@router.post(
    "/cancellation",
    response_model=Cancelled,
    summary="Cancel a loading request",
    responses={
        **problems(STATEMENT, BY_CLOCK, SESSION, IN_PLACE, _REFUSED, STAGED, TEMPORAL),
        **pending(),
    },
)
async def cancel(
    request_id: RequestIdPath,
    body: SignedBody,
    caller: BySignature,
    signed_in: BySessionIfAny,
    parts: PartsDep,
) -> Cancelled | JSONResponse:
    """Take a `cancellation`: by the device key, or by an administrator in their own session."""
    intake = Intake(CancellationPayload, partial(_place, request_id, signed_in), _answer)
    answer = await take_in(parts, caller, statement_text(body.statement), intake)
    return accepted(answer) if isinstance(answer, Pending) else answer


def _place(
    request_id: str,
    signed_in: SignedIn | None,
    session: Session,
    signed: Signed[CancellationPayload],
) -> Place:
    if signed.person is None:
        return Place(of_terminal(session, signed, request_id).terminal_no)
    return Place(of_administrator(session, signed, request_id, signed_in).terminal_no)


def _answer(_session: Session, verdict: VerdictRow) -> Cancelled:
    if not verdict.accepted:
        raise verdict_problem(verdict.reason or Reason.WRONG_SIGNATORY, verdict.stage)
    return Cancelled(stage=verdict.stage)
