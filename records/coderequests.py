"""Which SMS codes a person asked for: their numbers and times, never the codes."""

from dataclasses import dataclass

from sqlmodel import Session, col, select

from records.inserting import find_or_create
from records.tables.code_request import CodeRequestRow


@dataclass(frozen=True)
class CodeGranted:
    """Code `n` is to be sent now; another may be asked for at `resend_at` (Unix seconds)."""

    n: int
    requested_at: int
    resend_at: int


@dataclass(frozen=True)
class CodeTooEarly:
    """Code `n` was asked for a moment ago and stays the current one until `resend_at`."""

    n: int
    requested_at: int
    resend_at: int


@dataclass(frozen=True)
class CodesExhausted:
    """Code `n` was the last one of this loading request."""

    n: int
    requested_at: int


Asked = CodeGranted | CodeTooEarly | CodesExhausted


def ask(
    session: Session, request_id: str, person: str, *, now: int, resend_after: int, limit: int
) -> Asked:
    """Ask for the next SMS code of a person; numbers run from 1 to `limit`.

    `resend_after` is the least time between two codes, in seconds. Of two who ask at once, one is
    granted the code and the other is too early.
    """
    last = latest(session, request_id, person)
    if last is not None and now < last.requested_at + resend_after:
        return CodeTooEarly(last.n, last.requested_at, last.requested_at + resend_after)
    if last is not None and last.n >= limit:
        return CodesExhausted(last.n, last.requested_at)
    n = 1 if last is None else last.n + 1
    row, created = find_or_create(
        session, CodeRequestRow(request_id=request_id, person=person, n=n, requested_at=now)
    )
    outcome = CodeGranted if created else CodeTooEarly
    return outcome(row.n, row.requested_at, row.requested_at + resend_after)


def latest(session: Session, request_id: str, person: str) -> CodeRequestRow | None:
    """The newest code that this person asked for in this loading request."""
    return session.exec(
        select(CodeRequestRow)
        .where(CodeRequestRow.request_id == request_id, CodeRequestRow.person == person)
        .order_by(col(CodeRequestRow.n).desc())
    ).first()


def get(session: Session, request_id: str, person: str, n: int) -> CodeRequestRow | None:
    """Code request number `n` of this person in this loading request."""
    return session.get(CodeRequestRow, (request_id, person, n))
