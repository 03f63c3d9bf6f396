"""SMS: the intent before each is sent, its outcome after, and the embedded outbox."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import ColumnElement, case, delete, func, update
from sqlmodel import Session, col, select

from ceremony.smscaps import Cap, Sent, SmsCaps, met
from ceremony.spraying import DAY, HOUR, UNDECIDED_SECONDS, Conversion
from records.inserting import find_or_create
from records.redaction import without_numbers
from records.tables.loading_request import LoadingRequestRow
from records.tables.sms_message import SmsMessageRow, SmsStatus
from records.tables.sms_outbox import SmsOutboxRow
from records.turns import Turn, take_turn

_UNFINISHED = (SmsStatus.INTENT, SmsStatus.AMBIGUOUS)
_UNSENT = (SmsStatus.CAPPED, SmsStatus.FAILED)
"""Without the provider's identifier: kept back, or refused by the provider outright."""

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


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whom a message goes to, and about which terminal; a clear number is masked."""

    person: str
    terminal_no: str
    to_masked: str


def begin(
    session: Session,
    step: str,
    *,
    request_id: str,
    purpose: str,
    to: Recipient,
    caps: SmsCaps,
    now: int,
) -> tuple[SmsMessageRow, bool]:
    """Note that a message is about to be sent, unless it was noted; commit before sending.

    Not new and still `intent` means that an earlier attempt may have sent it. New and `capped`
    means that a cap is met: the row says which, and nothing is to be sent. Of two who begin at
    once, only one can take a cap's last message.
    """
    # Counts are of many rows: one after the other.
    take_turn(session, Turn.SMS)
    found = session.get(SmsMessageRow, step, populate_existing=True)
    cap = None if found is not None else _cap_met(session, purpose, to, caps, now)
    return find_or_create(
        session,
        SmsMessageRow(
            step=step,
            request_id=request_id,
            terminal_no=to.terminal_no,
            person=to.person,
            purpose=purpose,
            to_masked=without_numbers(to.to_masked),
            status=SmsStatus.INTENT if cap is None else SmsStatus.CAPPED,
            error=cap,
            created_at=now,
            updated_at=now,
        ),
    )


def _cap_met(session: Session, purpose: str, to: Recipient, caps: SmsCaps, now: int) -> Cap | None:
    return met(
        caps,
        person=_sent(session, purpose, col(SmsMessageRow.person) == to.person, now=now),
        terminal=_sent(session, purpose, col(SmsMessageRow.terminal_no) == to.terminal_no, now=now),
        everyone=_sent(session, purpose, now=now),
    )


def _sent(session: Session, purpose: str, *of: ColumnElement[bool], now: int) -> Sent:
    row = session.exec(
        select(
            func.count(case((col(SmsMessageRow.created_at) > now - HOUR, 1))), func.count()
        ).where(
            *of,
            col(SmsMessageRow.created_at) > now - DAY,
            col(SmsMessageRow.purpose) == purpose,
            col(SmsMessageRow.status).not_in(_UNSENT)
            | col(SmsMessageRow.provider_sid).is_not(None),
        )
    ).one()
    return Sent(*row)


def conversion(session: Session, *, now: int, span: int) -> Conversion:
    """How many loading requests were sent an SMS code within `span` seconds, and how many used it.

    The span ends when the youngest of them had their time to apply.
    """
    until = now - UNDECIDED_SECONDS
    row = session.exec(
        select(
            func.count(func.distinct(SmsMessageRow.request_id)),
            func.count(
                func.distinct(
                    case(
                        (
                            col(LoadingRequestRow.application_digest).is_not(None),
                            col(SmsMessageRow.request_id),
                        )
                    )
                )
            ),
        )
        .select_from(SmsMessageRow)
        .outerjoin(
            LoadingRequestRow,
            col(LoadingRequestRow.request_id) == col(SmsMessageRow.request_id),
        )
        .where(
            col(SmsMessageRow.created_at) > until - span,
            col(SmsMessageRow.created_at) <= until,
            col(SmsMessageRow.purpose) == "sms-code",
            col(SmsMessageRow.status) != SmsStatus.CAPPED,
        )
    ).one()
    return Conversion(*row)


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
