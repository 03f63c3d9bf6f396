"""Loading requests: a terminal opens one; it and its administrators watch how it goes."""

import asyncio
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlmodel import Session

from api.authentication import BySignature, ByViewer, RequestIdPath, Viewer
from api.enrolled import Signed
from api.loadingstatus import LoadingStatus, status_of
from api.parts import Parts, PartsDep
from api.problems import NotFound, Refused, verdict_problem
from api.qrcodes import shown_code
from api.responses import (
    BY_CHALLENGE,
    QUERY,
    SESSION,
    STAGED,
    STATEMENT,
    TEMPORAL,
    pending,
    problems,
)
from api.statements import Intake, Pending, Place, take_in
from api.wire import (
    REQUEST_ID_EXAMPLE,
    QrCode,
    SignedBody,
    accepted,
    statement_text,
)
from ceremony.reasons import Reason
from ceremony.stages import Stage
from ceremony.statements import RequestPayload
from records import projection
from records.tables.loading_request import LoadingRequestRow
from records.tables.verdict import VerdictRow

router = APIRouter(prefix="/v1/loading-requests", tags=["loading requests"])

MAX_WAIT_SECONDS = 30

_OPENING_REFUSED = {
    403: (
        Reason.WRONG_TERMINAL,
        Reason.WRONG_EPP,
        Reason.REGISTRY_INCOMPLETE,
        Reason.FORMAT_UNSUPPORTED,
        Reason.RELOAD_REASON_MISSING,
    )
}


class LoadingOpened(BaseModel):
    """An open loading request: new, or the one that the terminal had."""

    request_id: Annotated[str, Field(examples=[REQUEST_ID_EXAMPLE])]
    stage: Stage
    status_token: Annotated[
        str,
        Field(
            description="Reads this loading request; not to be shown or logged.",
            examples=["4bN1v2S8h0c3qk5V7uXz9yA6dE8fG0iJ2kL4mN6oP8Q"],
        ),
    ]
    qr: Annotated[QrCode | None, Field(description="Only in AWAITING_APPLICATION.")]


@router.post(
    "",
    status_code=201,
    response_model=LoadingOpened,
    summary="Open a loading request",
    responses={
        **problems(STATEMENT, BY_CHALLENGE, _OPENING_REFUSED, STAGED, TEMPORAL),
        **pending(),
    },
)
async def open_loading_request(
    body: SignedBody, caller: BySignature, parts: PartsDep
) -> LoadingOpened | JSONResponse:
    """Take a terminal's `request` statement, signed by its device key.

    A terminal has one open loading request: while it is open, any `request` of the terminal
    gives that one again, with the QR code to show now.
    """
    intake = Intake(RequestPayload, _place, _answer)
    row = await take_in(parts, caller, statement_text(body.statement), intake)
    if isinstance(row, Pending):
        return accepted(row)
    return LoadingOpened(
        request_id=row.request_id,
        stage=row.stage,
        status_token=parts.tokens.status_token(row.request_id),
        qr=await asyncio.to_thread(shown_code, parts, row),
    )


@router.get(
    "/{request_id}",
    response_model_exclude_unset=True,
    summary="Watch a loading request",
    responses=problems(SESSION, {404: ("not-found",)}, QUERY, {503: ("database-unavailable",)}),
)
async def read_loading_request(
    request_id: RequestIdPath,
    viewer: ByViewer,
    parts: PartsDep,
    after: Annotated[
        int | None,
        Query(ge=0, le=2**31, description="Answer once the version is newer than this one."),
    ] = None,
    wait: Annotated[
        float, Query(ge=0, le=MAX_WAIT_SECONDS, description="Seconds to wait for that.")
    ] = 0,
) -> LoadingStatus:
    """Say where a loading request stands, now or after the next change.

    With `after` and `wait` it long-polls; when the time is up it answers with what there is.
    """
    look = partial(_look, request_id, viewer, after)
    seconds = wait if after is not None else 0
    found = await parts.watcher.wait_for(look, seconds, about=(request_id,))
    if found is None:
        found = await parts.database.run(_read, parts, request_id, viewer)
    row, status = found
    if viewer.is_terminal:
        status.qr = await asyncio.to_thread(shown_code, parts, row)
        status.qr_digest = row.qr_digest
    return status


def readable(session: Session, request_id: str, viewer: Viewer) -> LoadingRequestRow:
    """The loading request, if this viewer may see where it stands.

    Raises:
        NotFound: if it is unknown, or not the viewer's.
    """
    row = projection.find(session, request_id)
    if row is None or not _may_read(viewer, row):
        raise NotFound
    return row


def _place(_session: Session, signed: Signed[RequestPayload]) -> Place:
    if signed.terminal_no is None or signed.payload.terminal_no != signed.terminal_no:
        raise Refused(Reason.WRONG_TERMINAL)
    return Place(signed.terminal_no)


def _answer(session: Session, verdict: VerdictRow) -> LoadingRequestRow | None:
    if not verdict.accepted:
        raise verdict_problem(verdict.reason or Reason.MALFORMED, verdict.stage)
    return projection.find(session, verdict.request_id)


def _look(
    request_id: str, viewer: Viewer, after: int | None, session: Session
) -> tuple[LoadingRequestRow, LoadingStatus] | None:
    row = readable(session, request_id, viewer)
    if after is not None and row.version <= after:
        return None
    return row, status_of(session, row, viewer)


def _may_read(viewer: Viewer, row: LoadingRequestRow) -> bool:
    if viewer.signed_in is None:
        return True
    return viewer.signed_in.person in (row.first_person, row.second_person)


def _read(parts: Parts, request_id: str, viewer: Viewer) -> tuple[LoadingRequestRow, LoadingStatus]:
    with parts.database.read() as session:
        row = readable(session, request_id, viewer)
        return row, status_of(session, row, viewer)
