"""Audit: auditors search loading requests, read their timelines, and take the evidence away.

Operators search and read timelines too, as far as operations need it: nothing that proves.
"""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.authentication import ByAuditor, ByOperatorOrAuditor, RequestIdPath
from api.evidence import Event, Evidence, LoadingRecord, events_of, evidence_of, record_of
from api.parts import Parts, PartsDep
from api.problems import Malformed
from api.responses import AUDITOR, DATABASE, QUERY, problems
from api.signedin import SignedIn
from ceremony.stages import Stage
from records import audit, projection
from records.projection import MAX_PAGE, BadCursor, Filter
from records.tables.audit_event import ActorKind

router = APIRouter(prefix="/v1/loading-requests", tags=["audit"])

_UNKNOWN = {404: ("not-found",)}


class LoadingRecords(BaseModel):
    """One page of a search, newest first; `next` is the `after` of the following page."""

    loading_requests: list[LoadingRecord]
    next: str | None


class Timeline(BaseModel):
    """The events of one loading request, oldest first."""

    events: list[Event]


class Search(BaseModel):
    """What to search for; what is left out matches any."""

    model_config = {"extra": "forbid"}

    terminal_no: Annotated[str | None, Field(max_length=32)] = None
    stage: Annotated[list[Stage], Field(max_length=len(Stage))] = []
    staff_no: Annotated[str | None, Field(max_length=32)] = None
    branch: Annotated[str | None, Field(max_length=80)] = None
    opened_from: Annotated[int | None, Field(ge=0, le=2**53)] = None
    opened_until: Annotated[int | None, Field(ge=0, le=2**53)] = None
    after: Annotated[
        str | None, Field(max_length=100, description="`next` of the page before.")
    ] = None
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 50


@router.get(
    "",
    summary="Search loading requests",
    responses=problems(AUDITOR, {400: ("malformed",)}, QUERY, DATABASE),
)
async def search_loading_requests(
    wanted: Annotated[Search, Query()], reader: ByOperatorOrAuditor, parts: PartsDep
) -> LoadingRecords:
    """Search by terminal, stage, either administrator's staff number, branch and opening time.

    An operator who is no auditor sees no `kcv`.
    """
    return await parts.database.run(_search, parts, reader, wanted)


@router.get(
    "/{request_id}/events",
    summary="Read a timeline",
    responses=problems(AUDITOR, _UNKNOWN, DATABASE),
)
async def read_events(
    request_id: RequestIdPath, _reader: ByOperatorOrAuditor, parts: PartsDep
) -> Timeline:
    """List who did what when, refusals with their reason codes included."""
    return await parts.database.run(_timeline, parts, request_id)


@router.get(
    "/{request_id}/evidence",
    summary="Take the evidence",
    responses=problems(AUDITOR, _UNKNOWN, DATABASE),
)
async def read_evidence(request_id: RequestIdPath, auditor: ByAuditor, parts: PartsDep) -> Evidence:
    """Give all that is on record, statements and entries verbatim; the taking is audited too.

    This release gives it as one JSON document. The bundle that checks itself offline, with the
    certificates in it, is yet to come.
    """
    return await parts.database.run(_evidence, parts, auditor, request_id)


def _search(parts: Parts, reader: SignedIn, wanted: Search) -> LoadingRecords:
    sought = Filter(
        terminal_no=wanted.terminal_no,
        stages=wanted.stage or None,
        staff_no=wanted.staff_no,
        branch=wanted.branch,
        opened_from=wanted.opened_from,
        opened_until=wanted.opened_until,
    )
    with parts.database.read() as session:
        try:
            page = projection.search(session, sought, after=wanted.after, limit=wanted.limit)
        except BadCursor:
            raise Malformed("malformed") from None
    records = [record_of(row, proofs="auditor" in reader.roles) for row in page.rows]
    return LoadingRecords(loading_requests=records, next=page.next)


def _timeline(parts: Parts, request_id: str) -> Timeline:
    with parts.database.read() as session:
        return Timeline(events=events_of(session, request_id))


def _evidence(parts: Parts, auditor: SignedIn, request_id: str) -> Evidence:
    with parts.database.read() as session:
        evidence = evidence_of(session, request_id)
    with parts.database.write() as session:
        # It holds telephone numbers, so who took it is on record as well.
        audit.write(
            session,
            "evidence-taken",
            at=parts.now(),
            actor_kind=ActorKind.AUDITOR,
            actor=auditor.staff_no,
            request_id=request_id,
            terminal_no=evidence.loading_request.terminal_no,
        )
    return evidence
