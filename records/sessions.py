"""Sessions of administrators, auditors and operators, known by their token's digest only."""

from collections.abc import Sequence

from sqlalchemy import delete, or_, update
from sqlmodel import Session, col, select

from records.tables.session import SessionRow


def create(session: Session, row: SessionRow) -> None:
    """Store a new session.

    Raises:
        sqlalchemy.exc.IntegrityError: if the token digest is taken.
    """
    session.add(row)
    session.flush()


def find_valid(session: Session, token_digest: str, now: int) -> SessionRow | None:
    """The session of this token, if it has neither ended nor expired."""
    return session.exec(
        select(SessionRow).where(
            SessionRow.token_digest == token_digest,
            SessionRow.expires_at > now,
            col(SessionRow.ended_at).is_(None),
        )
    ).one_or_none()


def end(session: Session, token_digest: str, now: int) -> bool:
    """End a session; False if there is none or it had ended."""
    ended = session.exec(
        update(SessionRow)
        .where(col(SessionRow.token_digest) == token_digest, col(SessionRow.ended_at).is_(None))
        .values(ended_at=now)
    )
    return bool(ended.rowcount)


def end_all_of(session: Session, staff_no: str, now: int) -> int:
    """End every open session of whoever has this staff number; return how many."""
    ended = session.exec(
        update(SessionRow)
        .where(
            col(SessionRow.staff_no) == staff_no,
            col(SessionRow.ended_at).is_(None),
            col(SessionRow.expires_at) > now,
        )
        .values(ended_at=now)
    )
    return ended.rowcount


def open_now(session: Session, now: int, *, limit: int = 1_000) -> Sequence[SessionRow]:
    """The sessions that have neither ended nor expired, the newest first."""
    return session.exec(
        select(SessionRow)
        .where(col(SessionRow.ended_at).is_(None), SessionRow.expires_at > now)
        .order_by(col(SessionRow.created_at).desc(), col(SessionRow.token_digest))
        .limit(limit)
    ).all()


def purge_expired(session: Session, now: int) -> int:
    """Delete the sessions that have expired or ended; return how many. The audit trail stays."""
    purged = session.exec(
        delete(SessionRow).where(
            or_(col(SessionRow.expires_at) <= now, col(SessionRow.ended_at).is_not(None))
        )
    )
    return purged.rowcount
