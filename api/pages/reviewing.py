"""The review pages: what awaits the second administrator, and one application in plain words.

Each stage of a loading request has its face here, so that a reload, a return or another tab shows
where it stands; a script signs, sends, and fetches the page again at every change.
"""

from dataclasses import dataclass
from functools import partial
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from sqlmodel import Session

from api.authentication import RequestIdPath, Viewer
from api.loadingstatus import LoadingStatus, decision_of, status_of
from api.pages.languages import LANGUAGES, Language, language_of
from api.pages.rendering import render
from api.pages.times import moment
from api.pages.visitors import SignedInVisitor
from api.parts import Parts, PartsDep
from api.problems import NotFound, Refused
from api.routes.reviews import ReviewDocument, document_of
from api.signedin import SignedIn
from ceremony.checks import APPROVAL_SECONDS, CLOCK_SKEW_SECONDS
from ceremony.stages import Stage
from ceremony.statements import DecisionPayload
from ceremony.words import fingerprint_words
from records import projection, verdicts
from records.tables.loading_request import LoadingRequestRow
from workflows.policies import STAGE_DEADLINES

router = APIRouter(include_in_schema=False)

VALID_SECONDS: Final = APPROVAL_SECONDS - CLOCK_SKEW_SECONDS
"""How long an approval counts from signing; its limit is checked by a clock that may differ."""

_STEPS: Final = (
    Stage.AWAITING_APPLICATION,
    Stage.AWAITING_REVIEW,
    Stage.AWAITING_CONFIRMATION,
    Stage.AWAITING_RECEIPT,
)
_GROUP: Final = 4


@dataclass(frozen=True, slots=True)
class _Decision:
    said: DecisionPayload
    at: int | None


@dataclass(frozen=True, slots=True)
class _Review:
    row: LoadingRequestRow
    status: LoadingStatus
    decision: _Decision | None
    document: ReviewDocument | None = None
    refused: str | None = None


@router.get("/r")
async def reviews_page(request: Request, visitor: SignedInVisitor, parts: PartsDep) -> HTMLResponse:
    """List what awaits this administrator, the longest waiting first."""
    rows = await parts.database.run(_awaiting, parts, visitor.person)
    return render(
        request,
        "reviews.html",
        signed_in=visitor,
        rows=rows,
        deadlines={row.request_id: _deadline(row) for row in rows},
        moment=partial(moment, language=language_of(request)),
        server_time=parts.now(),
    )


@router.get("/r/{request_id}")
async def review_page(
    request_id: RequestIdPath, request: Request, visitor: SignedInVisitor, parts: PartsDep
) -> HTMLResponse:
    """Show one application to its second administrator: to be decided, or how it goes on."""
    review = await parts.database.run(_review, parts, visitor, request_id)
    language = language_of(request)
    row, fingerprint = review.row, review.row.epp_fingerprint
    return render(
        request,
        "review.html",
        signed_in=visitor,
        review=review,
        row=row,
        progress=review.status,
        document=review.document,
        decision=review.decision,
        steps=_steps(review),
        fingerprint=grouped(fingerprint),
        # The terminal's screen may speak the other language: its words are there to be compared.
        words={one: fingerprint_words(fingerprint, one) for one in _first(language)},
        valid_seconds=VALID_SECONDS,
        moment=partial(moment, language=language),
        server_time=parts.now(),
    )


def grouped(digest: str) -> str:
    """A digest in groups of four digits, as it can be read and compared."""
    return " ".join(digest[n : n + _GROUP] for n in range(0, len(digest), _GROUP))


def _first(language: Language) -> list[Language]:
    return sorted(LANGUAGES, key=lambda one: one != language)


def _awaiting(parts: Parts, person: str) -> list[LoadingRequestRow]:
    with parts.database.read() as session:
        return list(projection.awaiting_review(session, person))


def _review(parts: Parts, visitor: SignedIn, request_id: str) -> _Review:
    with parts.database.read() as session:
        row = projection.find(session, request_id)
        if row is None or row.second_person != visitor.person:
            raise NotFound
        review = _Review(row, status_of(session, row, Viewer(visitor)), _decision(session, row))
        if row.stage is not Stage.AWAITING_REVIEW:
            return review
    try:
        document = document_of(parts, visitor, request_id)
    except Refused as problem:
        return _Review(row, review.status, review.decision, refused=problem.code)
    return _Review(row, review.status, review.decision, document=document)


def _decision(session: Session, row: LoadingRequestRow) -> _Decision | None:
    said = decision_of(session, row)
    if said is None or row.decision_digest is None:
        return None
    verdict = verdicts.find(session, row.decision_digest)
    return _Decision(said, verdict.decided_at if verdict else None)


def _steps(review: _Review) -> dict[str, str]:
    """How far the request got: each step's class in the timeline."""
    row = review.row
    if row.stage is Stage.LOADED:
        return dict.fromkeys(_STEPS, "done")
    reached = _reached(row)
    now = "now" if row.stage in _STEPS else "failed"
    return {
        step: "done" if n < reached else now if n == reached else ""
        for n, step in enumerate(_STEPS)
    }


def _reached(row: LoadingRequestRow) -> int:
    if row.stage in _STEPS:
        return _STEPS.index(row.stage)
    passed = (row.application_digest, row.decision_digest, row.token_digest)
    # A rejection is a decision, and the step that it ended at.
    count = sum(digest is not None for digest in passed)
    return 1 if row.stage is Stage.REJECTED else count


def _deadline(row: LoadingRequestRow) -> int:
    return row.stage_since + int(STAGE_DEADLINES[Stage.AWAITING_REVIEW].total_seconds())
