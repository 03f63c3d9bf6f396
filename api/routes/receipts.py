"""Receipts: the terminal says that the key is in, or why not."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlmodel import Session

from api.authentication import BySignature, RequestIdPath
from api.enrolled import Signed
from api.parts import PartsDep
from api.places import of_terminal
from api.problems import verdict_problem
from api.responses import IN_PLACE, STAGED, STATEMENT, TEMPORAL, pending, problems
from api.statements import Intake, Pending, Place, take_in
from api.wire import SignedBody, accepted, statement_text
from ceremony.reasons import Reason
from ceremony.stages import FINAL, Stage
from ceremony.statements import ReceiptPayload
from records import projection
from records.tables.verdict import VerdictRow

router = APIRouter(prefix="/v1/loading-requests/{request_id}", tags=["loading requests"])

_REFUSED = {403: (Reason.WRONG_EPP, Reason.TOKEN_UNKNOWN, Reason.MALFORMED)}


class ReceiptTaken(BaseModel):
    """How the loading request ended: LOADED with the key's check value, or UNCONFIRMED."""

    stage: Stage
    kcv: Annotated[str | None, Field(description="6 hexadecimal digits.", examples=["a1b2c3"])]


@router.post(
    "/receipt",
    response_model=ReceiptTaken,
    summary="Acknowledge the key",
    responses={**problems(STATEMENT, IN_PLACE, _REFUSED, STAGED, TEMPORAL), **pending()},
)
async def acknowledge(
    request_id: RequestIdPath, body: SignedBody, caller: BySignature, parts: PartsDep
) -> ReceiptTaken | JSONResponse:
    """Take the terminal's `receipt`: with the right check value the key becomes active."""
    intake = Intake(ReceiptPayload, partial(_place, request_id), _answer)
    answer = await take_in(parts, caller, statement_text(body.statement), intake)
    return accepted(answer) if isinstance(answer, Pending) else answer


def _place(request_id: str, session: Session, signed: Signed[ReceiptPayload]) -> Place:
    return Place(of_terminal(session, signed, request_id).terminal_no)


def _answer(session: Session, verdict: VerdictRow) -> ReceiptTaken | None:
    if not verdict.accepted:
        raise verdict_problem(verdict.reason or Reason.MALFORMED, verdict.stage)
    row = projection.find(session, verdict.request_id)
    if row is None or row.stage not in FINAL:
        return None
    return ReceiptTaken(stage=row.stage, kcv=row.kcv if row.stage is Stage.LOADED else None)
