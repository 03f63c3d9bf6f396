"""Key orders on record: what officers signed about a key, and what the key worker made of it."""

from collections.abc import Sequence

from sqlmodel import Session, col, select

from records.inserting import find_or_create
from records.tables.key_order import KeyOrderRow


def put(session: Session, row: KeyOrderRow) -> bool:
    """Store an order unless it is stored; give whether it was new."""
    _, created = find_or_create(session, row)
    return created


def of_request(session: Session, request_id: str) -> Sequence[KeyOrderRow]:
    """The orders about a loading request's key, in the order in which they were published."""
    return session.exec(
        select(KeyOrderRow)
        .where(KeyOrderRow.request_id == request_id)
        .order_by(col(KeyOrderRow.recorded_at), col(KeyOrderRow.digest))
    ).all()
