"""The exports of keys to the ATM back office, and which keys are still due.

Only of a key that is active and has a KCV, so that its terminal proved it, is anything due or open.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, func, or_, update
from sqlmodel import Session, col, select

from ceremony.keyexport import ExportState
from records import audit
from records.inserting import find_or_create
from records.tables.audit_event import ActorKind
from records.tables.key import KeyRow, KeyState
from records.tables.key_export import KeyExportRow

OPEN = (ExportState.PENDING, ExportState.SENT)
_PROVED = (col(KeyRow.state) == KeyState.ACTIVE, col(KeyRow.kcv).is_not(None))


@dataclass(frozen=True, slots=True)
class DueExport:
    """A key that the back office does not have yet; `wrapped` if its block was made."""

    request_id: str
    wrapped: bool


def publish(session: Session, row: KeyExportRow) -> tuple[KeyExportRow, bool]:
    """Store a request's export unless it has one; return the stored one and whether it is new."""
    return find_or_create(session, row)


def find(session: Session, request_id: str) -> KeyExportRow | None:
    """The export of a request's key."""
    return session.get(KeyExportRow, request_id)


def due(session: Session, *, after: str, limit: int) -> list[DueExport]:
    """The next proved keys by request id that were not exported, or not answered for good."""
    rows = session.exec(
        select(KeyRow.request_id, KeyExportRow.state)
        .outerjoin(KeyExportRow, col(KeyExportRow.request_id) == col(KeyRow.request_id))
        .where(
            *_PROVED,
            col(KeyRow.request_id) > after,
            or_(col(KeyExportRow.state).is_(None), col(KeyExportRow.state).in_(OPEN)),
        )
        .order_by(col(KeyRow.request_id))
        .limit(limit)
    ).all()
    return [DueExport(request_id, wrapped=state is not None) for request_id, state in rows]


def deliverable(session: Session, *, after: str, limit: int) -> Sequence[KeyExportRow]:
    """The next open exports by request id whose keys may be brought to the back office."""
    return session.exec(
        select(KeyExportRow)
        .join(KeyRow, col(KeyRow.request_id) == col(KeyExportRow.request_id))
        .where(
            *_PROVED,
            col(KeyExportRow.state).in_(OPEN),
            col(KeyExportRow.block) != "",
            col(KeyExportRow.request_id) > after,
        )
        .order_by(col(KeyExportRow.request_id))
        .limit(limit)
    ).all()


def page(
    session: Session, states: Sequence[ExportState], *, after: str, limit: int
) -> Sequence[KeyExportRow]:
    """The next exports in these states, by request id."""
    return session.exec(
        select(KeyExportRow)
        .where(col(KeyExportRow.state).in_(states), col(KeyExportRow.request_id) > after)
        .order_by(col(KeyExportRow.request_id))
        .limit(limit)
    ).all()


def counts(session: Session) -> dict[ExportState, int]:
    """How many exports there are in each state; those of no export are left out."""
    rows = session.exec(
        select(KeyExportRow.state, func.count()).group_by(col(KeyExportRow.state))
    ).all()
    return {ExportState(state): int(count) for state, count in rows}


def sent(session: Session, request_id: str, *, now: int) -> bool:
    """Note that an open export is about to be sent; False if it is settled, or there is none."""
    moved = session.exec(
        update(KeyExportRow)
        .where(col(KeyExportRow.request_id) == request_id, col(KeyExportRow.state).in_(OPEN))
        .values(state=ExportState.SENT, sent_at=now, attempts=col(KeyExportRow.attempts) + 1)
    )
    return bool(moved.rowcount)


def settle(
    session: Session,
    request_id: str,
    block_digest: str,
    state: ExportState,
    reason: str | None,
    *,
    now: int,
) -> bool:
    """Note what the back office answered to a block; False if it is settled or another by now.

    A confirmed block is erased: the back office has the key, and nobody needs a further copy.
    """
    erased = {"block": ""} if state is ExportState.CONFIRMED else {}
    moved = session.exec(
        update(KeyExportRow)
        .where(
            col(KeyExportRow.request_id) == request_id,
            col(KeyExportRow.block_digest) == block_digest,
            col(KeyExportRow.state).in_(OPEN),
        )
        .values(state=state, reason=reason, answered_at=now, **erased)
    )
    return bool(moved.rowcount)


def erase(session: Session, request_id: str) -> bool:
    """Overwrite the block of a key that is destroyed or compromised; False if there is none."""
    erased = session.exec(
        update(KeyExportRow)
        .where(col(KeyExportRow.request_id) == request_id, col(KeyExportRow.block) != "")
        .values(block="")
    )
    return bool(erased.rowcount)


def forget(session: Session, request_id: str) -> bool:
    """Take an export away, so that the key is wrapped and sent anew; False if there is none."""
    gone = session.exec(delete(KeyExportRow).where(col(KeyExportRow.request_id) == request_id))
    return bool(gone.rowcount)


def withdraw(session: Session, request_id: str, *, now: int) -> bool:
    """Take away what was not confirmed, since its key is active no more, and tell so.

    The event says whether it was sent: then the back office may have it all the same. False if
    there is none, or it was confirmed.
    """
    row = find(session, request_id)
    if row is None:
        return False
    gone = session.exec(
        delete(KeyExportRow).where(
            col(KeyExportRow.request_id) == request_id,
            col(KeyExportRow.state) != ExportState.CONFIRMED,
        )
    )
    if not gone.rowcount:
        return False
    audit.write(
        session,
        "key-export-withdrawn",
        at=now,
        actor_kind=ActorKind.KEY_WORKER,
        request_id=request_id,
        terminal_no=row.terminal_no,
        detail={"block": row.block_digest, "state": row.state.value},
    )
    return True
