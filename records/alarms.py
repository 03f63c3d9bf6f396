"""Alarms: raised once an hour and kind, whichever processes see the signs.

A sign says that one person, terminal or key had trouble; how many different ones had is what
`ceremony.spraying` judges.
"""

import logging
from collections.abc import Sequence
from typing import Final

from sqlalchemy import delete, event, func
from sqlmodel import Session, col, select

from ceremony.encoding import sha256_hex
from ceremony.spraying import DAY, ENOUGH, HOUR, SPANS, Alarm, Raised, many, unused
from records import audit, messages
from records.inserting import conflict_insert, find_or_create
from records.schema import METADATA
from records.tables.alarm import AlarmRow, AlarmSignRow
from records.tables.audit_event import ActorKind
from records.turns import Turn, take_turn

_log: Final = logging.getLogger("keyfill.alarms")


def sign(session: Session, alarm: Alarm, subject: str, *, now: int) -> bool:
    """Note that `subject` had trouble, and raise the alarm if too many had; say if it was raised.

    Call it in the transaction that records the trouble, after everything else.
    """
    # Two transactions that add the last two signs would each miss the other's.
    take_turn(session, Turn.ALARMS)
    session.flush()
    if _different(session, alarm, since=now - HOUR) < ENOUGH:
        _note(session, alarm, sha256_hex(f"{alarm}/{subject}".encode())[:32], now)
    found = many(alarm, {span: _different(session, alarm, since=now - span) for span in SPANS})
    return found is not None and raise_alarm(session, found, now=now)


def watch_conversion(session: Session, *, now: int) -> bool:
    """Raise the alarm if too many SMS codes are sent and not used; say if it was raised."""
    found = unused({span: messages.conversion(session, now=now, span=span) for span in SPANS})
    return found is not None and raise_alarm(session, found, now=now)


def raise_alarm(session: Session, found: Raised, *, now: int) -> bool:
    """Raise an alarm unless it was raised in this hour (of the clock); say whether it was new.

    It is audited, and logged as an error once the transaction is committed.
    """
    _, new = find_or_create(
        session,
        AlarmRow(
            slot=f"{found.alarm}/{now // HOUR}",
            alarm=found.alarm,
            raised_at=now,
            seen=found.seen,
            within=found.within,
        ),
    )
    if not new:
        return False
    audit.write(
        session,
        f"alarm-{found.alarm}",
        at=now,
        actor_kind=ActorKind.SYSTEM,
        detail={"seen": found.seen, "within": found.within},
    )

    def log(_: Session) -> None:
        _log.error(
            "alarm %(alarm)s: %(seen)d within %(seconds)d s",
            {"alarm": found.alarm, "seen": found.seen, "seconds": found.within},
        )

    event.listen(session, "after_commit", log, once=True)
    return True


def counts(session: Session, *, since: int = 0) -> dict[Alarm, int]:
    """How many alarms of each kind were raised at or after `since` (Unix seconds), zeros too."""
    found = session.exec(
        select(AlarmRow.alarm, func.count())
        .where(col(AlarmRow.raised_at) >= since)
        .group_by(col(AlarmRow.alarm))
    ).all()
    return {**dict.fromkeys(Alarm, 0), **{Alarm(alarm): count for alarm, count in found}}


def latest(session: Session, *, limit: int) -> Sequence[AlarmRow]:
    """The latest alarms, the newest first."""
    return session.exec(
        select(AlarmRow).order_by(col(AlarmRow.raised_at).desc(), AlarmRow.slot).limit(limit)
    ).all()


def _note(session: Session, alarm: Alarm, subject: str, now: int) -> None:
    table = METADATA.tables["alarm_signs"]
    session.connection().execute(
        conflict_insert(session, table)
        .values(mark=f"{alarm}/{now // HOUR}/{subject}", alarm=alarm, subject=subject, seen_at=now)
        .on_conflict_do_update(index_elements=[table.c.mark], set_={"seen_at": now})
    )
    session.exec(
        delete(AlarmSignRow).where(
            col(AlarmSignRow.alarm) == alarm, col(AlarmSignRow.seen_at) <= now - DAY
        )
    )


def _different(session: Session, alarm: Alarm, *, since: int) -> int:
    return session.exec(
        select(func.count(func.distinct(AlarmSignRow.subject))).where(
            AlarmSignRow.alarm == alarm, col(AlarmSignRow.seen_at) > since
        )
    ).one()
