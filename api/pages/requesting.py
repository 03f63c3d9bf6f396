"""The requests pages: auditors search loading requests, and read one as a timeline.

Operators see the same without what proves: no signed statement, no key check value.

The search is a form that a browser sends by itself, so it works without any script; each page of
its results has an address of its own.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field
from sqlmodel import Session

from api.authentication import RequestIdPath
from api.evidence import Event, LoadingRecord, event_of, record_of
from api.pages.languages import language_of
from api.pages.rendering import render
from api.pages.times import moment
from api.pages.visitors import SignedInVisitor
from api.parts import Parts, PartsDep
from api.problems import NotFound, Refused
from api.roles import SEES_OPERATIONS
from api.signedin import SignedIn
from ceremony.encoding import EncodingError, strict_json
from ceremony.signing import payload_bytes
from ceremony.stages import OPEN, Stage
from ceremony.verification import StatementError, peek
from records import audit, projection, submissions, verdicts
from records.projection import BadCursor, Filter, Page
from records.tables.submission import SubmissionRow
from records.tables.verdict import VerdictRow

router = APIRouter(include_in_schema=False)

PAGE_ROWS: Final = 50
_MAX_CHARS: Final = 100

_Text = Annotated[str, Field(max_length=_MAX_CHARS)]


class Wanted(BaseModel):
    """What the search form sends: texts, as people type them; empty ones match any."""

    terminal: _Text = ""
    stage: _Text = ""
    administrator: _Text = ""
    branch: _Text = ""
    since: Annotated[_Text, Field(alias="from")] = ""
    until: _Text = ""
    after: _Text = ""
    before: _Text = ""

    def filter(self) -> Filter:
        """What to search for; days are UTC days, `until` the last one that counts.

        Raises:
            ValueError: if a stage or a day is none.
        """
        return Filter(
            terminal_no=self.terminal.strip().upper() or None,
            stages=[Stage(self.stage)] if self.stage else None,
            staff_no=self.administrator.strip() or None,
            branch=self.branch.strip() or None,
            opened_from=_day(self.since) if self.since else None,
            opened_until=_day(self.until, after=1) if self.until else None,
        )

    def address(self, **changed: str) -> str:
        """The address of this search, with other fields changed; the cursors go unless named."""
        fields = self.model_dump(by_alias=True, exclude={"after", "before"}) | changed
        query = urlencode({name: value for name, value in fields.items() if value})
        return f"/requests?{query}" if query else "/requests"


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement as received, with what the checks found; `payload` is its JSON, indented."""

    digest: str
    kind: str
    received_at: int
    payload: str
    accepted: bool | None
    reason: str | None
    said: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Timeline:
    record: LoadingRecord
    events: list[Event]
    statements: dict[str, Statement]


async def _overseer(visitor: SignedInVisitor) -> SignedIn:
    if not SEES_OPERATIONS & {*visitor.roles}:
        raise Refused("not-auditor")
    return visitor


OverseeingVisitor = Annotated[SignedIn, Depends(_overseer)]
"""An operator or auditor with a session; another person is refused, anyone else led to sign in."""


@router.get("/requests")
async def requests_page(
    request: Request,
    reader: OverseeingVisitor,
    parts: PartsDep,
    wanted: Annotated[Wanted, Query()],
) -> HTMLResponse:
    """Search, newest first; a search that cannot be read finds nothing, and says so."""
    page: Page | None
    try:
        page = await parts.database.run(_search, parts, wanted)
    except (BadCursor, ValueError):
        page = None
    return render(
        request,
        "requests.html",
        signed_in=reader,
        wanted=wanted,
        searched=wanted.address() != "/requests",
        page=page,
        stages_known=[stage.value for stage in Stage],
        moment=partial(moment, language=language_of(request)),
        server_time=parts.now(),
    )


@router.get("/requests/{request_id}")
async def request_page(
    request_id: RequestIdPath, request: Request, reader: OverseeingVisitor, parts: PartsDep
) -> HTMLResponse:
    """Show all that happened to one loading request, oldest first."""
    timeline = await parts.database.run(_timeline, parts, request_id, "auditor" in reader.roles)
    record = timeline.record
    return render(
        request,
        "request.html",
        signed_in=reader,
        record=record,
        is_open=record.stage in OPEN,
        events=timeline.events,
        last_event=max((event.id for event in timeline.events), default=0),
        statements=timeline.statements,
        workflow=parts.temporal_ui.workflow(request_id) if parts.temporal_ui else None,
        moment=partial(moment, language=language_of(request)),
        server_time=parts.now(),
    )


def _day(text: str, *, after: int = 0) -> int:
    day = date.fromisoformat(text) + timedelta(days=after)
    return max(0, int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()))


def _search(parts: Parts, wanted: Wanted) -> Page:
    with parts.database.read() as session:
        return projection.search(
            session,
            wanted.filter(),
            after=wanted.after or None,
            before=wanted.before or None,
            limit=PAGE_ROWS,
        )


def _timeline(parts: Parts, request_id: str, proofs: bool) -> _Timeline:
    with parts.database.read() as session:
        row = projection.find(session, request_id)
        if row is None:
            raise NotFound
        judged = {one.digest: one for one in verdicts.of_request(session, request_id)}
        return _Timeline(
            record=record_of(row, proofs=proofs),
            events=[event_of(one) for one in audit.of_request(session, request_id)],
            statements=_statements(session, request_id, judged) if proofs else {},
        )


def _statements(
    session: Session, request_id: str, judged: Mapping[str, VerdictRow]
) -> dict[str, Statement]:
    found = submissions.of_request(session, request_id)
    # A statement may be on record under another request than the one that judged it.
    others = (submissions.get(session, digest) for digest in judged)
    every = {row.digest: row for row in (*found, *others) if row is not None}
    return {digest: _statement(row, judged.get(digest)) for digest, row in every.items()}


def _statement(row: SubmissionRow, verdict: VerdictRow | None) -> Statement:
    said: Mapping[str, Any]
    try:
        said = strict_json(payload_bytes(peek(row.statement).payload))
    except (StatementError, EncodingError):
        said = {}
    return Statement(
        digest=row.digest,
        kind=row.kind.value,
        received_at=row.received_at,
        payload=json.dumps(said, indent=2, ensure_ascii=False),
        accepted=verdict.accepted if verdict else None,
        reason=verdict.reason if verdict else None,
        said=said,
    )
