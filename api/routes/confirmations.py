"""Confirmations: the terminal confirms the approved application and gets its key token."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlmodel import Session

from api.authentication import BySignature, RequestIdPath
from api.enrolled import Signed
from api.parts import Parts, PartsDep
from api.places import of_terminal
from api.problems import Gone, verdict_problem
from api.responses import IN_PLACE, STAGED, STATEMENT, TEMPORAL, pending, problems
from api.statements import Intake, Pending, Place, take_in
from api.wire import SignedBody, accepted, statement_text
from ceremony.reasons import Reason
from ceremony.stages import Stage
from ceremony.statements import ConfirmationPayload
from records import keystore
from records.tables.verdict import VerdictRow

router = APIRouter(prefix="/v1/loading-requests/{request_id}", tags=["loading requests"])

_REFUSED = {
    403: (
        Reason.ADMINISTRATOR_WRONG,
        Reason.APPROVAL_CODE_WRONG,
        Reason.QR_REFUSED,
        Reason.WRONG_EPP,
        Reason.REGISTRY_CHANGED,
        Reason.NOT_APPROVED,
        Reason.CONFIRMATION_TRIES_EXHAUSTED,
        Reason.REWRAPS_EXHAUSTED,
        Reason.NONCE_REUSED,
        Reason.KEY_TOO_STRONG,
        Reason.MODEL_UNKNOWN,
        Reason.RELOAD_REASON_MISSING,
        Reason.FOREIGN_EPP_KEY,
        Reason.PASSKEY_REQUIRED,
        Reason.PASSKEY_NOT_DEVICE_BOUND,
        Reason.RELEASE_REFUSED,
    ),
    410: (Reason.APPROVAL_EXPIRED, Reason.STATEMENT_EXPIRED, Reason.KEY_COMPROMISED),
}


class ConfirmationBody(SignedBody):
    """A `confirmation` statement, and the approval code as typed at the terminal."""

    approval_code: Annotated[
        str,
        Field(
            pattern=r"^[0-9]{4}$",
            repr=False,
            description="From the SMS that told the first administrator of the approval.",
            examples=["0417"],
        ),
    ]


class KeyToken(BaseModel):
    """The terminal's key, encrypted to its EPP and signed by the key distribution host."""

    format: Annotated[str, Field(examples=["oaep-jws"])]
    value: Annotated[str, Field(description="Standard base64.", examples=["ZXlKaGJHY2lP"])]
    key_algorithm: Annotated[str, Field(examples=["AES-128"])]


class Confirmed(BaseModel):
    """The key token; its check value comes only after the terminal's receipt."""

    stage: Stage
    token: KeyToken


@router.post(
    "/confirmation",
    response_model=Confirmed,
    summary="Confirm, and get the key token",
    responses={**problems(STATEMENT, IN_PLACE, _REFUSED, STAGED, TEMPORAL), **pending()},
)
async def confirm(
    request_id: RequestIdPath, body: ConfirmationBody, caller: BySignature, parts: PartsDep
) -> Confirmed | JSONResponse:
    """Take the terminal's `confirmation`; the same one gives the same bytes again.

    A mistyped administrator or approval code may be repeated in a new statement, three times in
    all. Any other refusal before the release ends the loading request.
    """
    place = partial(_place, parts, request_id, body.approval_code)
    intake = Intake(ConfirmationPayload, place, _answer)
    answer = await take_in(parts, caller, statement_text(body.statement), intake)
    return accepted(answer) if isinstance(answer, Pending) else answer


def _place(
    parts: Parts,
    request_id: str,
    approval_code: str,
    session: Session,
    signed: Signed[ConfirmationPayload],
) -> Place:
    row = of_terminal(session, signed, request_id)
    digest = signed.statement.digest
    code = parts.edge.seal("approval", row.request_id, 0, digest, approval_code)
    return Place(row.terminal_no, code)


def _answer(session: Session, verdict: VerdictRow) -> Confirmed | None:
    if not verdict.accepted:
        raise verdict_problem(verdict.reason or Reason.RELEASE_REFUSED, verdict.stage)
    token = keystore.token_for(session, verdict.digest)
    if token is None:
        return None
    if not token.value:
        # An officer marked the key compromised, or two destroyed it: it goes out no more.
        raise Gone(Reason.KEY_COMPROMISED)
    return Confirmed(
        stage=verdict.stage,
        token=KeyToken(format=token.format, value=token.value, key_algorithm=token.key_algorithm),
    )
