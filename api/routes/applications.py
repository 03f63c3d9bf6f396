"""Applications: the first administrator scanned the code, proves themself by SMS, and applies.

For anyone but the terminal's first administrator these calls look the same and do nothing.
"""

from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlmodel import Session

from api.authentication import BySession, BySignature
from api.enrolled import Signed
from api.parts import Parts, PartsDep
from api.places import check_own_session
from api.problems import ApiProblem, ApplicationRefused, Refused, WrongStage
from api.qrcodes import live_code, scanned_code
from api.refusals import note_denied
from api.responses import (
    APPROVAL_KEY,
    BODY,
    BY_CLOCK,
    DATABASE,
    SESSION,
    STAGED,
    STATEMENT,
    TEMPORAL,
    pending,
    problems,
)
from api.signedin import SignedIn
from api.statements import Intake, Pending, Place, take_in
from api.wire import (
    DIGEST_EXAMPLE,
    REQUEST_ID_EXAMPLE,
    QrText,
    Received,
    Statement,
    UnixSeconds,
    accepted,
    statement_text,
)
from ceremony.checks import APPLICATION_SECONDS, CLOCK_SKEW_SECONDS
from ceremony.qr import QrContents, qr_digest
from ceremony.reasons import Reason
from ceremony.stages import Stage
from ceremony.state import ATTEMPTS
from ceremony.statements import ApplicationPayload
from records import coderequests, projection, verdicts
from records.standing import present
from records.tables.verdict import VerdictRow

router = APIRouter(prefix="/v1/applications", tags=["applications"])

REFUSED = {403: ("application-refused",)}
QR_EXPIRED = {410: (Reason.QR_EXPIRED,)}


class ScannedBody(Received):
    """What the administrator scanned."""

    qr_text: QrText


class ApplicationBody(Received):
    """An `application` statement, the scanned code, and the SMS code as typed."""

    statement: Statement
    qr_text: QrText
    sms_code: Annotated[str, Field(pattern=r"^[0-9]{6}$", repr=False, examples=["482913"])]


class ApplicationDocument(BaseModel):
    """What the application must name; the terminal's number is not here: it must be typed.

    `expires_at` may be `expires_at_max` at most. `server_time` serves a phone whose clock is off.
    """

    aud: Annotated[str, Field(examples=["keyfill.example"])]
    request_id: Annotated[str, Field(examples=[REQUEST_ID_EXAMPLE])]
    administrator: Annotated[str, Field(description="Staff number.", examples=["A1001"])]
    epp_fingerprint: Annotated[str, Field(examples=[DIGEST_EXAMPLE])]
    registry_digest: Annotated[str, Field(examples=[DIGEST_EXAMPLE])]
    qr_digest: Annotated[str, Field(examples=[DIGEST_EXAMPLE])]
    expires_at_max: UnixSeconds
    attempts_left: Annotated[int, Field(examples=[5])]
    qr_expires_at: UnixSeconds
    server_time: UnixSeconds


class ApplicationAccepted(BaseModel):
    """An accepted application; the second administrator has been told."""

    request_id: Annotated[str, Field(examples=[REQUEST_ID_EXAMPLE])]
    verdict: Literal["accepted"]
    stage: Stage
    attempts_left: Annotated[int | None, Field(examples=[5])]


@router.post(
    "/document",
    summary="See what the application must name",
    responses=problems(
        BODY, SESSION, REFUSED, {403: (Reason.REGISTRY_CHANGED,)}, STAGED, QR_EXPIRED, DATABASE
    ),
)
async def application_document(
    body: ScannedBody, signed_in: BySession, parts: PartsDep
) -> ApplicationDocument:
    """Give the terminal's first administrator what the statement must name."""
    try:
        token, contents = live_code(parts, body.qr_text)
        return await parts.database.run(_document, parts, signed_in, contents, qr_digest(token))
    except ApiProblem as problem:
        await note_denied(parts, signed_in, "document-refused", problem.reason)
        raise


@router.post(
    "",
    response_model=ApplicationAccepted,
    summary="Apply",
    responses={
        **problems(
            STATEMENT,
            BY_CLOCK,
            SESSION,
            REFUSED,
            {403: ("not-your-session",)},
            APPROVAL_KEY,
            STAGED,
            TEMPORAL,
        ),
        **pending(),
    },
)
async def apply(
    body: ApplicationBody, caller: BySignature, signed_in: BySession, parts: PartsDep
) -> ApplicationAccepted | JSONResponse:
    """Take the first administrator's `application`.

    Whatever is wrong with it, the answer is `application-refused`; how many attempts are left is
    told to the terminal's own first administrator only. A key that may not sign approvals here is
    told so, and uses no attempt up.
    """
    intake = Intake(
        ApplicationPayload, partial(_place, parts, signed_in, body), partial(_answer, signed_in)
    )
    answer = await take_in(parts, caller, statement_text(body.statement), intake)
    return accepted(answer) if isinstance(answer, Pending) else answer


def _document(
    parts: Parts, signed_in: SignedIn, scanned: QrContents, digest: str
) -> ApplicationDocument:
    request_id, now = scanned.request_id, parts.now()
    with parts.database.read() as session:
        row = projection.find(session, request_id)
        if row is None:
            raise ApplicationRefused(Reason.WRONG_REQUEST)
        standing = present(session, parts.trust, row.terminal_no, now=now).standing
        attempts_left = _attempts_left(session, request_id)
    if standing is None or standing.first.entry.person != signed_in.person:
        raise ApplicationRefused(Reason.NOT_FIRST_ADMINISTRATOR)
    if row.stage is not Stage.AWAITING_APPLICATION:
        raise WrongStage(row.stage, row.request_id)
    if standing.registry_digest != row.registry_digest:
        raise Refused(Reason.REGISTRY_CHANGED)
    return ApplicationDocument(
        aud=parts.trust.audience,
        request_id=row.request_id,
        administrator=signed_in.staff_no,
        epp_fingerprint=row.epp_fingerprint,
        registry_digest=row.registry_digest,
        qr_digest=digest,
        # The limit counts from the signer's own clock, which may be as far behind as this.
        expires_at_max=now + APPLICATION_SECONDS - CLOCK_SKEW_SECONDS,
        attempts_left=attempts_left,
        qr_expires_at=scanned.expires_at,
        server_time=now,
    )


def _attempts_left(session: Session, request_id: str) -> int:
    """How many applications may still be refused; each verdict holds what was left after it."""
    left = (verdict.attempts_left for verdict in verdicts.of_request(session, request_id))
    return min((one for one in left if one is not None), default=ATTEMPTS)


def _place(
    parts: Parts,
    signed_in: SignedIn,
    body: ApplicationBody,
    session: Session,
    signed: Signed[ApplicationPayload],
) -> Place:
    check_own_session(signed, signed_in)
    token, contents = scanned_code(parts, body.qr_text)
    said = signed.payload
    if said.qr_digest != qr_digest(token):
        raise ApplicationRefused(Reason.QR_REFUSED)
    row = projection.find(session, contents.request_id)
    if row is None or (said.request_id, contents.terminal_no) != (row.request_id, row.terminal_no):
        raise ApplicationRefused(Reason.WRONG_REQUEST)
    asked = coderequests.latest(session, row.request_id, signed_in.person)
    n = asked.n if asked else 0
    code = parts.edge.seal("sms", row.request_id, n, signed.statement.digest, body.sms_code)
    return Place(row.terminal_no, code, contents)


def _answer(
    signed_in: SignedIn, session: Session, verdict: VerdictRow
) -> ApplicationAccepted | None:
    if verdict.accepted:
        return ApplicationAccepted(
            request_id=verdict.request_id,
            verdict="accepted",
            stage=verdict.stage,
            attempts_left=verdict.attempts_left,
        )
    if verdict.reason == Reason.WRONG_STAGE:
        raise WrongStage(verdict.stage)
    row = projection.find(session, verdict.request_id)
    own = row is not None and row.first_person == signed_in.person
    raise ApplicationRefused(
        verdict.reason or Reason.MALFORMED, verdict.attempts_left if own else None
    )
