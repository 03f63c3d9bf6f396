"""SMS: the intent before each is sent, its outcome after, and the embedded outbox."""

from collections.abc import Sequence
from enum import StrEnum

from sqlalchemy import delete, update
from sqlmodel import Session, col, select

from records.inserting import find_or_create
from records.redaction import without_numbers
from records.tables.sms_message import SmsMessageRow, SmsStatus
from records.tables.sms_outbox import SmsOutboxRow

_UNFINISHED = (SmsStatus.INTENT, SmsStatus.AMBIGUOUS)

# What a status report may replace: it only ever moves a message on.
_BEFORE = {
    SmsStatus.SENT: (SmsStatus.INTENT, SmsStatus.AMBIGUOUS),
    SmsStatus.DELIVERED: (SmsStatus.INTENT, SmsStatus.AMBIGUOUS, SmsStatus.SENT),
    SmsStatus.UNDELIVERED: (SmsStatus.INTENT, SmsStatus.AMBIGUOUS, SmsStatus.SENT),
    SmsStatus.FAILED: (SmsStatus.INTENT, SmsStatus.AMBIGUOUS, SmsStatus.SENT),
}


class Delivery(StrEnum):
    """What a status report changed. `unknown`: no message has that identifier (yet)."""

    RECORDED = "recorded"
    UNCHANGED = "unchanged"
    UNKNOWN = "unknown"


def begin(
    session: Session, step: str, *, request_id: str, purpose: str, to_masked: str, now: int
) -> tuple[SmsMessageRow, bool]:
    """Note that a message is about to be sent, unless it was noted; commit before sending.

    Not new and still `intent` means that an earlier attempt may have sent it. A clear number in
    `to_masked` is masked.
    """
    return find_or_create(
        session,
        SmsMessageRow(
            step=step,
            request_id=request_id,
            purpose=purpose,
            to_masked=without_numbers(to_masked),
            status=SmsStatus.INTENT,
            created_at=now,
            updated_at=now,
        ),
    )


def finish(
    session: Session,
    step: str,
    status: SmsStatus,
    *,
    now: int,
    provider_sid: str | None = None,
    error: str | None = None,
) -> bool:
    """Note how sending ended, if it had not ended; False if it had, or there is no such step.

    Raises:
        sqlalchemy.exc.IntegrityError: if another message has this `provider_sid`.
    """
    finished = session.exec(
        update(SmsMessageRow)
        .where(col(SmsMessageRow.step) == step, col(SmsMessageRow.status).in_(_UNFINISHED))
        .values(
            status=status,
            provider_sid=provider_sid,
            error=None if error is None else without_numbers(error),
            updated_at=now,
        )
    )
    return bool(finished.rowcount)


def forget(session: Session, step: str) -> bool:
    """Take back an intent whose message was surely not sent; False if it is past that."""
    forgotten = session.exec(
        delete(SmsMessageRow).where(
            col(SmsMessageRow.step) == step, col(SmsMessageRow.status) == SmsStatus.INTENT
        )
    )
    return bool(forgotten.rowcount)


def delivery(
    session: Session, provider_sid: str, status: SmsStatus, *, now: int, error: str | None = None
) -> Delivery:
    """Note the provider's status report; a late or repeated one changes nothing.

    Raises:
        ValueError: for a status that no provider reports (`intent`, `ambiguous`).
    """
    if status not in _BEFORE:
        raise ValueError("not a provider's status")
    moved = session.exec(
        update(SmsMessageRow)
        .where(
            col(SmsMessageRow.provider_sid) == provider_sid,
            col(SmsMessageRow.status).in_(_BEFORE[status]),
        )
        .values(
            status=status,
            error=None if error is None else without_numbers(error),
            updated_at=now,
        )
    )
    if moved.rowcount:
        return Delivery.RECORDED
    known = session.exec(
        select(SmsMessageRow.step).where(SmsMessageRow.provider_sid == provider_sid)
    ).first()
    return Delivery.UNKNOWN if known is None else Delivery.UNCHANGED


def message(session: Session, step: str) -> SmsMessageRow | None:
    """The message of this step."""
    return session.get(SmsMessageRow, step)


def of_request(session: Session, request_id: str) -> Sequence[SmsMessageRow]:
    """The messages of a loading request, oldest first."""
    return session.exec(
        select(SmsMessageRow)
        .where(SmsMessageRow.request_id == request_id)
        .order_by(col(SmsMessageRow.created_at), col(SmsMessageRow.step))
    ).all()


def outbox_put(
    session: Session, step: str, sealed: bytes, *, now: int
) -> tuple[SmsOutboxRow, bool]:
    """Put a sealed message into the outbox unless its step is there; the first one stays."""
    return find_or_create(
        session, SmsOutboxRow(step=step, sealed=sealed, created_at=now), key="step"
    )


def outbox_list(
    session: Session, after_id: int = 0, *, limit: int = 1000
) -> Sequence[SmsOutboxRow]:
    """The outbox's messages with an id above `after_id`, oldest first, at most `limit`."""
    return session.exec(
        select(SmsOutboxRow)
        .where(col(SmsOutboxRow.id) > after_id)
        .order_by(col(SmsOutboxRow.id))
        .limit(limit)
    ).all()
