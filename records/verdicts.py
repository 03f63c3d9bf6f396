"""Verdicts: one per statement, for ever. They are the replay store."""

from collections.abc import Sequence

from sqlmodel import Session, col, select

from records import notices
from records.inserting import find_or_create
from records.tables.verdict import VerdictRow


def find(session: Session, digest: str) -> VerdictRow | None:
    """The verdict on the statement with this digest."""
    return session.get(VerdictRow, digest)


def add(session: Session, row: VerdictRow) -> tuple[VerdictRow, bool]:
    """Record a verdict unless there is one; return the recorded one and whether it is new."""
    notices.about(session, row.digest)
    return find_or_create(session, row)


def of_request(session: Session, request_id: str) -> Sequence[VerdictRow]:
    """All verdicts of one loading request, oldest first."""
    return session.exec(
        select(VerdictRow)
        .where(VerdictRow.request_id == request_id)
        .order_by(col(VerdictRow.version), col(VerdictRow.decided_at), col(VerdictRow.digest))
    ).all()
