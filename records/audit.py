"""The audit trail: written in the transaction of what it tells, never changed."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlmodel import Session, col, select

from records.redaction import without_numbers
from records.tables.audit_event import ActorKind, AuditEventRow
from records.turns import Turn, take_turn


def write(
    session: Session,
    event: str,
    *,
    at: int,
    actor_kind: ActorKind,
    actor: str | None = None,
    request_id: str | None = None,
    terminal_no: str | None = None,
    reason: str | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Add one event; it is durable when the session's transaction is.

    The events of one loading request are committed in the order of their ids, so whoever follows
    them by id misses none; those of several requests need not be.

    `event` and `reason` are kebab-case codes, `detail` plain JSON values and no secret. Telephone
    numbers in `actor` and `detail` are masked.

    Raises:
        TypeError, ValueError: if `detail` is not JSON.
    """
    if request_id is not None:
        take_turn(session, Turn.REQUEST, request_id)
    session.add(
        AuditEventRow(
            at=at,
            request_id=request_id,
            terminal_no=terminal_no,
            actor_kind=actor_kind,
            actor=None if actor is None else without_numbers(actor),
            event=event,
            reason=reason,
            detail=_detail(detail or {}),
        )
    )
    session.flush()


def of_request(session: Session, request_id: str) -> Sequence[AuditEventRow]:
    """The events of a loading request, in the order in which they were written."""
    return session.exec(
        select(AuditEventRow)
        .where(AuditEventRow.request_id == request_id)
        .order_by(col(AuditEventRow.id))
    ).all()


def next_of_request(session: Session, request_id: str, after_id: int) -> AuditEventRow | None:
    """The first event of a loading request with an id above `after_id`."""
    return session.exec(
        select(AuditEventRow)
        .where(AuditEventRow.request_id == request_id, col(AuditEventRow.id) > after_id)
        .order_by(col(AuditEventRow.id))
        .limit(1)
    ).one_or_none()


def of_detail(session: Session, detail: Mapping[str, Any]) -> Sequence[AuditEventRow]:
    """The events with exactly this detail, oldest first; it looks through the whole trail."""
    return session.exec(
        select(AuditEventRow)
        .where(AuditEventRow.detail == _detail(detail))
        .order_by(col(AuditEventRow.id))
    ).all()


def of_terminal(
    session: Session, terminal_no: str, *, after_id: int = 0, limit: int = 200
) -> Sequence[AuditEventRow]:
    """The events of a terminal with an id above `after_id`, oldest first, at most `limit`."""
    return session.exec(
        select(AuditEventRow)
        .where(AuditEventRow.terminal_no == terminal_no, col(AuditEventRow.id) > after_id)
        .order_by(col(AuditEventRow.id))
        .limit(limit)
    ).all()


def since(session: Session, after_id: int = 0, *, limit: int = 200) -> Sequence[AuditEventRow]:
    """All events with an id above `after_id`, oldest first, at most `limit`."""
    return session.exec(
        select(AuditEventRow)
        .where(col(AuditEventRow.id) > after_id)
        .order_by(col(AuditEventRow.id))
        .limit(limit)
    ).all()


def latest(session: Session, *, event: str | None = None, limit: int) -> Sequence[AuditEventRow]:
    """The last events, of one name or of all, newest first, at most `limit`."""
    wanted = select(AuditEventRow).order_by(col(AuditEventRow.id).desc()).limit(limit)
    if event is not None:
        wanted = wanted.where(col(AuditEventRow.event) == event)
    return session.exec(wanted).all()


def _detail(detail: Mapping[str, Any]) -> str:
    text = json.dumps(
        dict(detail),
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
        allow_nan=False,
    )
    return without_numbers(text)
