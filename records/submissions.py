"""Statements as received. The first copy wins and is never changed."""

from collections.abc import Sequence

from sqlmodel import Session, col, select

from records.inserting import find_or_create
from records.tables.submission import SubmissionRow


def receive(session: Session, row: SubmissionRow) -> tuple[SubmissionRow, bool]:
    """Store a submission unless its digest is known; return the stored one and whether it is new.

    A repeat with another typed code or QR code changes nothing: it is the same statement.
    """
    return find_or_create(session, row)


def get(session: Session, digest: str) -> SubmissionRow | None:
    """The submission with this statement digest."""
    return session.get(SubmissionRow, digest)


def of_request(session: Session, request_id: str) -> Sequence[SubmissionRow]:
    """Everything received about one loading request, oldest first."""
    return session.exec(
        select(SubmissionRow)
        .where(SubmissionRow.request_id == request_id)
        .order_by(col(SubmissionRow.received_at), col(SubmissionRow.digest))
    ).all()
