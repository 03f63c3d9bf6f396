"""Reviews: what awaits the second administrator, and the decision about it."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlmodel import Session

from api.authentication import BySession, BySignature, RequestIdPath
from api.enrolled import Signed
from api.parts import Parts, PartsDep
from api.places import of_administrator
from api.problems import NotFound, Refused, WrongStage, verdict_problem
from api.responses import (
    APPROVAL_KEY,
    BY_CLOCK,
    DATABASE,
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
from api.wire import (
    DIGEST_EXAMPLE,
    REQUEST_ID_EXAMPLE,
    SignedBody,
    UnixSeconds,
    accepted,
    statement_text,
)
from ceremony.checks import APPROVAL_SECONDS, CLOCK_SKEW_SECONDS
from ceremony.reasons import Reason
from ceremony.registry import VerifiedTerminal
from ceremony.stages import Stage
from ceremony.statements import DecisionPayload, RequestPayload
from ceremony.verification import StatementError, verify
from records import projection, submissions
from records.standing import present
from records.tables.loading_request import LoadingRequestRow
from records.tables.submission import SubmissionRow
from records.tables.verdict import VerdictRow

router = APIRouter(prefix="/v1/reviews", tags=["reviews"])

_REFUSED = {
    403: (
        "not-your-session",
        Reason.NOT_SECOND_ADMINISTRATOR,
        Reason.WRONG_APPLICATION,
        Reason.WRONG_EPP,
        Reason.REGISTRY_CHANGED,
        Reason.EXPIRY_TOO_LATE,
    ),
    410: (Reason.STATEMENT_EXPIRED,),
}

TerminalNo = Annotated[str, Field(examples=["ATM-0001"])]
StaffNo = Annotated[str, Field(examples=["A1001"])]


class ReviewSummary(BaseModel):
    """An application that awaits a decision, since when its terminal, and whose it is."""

    request_id: Annotated[str, Field(examples=[REQUEST_ID_EXAMPLE])]
    terminal_no: TerminalNo
    model: Annotated[str, Field(examples=["Sample 280"])]
    branch: Annotated[str, Field(examples=["Main Street"])]
    first_administrator: Annotated[StaffNo, Field(description="Staff number.")]
    since: UnixSeconds


class Reviews(BaseModel):
    """What awaits this administrator, the longest waiting first."""

    reviews: list[ReviewSummary]


class FirstAdministrator(BaseModel):
    """Who applied."""

    staff_no: StaffNo
    name: Annotated[str, Field(examples=["Alex Sample"])]


class ReviewDocument(BaseModel):
    """All that the decision must name, and all that there is to see before deciding.

    The decision's `expires_at` may be `expires_at_max` at most. `server_time` serves a phone
    whose clock is off.
    """

    aud: Annotated[str, Field(examples=["keyfill.example"])]
    request_id: Annotated[str, Field(examples=[REQUEST_ID_EXAMPLE])]
    terminal_no: TerminalNo
    model: Annotated[str, Field(examples=["Sample 280"])]
    branch: Annotated[str, Field(examples=["Main Street"])]
    administrator: Annotated[StaffNo, Field(description="The reader's own staff number.")]
    first_administrator: FirstAdministrator
    since: UnixSeconds
    reload_reason: Annotated[
        str | None,
        Field(
            description="Why the terminal, which has a key, asks for another; in its own words.",
            examples=["scheduled change"],
        ),
    ]
    epp_fingerprint: Annotated[str, Field(examples=[DIGEST_EXAMPLE])]
    registry_digest: Annotated[str, Field(examples=[DIGEST_EXAMPLE])]
    application_digest: Annotated[str, Field(examples=[DIGEST_EXAMPLE])]
    expires_at_max: UnixSeconds
    server_time: UnixSeconds


class Decided(BaseModel):
    """Where the loading request stands now: AWAITING_CONFIRMATION or REJECTED."""

    stage: Stage


@router.get("", summary="See what awaits review", responses=problems(SESSION, DATABASE))
async def list_reviews(signed_in: BySession, parts: PartsDep) -> Reviews:
    """List the applications that await this administrator's decision."""
    return reviews_of(await parts.database.run(_awaiting, parts, signed_in.person))


@router.get(
    "/{request_id}",
    summary="See what the decision must name",
    responses=problems(
        SESSION,
        {403: (Reason.REGISTRY_CHANGED,), 404: ("not-found",)},
        STAGED,
        DATABASE,
    ),
)
async def review_document(
    request_id: RequestIdPath, signed_in: BySession, parts: PartsDep
) -> ReviewDocument:
    """Give the second administrator what there is to see and to name."""
    return await parts.database.run(document_of, parts, signed_in, request_id)


@router.post(
    "/{request_id}/decision",
    response_model=Decided,
    summary="Approve or reject",
    responses={
        **problems(
            STATEMENT, BY_CLOCK, SESSION, APPROVAL_KEY, IN_PLACE, _REFUSED, STAGED, TEMPORAL
        ),
        **pending(),
    },
)
async def decide(
    request_id: RequestIdPath,
    body: SignedBody,
    caller: BySignature,
    signed_in: BySession,
    parts: PartsDep,
) -> Decided | JSONResponse:
    """Take the second administrator's `decision`; either way the first is told by SMS."""
    intake = Intake(DecisionPayload, partial(_place, request_id, signed_in), _answer)
    answer = await take_in(parts, caller, statement_text(body.statement), intake)
    return accepted(answer) if isinstance(answer, Pending) else answer


def reviews_of(rows: Sequence[LoadingRequestRow]) -> Reviews:
    """What an administrator sees of the loading requests that await their decision."""
    return Reviews(
        reviews=[
            ReviewSummary(
                request_id=row.request_id,
                terminal_no=row.terminal_no,
                model=row.model,
                branch=row.branch,
                first_administrator=row.first_staff_no,
                since=row.stage_since,
            )
            for row in rows
        ]
    )


def _awaiting(parts: Parts, person: str) -> list[LoadingRequestRow]:
    with parts.database.read() as session:
        return list(projection.awaiting_review(session, person))


def document_of(parts: Parts, signed_in: SignedIn, request_id: str) -> ReviewDocument:
    """What the second administrator's decision must name.

    Raises:
        NotFound: if the request is unknown or another's.
        WrongStage: if it does not await review.
        Refused: `registry-changed` if the registry is no longer what the application rests on.
    """
    now = parts.now()
    with parts.database.read() as session:
        row = projection.find(session, request_id)
        if row is None or row.second_person != signed_in.person:
            raise NotFound
        if row.stage is not Stage.AWAITING_REVIEW or row.application_digest is None:
            raise WrongStage(row.stage)
        standing = present(session, parts.trust, row.terminal_no, now=now).standing
        asked = submissions.get(session, row.request_digest)
    if standing is None or standing.registry_digest != row.registry_digest:
        raise Refused(Reason.REGISTRY_CHANGED)
    reload_reason = None if asked is None else _reload_reason(parts, asked, standing.terminal)
    first = standing.first.entry
    return ReviewDocument(
        aud=parts.trust.audience,
        request_id=row.request_id,
        terminal_no=row.terminal_no,
        model=standing.terminal.entry.model,
        branch=standing.terminal.entry.branch,
        administrator=signed_in.staff_no,
        first_administrator=FirstAdministrator(staff_no=first.staff_no, name=first.name),
        since=row.stage_since,
        reload_reason=reload_reason,
        epp_fingerprint=row.epp_fingerprint,
        registry_digest=row.registry_digest,
        application_digest=row.application_digest,
        # The limit counts from the signer's own clock, which may be as far behind as this.
        expires_at_max=now + APPROVAL_SECONDS - CLOCK_SKEW_SECONDS,
        server_time=now,
    )


def _reload_reason(parts: Parts, asked: SubmissionRow, terminal: VerifiedTerminal) -> str | None:
    """Why the terminal asks, as far as its own signature says so: a row alone says nothing."""
    try:
        said = verify(
            asked.statement,
            RequestPayload,
            (terminal.device_key,),
            audience=parts.trust.audience,
        )
    except StatementError:
        return None
    return said.payload.reload_reason if said.digest == asked.digest else None


def _place(
    request_id: str, signed_in: SignedIn, session: Session, signed: Signed[DecisionPayload]
) -> Place:
    row = of_administrator(session, signed, request_id, signed_in)
    if row.second_person != signed_in.person:
        raise NotFound(Reason.NOT_SECOND_ADMINISTRATOR)
    return Place(row.terminal_no)


def _answer(_session: Session, verdict: VerdictRow) -> Decided:
    if not verdict.accepted:
        raise verdict_problem(verdict.reason or Reason.MALFORMED, verdict.stage)
    return Decided(stage=verdict.stage)
