"""Updates: server-sent events for whoever watches, fed by the process's one change watcher.

Each event's id is what `Last-Event-ID` continues from, so a lost connection neither repeats nor
loses anything. A stream ends with an event `end` whose data says why; whoever came without
waiting for it (a proxy cut the connection, the server went) may come again at once.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Header, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel
from sqlmodel import Session

from api.authentication import (
    ByOperatorOrAuditor,
    BySession,
    ByViewer,
    RequestIdPath,
    Viewer,
    still_signed_in,
)
from api.evidence import Event, event_of, events_of
from api.loadingstatus import LoadingStatus, status_of
from api.parts import Parts, PartsDep
from api.responses import AUDITOR, DATABASE, QUERY, SESSION, Responses, problems
from api.routes.loading_requests import readable
from api.routes.reviews import Reviews, reviews_of
from api.signedin import SignedIn
from ceremony.encoding import canonical_json, sha256_hex
from ceremony.stages import FINAL
from records import audit, projection, sessions
from records.failures import DatabaseUnavailable

router = APIRouter()

RECHECK_SECONDS: Final = 15
"""A session that ended otherwise than by a change of the database is noticed within these."""
RECONNECT_MS: Final = 2000
_MARK_CHARACTERS: Final = 16
_MAX_VERSION: Final = 2**31

EndReason = Literal["final", "signed-out"]


class StreamEnd(BaseModel):
    """The data of the event `end`: why nothing more is to come."""

    reason: EndReason


@dataclass(frozen=True, slots=True)
class _News:
    mark: str
    data: BaseModel
    last: bool = False


@dataclass(frozen=True, slots=True)
class _End:
    reason: EndReason


Look = Callable[[Session, str], _News | _End | None]
"""What is new after a mark; None while nothing is."""


def _data(item: type[BaseModel]) -> dict[str, Any]:
    described = {"$ref": f"#/components/schemas/{item.__name__}"}
    return {
        "contentMediaType": "application/json",
        "contentSchema": {"anyOf": [described, StreamEnd.model_json_schema()]},
    }


def _documented(
    item: type[BaseModel], what: str, *more: Mapping[int, tuple[str, ...]]
) -> Responses:
    return {
        200: {
            "description": f"{what} Then an event `end` with a `reason`, when no more is to come; "
            "a comment every 15 seconds meanwhile.",
            "content": {"text/event-stream": {"itemSchema": {"properties": {"data": _data(item)}}}},
        },
        **problems(*more, QUERY, DATABASE),
    }


async def _place_of_viewer(
    request_id: RequestIdPath, viewer: ByViewer, parts: PartsDep
) -> AsyncIterator[None]:
    await parts.database.run(_check_readable, parts, request_id, viewer)
    holder = viewer.signed_in.person if viewer.signed_in else f"terminal of {request_id}"
    with parts.streams.admitted(holder):
        yield


async def _place_of_person(signed_in: BySession, parts: PartsDep) -> AsyncIterator[None]:
    with parts.streams.admitted(signed_in.person):
        yield


async def _place_of_reader(
    request_id: RequestIdPath, reader: ByOperatorOrAuditor, parts: PartsDep
) -> AsyncIterator[None]:
    await parts.database.run(_check_known, parts, request_id)
    with parts.streams.admitted(reader.person):
        yield


LastVersion = Annotated[
    int | None, Header(alias="Last-Event-ID", ge=0, le=_MAX_VERSION, examples=[2])
]
LastMark = Annotated[
    str | None, Header(alias="Last-Event-ID", max_length=64, examples=["9f86d081884c7d65"])
]


@router.get(
    "/v1/loading-requests/{request_id}/updates",
    tags=["loading requests"],
    summary="Follow a loading request",
    response_class=EventSourceResponse,
    dependencies=[Depends(_place_of_viewer)],
    responses=_documented(
        LoadingStatus,
        "Each event's data is the answer of the status call, without `qr` and `qr_digest`; its "
        "id is the version.",
        SESSION,
        {404: ("not-found",)},
    ),
)
async def follow_loading_request(
    request_id: RequestIdPath,
    viewer: ByViewer,
    parts: PartsDep,
    last_event_id: LastVersion = None,
    after: Annotated[
        int | None,
        Query(ge=0, le=_MAX_VERSION, description="As `Last-Event-ID`, for the first connection."),
    ] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Send where the loading request stands, now and at every change, until it is final.

    With `Last-Event-ID` or `after`, what is not newer than that version is not sent.
    """
    since = after if last_event_id is None else last_event_id
    look = partial(_status_after, request_id, viewer)
    async for event in _events(parts, viewer.signed_in, look, "" if since is None else str(since)):
        yield event


@router.get(
    "/v1/reviews/updates",
    tags=["reviews"],
    summary="Follow what awaits review",
    response_class=EventSourceResponse,
    dependencies=[Depends(_place_of_person)],
    responses=_documented(
        Reviews,
        "Each event's data is the answer of `GET /v1/reviews`, whenever it differs; its id "
        "stands for that answer.",
        SESSION,
    ),
)
async def follow_reviews(
    signed_in: BySession, parts: PartsDep, last_event_id: LastMark = None
) -> AsyncIterator[ServerSentEvent]:
    """Send what awaits this administrator's decision, now and at every change."""
    look = partial(_reviews_after, signed_in)
    async for event in _events(parts, signed_in, look, last_event_id or ""):
        yield event


@router.get(
    "/v1/loading-requests/{request_id}/events/updates",
    tags=["audit"],
    summary="Follow a timeline",
    response_class=EventSourceResponse,
    dependencies=[Depends(_place_of_reader)],
    responses=_documented(
        Event,
        "Each event's data is an event of the audit trail, in order; its id is that event's.",
        AUDITOR,
        {404: ("not-found",)},
    ),
)
async def follow_events(
    request_id: RequestIdPath,
    reader: ByOperatorOrAuditor,
    parts: PartsDep,
    last_event_id: Annotated[
        int | None, Header(alias="Last-Event-ID", ge=0, le=2**53, examples=[17])
    ] = None,
    after: Annotated[
        int | None,
        Query(ge=0, le=2**53, description="As `Last-Event-ID`, for the first connection."),
    ] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Send what happens to a loading request, refusals with their reason codes included."""
    since = after if last_event_id is None else last_event_id
    look = partial(_event_after, request_id)
    async for event in _events(parts, reader, look, str(since or 0)):
        yield event


async def _events(
    parts: Parts, signed_in: SignedIn | None, look: Look, mark: str
) -> AsyncIterator[ServerSentEvent]:
    yield ServerSentEvent(retry=RECONNECT_MS)
    while not parts.streams.stopping:
        try:
            found = await parts.streams.unless_stopping(
                parts.watcher.wait_for(
                    partial(_unless_signed_out, parts, signed_in, look, mark), RECHECK_SECONDS
                )
            )
            if signed_in is not None and not isinstance(found, _End):
                stands = await parts.database.run(_stands, parts, signed_in)
                found = found if stands else _End("signed-out")
        except DatabaseUnavailable:
            # The client comes again, and is told by a status what is away.
            return
        if isinstance(found, _News):
            mark = found.mark
            text = found.data.model_dump_json(exclude_unset=True)
            yield ServerSentEvent(raw_data=text, id=mark)
            if found.last:
                found = _End("final")
        if isinstance(found, _End):
            yield ServerSentEvent(event="end", data=StreamEnd(reason=found.reason))
            return


def _unless_signed_out(
    parts: Parts, signed_in: SignedIn | None, look: Look, mark: str, session: Session
) -> _News | _End | None:
    # The credential behind the session is verified before anything is sent; that is too dear to
    # do for every watcher at every change of the database.
    if (
        signed_in is not None
        and sessions.find_valid(session, signed_in.session_digest, parts.now()) is None
    ):
        return _End("signed-out")
    return look(session, mark)


def _stands(parts: Parts, signed_in: SignedIn) -> bool:
    with parts.database.read() as session:
        return still_signed_in(session, parts, signed_in)


def _check_readable(parts: Parts, request_id: str, viewer: Viewer) -> None:
    with parts.database.read() as session:
        readable(session, request_id, viewer)


def _check_known(parts: Parts, request_id: str) -> None:
    with parts.database.read() as session:
        events_of(session, request_id)


def _status_after(
    request_id: str, viewer: Viewer, session: Session, mark: str
) -> _News | _End | None:
    row = readable(session, request_id, viewer)
    if mark and row.version <= int(mark):
        return _End("final") if row.stage in FINAL else None
    status = status_of(session, row, viewer)
    return _News(str(row.version), status, last=row.stage in FINAL)


def _reviews_after(signed_in: SignedIn, session: Session, mark: str) -> _News | None:
    reviews = reviews_of(projection.awaiting_review(session, signed_in.person))
    new = sha256_hex(canonical_json(reviews.model_dump()))[:_MARK_CHARACTERS]
    return None if new == mark else _News(new, reviews)


def _event_after(request_id: str, session: Session, mark: str) -> _News | None:
    row = audit.next_of_request(session, request_id, int(mark))
    return None if row is None else _News(str(row.id), event_of(row))
