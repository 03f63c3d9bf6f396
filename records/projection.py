"""The projection of the loading requests: written by the workflow's activities, read by callers."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypedDict, Unpack

from sqlalchemy import ColumnElement, tuple_, update
from sqlmodel import Session, col, select

from ceremony.stages import OPEN, Stage
from records import notices
from records.inserting import find_or_create
from records.tables.loading_request import LoadingRequestRow

MAX_PAGE = 200


class StaleVersion(Exception):
    """The loading request is unknown, or has moved on from the version that was expected."""

    def __init__(self, request_id: str, expected: int) -> None:
        """Tell which request and which version."""
        super().__init__(f"{request_id} is not at version {expected}")
        self.request_id = request_id
        self.expected = expected


class BadCursor(ValueError):
    """The text is not a cursor that `search` gave out."""


class Changes(TypedDict, total=False):
    """What a move may change; who and what the request is about never changes."""

    stage: Stage
    reason: str | None
    stage_since: int
    application_digest: str | None
    qr_digest: str | None
    decision_digest: str | None
    confirmation_digest: str | None
    receipt_digest: str | None
    token_digest: str | None
    kcv: str | None


@dataclass(frozen=True)
class Filter:
    """What to search for; None means any.

    `staff_no` is either administrator's. `opened_from` and `opened_until` are Unix seconds, the
    first inclusive, the second exclusive.
    """

    terminal_no: str | None = None
    stages: Collection[Stage] | None = None
    staff_no: str | None = None
    branch: str | None = None
    opened_from: int | None = None
    opened_until: int | None = None


@dataclass(frozen=True)
class Page:
    """One page of a search, newest first.

    `next` is the cursor of what follows, `previous` that of what comes before; None at the ends.
    """

    rows: Sequence[LoadingRequestRow]
    next: str | None
    previous: str | None = None


def open_request(session: Session, row: LoadingRequestRow) -> tuple[LoadingRequestRow, bool]:
    """Store a new request unless its id is known; return the stored one and whether it is new."""
    notices.about(session, row.request_id)
    return find_or_create(session, row)


def find(
    session: Session, request_id: str, *, for_update: bool = False
) -> LoadingRequestRow | None:
    """The loading request with this id.

    `for_update` locks its row until the transaction ends (PostgreSQL; on SQLite the whole write
    transaction is exclusive anyway).
    """
    statement = select(LoadingRequestRow).where(LoadingRequestRow.request_id == request_id)
    if for_update:
        statement = statement.with_for_update()
    return session.exec(statement).one_or_none()


def open_for_terminal(session: Session, terminal_no: str) -> LoadingRequestRow | None:
    """The terminal's loading request in an open stage; the newest, should there be several."""
    return session.exec(
        select(LoadingRequestRow)
        .where(LoadingRequestRow.terminal_no == terminal_no, col(LoadingRequestRow.stage).in_(OPEN))
        .order_by(col(LoadingRequestRow.opened_at).desc())
    ).first()


def move(
    session: Session, request_id: str, expected_version: int, **changes: Unpack[Changes]
) -> int:
    """Apply changes if the request is at `expected_version`; return its new version, one higher.

    One conditional UPDATE, so two movers can never both succeed.

    Raises:
        StaleVersion: if the request is unknown or at another version.
    """
    notices.about(session, request_id)
    moved = session.exec(
        update(LoadingRequestRow)
        .where(
            col(LoadingRequestRow.request_id) == request_id,
            col(LoadingRequestRow.version) == expected_version,
        )
        .values(version=expected_version + 1, **changes)
    )
    if moved.rowcount != 1:
        raise StaleVersion(request_id, expected_version)
    return expected_version + 1


def awaiting_review(session: Session, second_person: str) -> Sequence[LoadingRequestRow]:
    """What awaits this person's decision, the longest waiting first."""
    return session.exec(
        select(LoadingRequestRow)
        .where(
            LoadingRequestRow.second_person == second_person,
            LoadingRequestRow.stage == Stage.AWAITING_REVIEW,
        )
        .order_by(col(LoadingRequestRow.stage_since), col(LoadingRequestRow.request_id))
    ).all()


def search(
    session: Session,
    wanted: Filter,
    *,
    after: str | None = None,
    before: str | None = None,
    limit: int = 50,
) -> Page:
    """Search, newest first, at most `limit` (1 to 200) rows.

    With the cursor `after`, the page that follows it; with `before`, the page that leads up to
    it; one of them at most. Pages are cut by key, so requests opened meanwhile neither shift nor
    repeat rows, and a page costs the same wherever it is.

    Raises:
        BadCursor: if a cursor is not one of this function.
    """
    limit = max(1, min(limit, MAX_PAGE))
    cursor = after if before is None else before
    rows = _nearest(session, wanted, cursor, limit + 1, backwards=before is not None)
    more, rows = len(rows) > limit, rows[:limit]
    if not rows:
        return Page((), None)
    if before is not None:
        rows.reverse()
        return Page(rows, _cursor(rows[-1]), _cursor(rows[0]) if more else None)
    previous = None if after is None else _cursor(rows[0])
    return Page(rows, _cursor(rows[-1]) if more else None, previous)


def _nearest(
    session: Session, wanted: Filter, cursor: str | None, limit: int, *, backwards: bool
) -> list[LoadingRequestRow]:
    opened_at, request_id = col(LoadingRequestRow.opened_at), col(LoadingRequestRow.request_id)
    order = (opened_at, request_id) if backwards else (opened_at.desc(), request_id.desc())
    conditions = _conditions(wanted)
    if cursor is not None:
        key, position = tuple_(opened_at, request_id), tuple_(*_position(cursor))
        conditions.append(key > position if backwards else key < position)
    found: dict[str, LoadingRequestRow] = {}
    for lane in _lanes(wanted):
        statement = select(LoadingRequestRow).where(*lane, *conditions)
        for row in session.exec(statement.order_by(*order).limit(limit)):
            found[row.request_id] = row
    rows = sorted(
        found.values(), key=lambda row: (row.opened_at, row.request_id), reverse=not backwards
    )
    return rows[:limit]


def _lanes(wanted: Filter) -> Iterator[tuple[ColumnElement[bool], ...]]:
    """The alternatives of a filter, each of which an index gives in order.

    Asked for in one query with OR, the database would fetch and sort all that match.
    """
    row = LoadingRequestRow
    stages: Sequence[tuple[ColumnElement[bool], ...]] = [()]
    people: Sequence[tuple[ColumnElement[bool], ...]] = [()]
    if wanted.stages is not None:
        stages = [(col(row.stage) == stage,) for stage in wanted.stages]
    if wanted.staff_no is not None:
        either = (row.first_staff_no, row.second_staff_no)
        people = [(col(column) == wanted.staff_no,) for column in either]
    for stage, person in product(stages, people):
        yield (*stage, *person)


def _cursor(row: LoadingRequestRow) -> str:
    return f"{row.opened_at}.{row.request_id}"


def _conditions(wanted: Filter) -> list[ColumnElement[bool]]:
    row = LoadingRequestRow
    conditions: list[ColumnElement[bool]] = []
    if wanted.terminal_no is not None:
        conditions.append(col(row.terminal_no) == wanted.terminal_no)
    if wanted.branch is not None:
        conditions.append(col(row.branch) == wanted.branch)
    if wanted.opened_from is not None:
        conditions.append(col(row.opened_at) >= wanted.opened_from)
    if wanted.opened_until is not None:
        conditions.append(col(row.opened_at) < wanted.opened_until)
    return conditions


def _position(cursor: str) -> tuple[int, str]:
    opened_at, dot, request_id = cursor.partition(".")
    # Sixteen digits fit the column; more would be an error of the database, not of the caller.
    if not (dot and request_id and opened_at.isascii() and opened_at.isdigit()):
        raise BadCursor("not a cursor")
    if len(opened_at) > 16 or len(request_id) > 64 or "\x00" in request_id:
        raise BadCursor("not a cursor")
    return int(opened_at), request_id
