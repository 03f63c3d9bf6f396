"""Rates that all processes share: how often something was called, one row for each subject.

The generic cell rate algorithm (ITU-T I.371): a row holds only when its subject's calls will all
have drained away. One statement compares and counts, so two processes cannot both take the last
call, on either database.
"""

import hashlib
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, case, delete
from sqlmodel import Session, col

from records.database import Database
from records.failures import DatabaseUnavailable
from records.inserting import conflict_insert
from records.schema import METADATA
from records.tables.rate import RateRow
from records.turns import Turn, take_turn

PURGE_SECONDS: Final = 60
_MICRO: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Charged:
    """Whether calls were counted. `room` is for how many more there is, now.

    `retry_at`, in Unix seconds, is when there will be room for them; it is None if they were
    counted, and they were not otherwise.
    """

    room: int
    retry_at: float | None = None


class SharedRates:
    """Counts in the database. `clock` gives Unix seconds; those of all processes should agree."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        """Bind the database and a clock."""
        self._database = database
        self._clock = clock
        self._purge_lock = threading.Lock()
        self._purged_at = clock()

    async def charge(self, subject: str, calls: int, *, limit: int, seconds: int) -> Charged:
        """Count calls of a subject, if `limit` in `seconds` has room for all of them.

        At most `limit` are counted at once and `limit` in each `seconds` from then on.

        Raises:
            DatabaseUnavailable: nothing was counted.
            ValueError: for fewer than one call, or more than `limit`.
        """
        return await self._database.run(self._charge, subject, calls, limit, seconds)

    def _charge(self, subject: str, calls: int, limit: int, seconds: int) -> Charged:
        now = self._clock()
        # Whoever waits for a change of the records need not be woken for this.
        with self._database.write(quiet=True) as session:
            charged = charge(session, subject, calls, limit=limit, seconds=seconds, now=now)
        self._purge(now)
        return charged

    def _purge(self, now: float) -> None:
        with self._purge_lock:
            if now < self._purged_at + PURGE_SECONDS:
                return
            self._purged_at = now
        # The call is counted by now; what is left over can be deleted a minute later.
        with suppress(DatabaseUnavailable), self._database.write(quiet=True) as session:
            purge(session, now=now)


def charge(
    session: Session, subject: str, calls: int, *, limit: int, seconds: int, now: float
) -> Charged:
    """See `SharedRates.charge`; `now` is in Unix seconds."""
    if not 1 <= calls <= limit:
        raise ValueError("between one call and as many as the limit")
    # Rounded up: a rate is rather a little lower than it says.
    each = -(-seconds * _MICRO // limit)
    at, most = int(now * _MICRO), limit * each
    table = METADATA.tables["rates"]
    after = _later(table.c.busy_until, at, most) + calls * each
    statement = (
        conflict_insert(session, table)
        .values(subject=digest_of(subject), busy_until=at + calls * each)
        .on_conflict_do_update(
            index_elements=[table.c.subject],
            set_={"busy_until": after},
            where=after <= at + most,
        )
        .returning(table.c.busy_until)
    )
    session.flush()
    connection = session.connection()
    until = connection.execute(statement).scalar_one_or_none()
    if until is not None:
        return Charged((at + most - until) // each)
    row = session.get(RateRow, digest_of(subject), populate_existing=True)
    busy = at + most if row is None else row.busy_until
    return Charged(max(0, (at + most - busy) // each), (busy + calls * each - most) / _MICRO)


def purge(session: Session, *, now: float) -> int:
    """Delete the rows that mean nothing any more; return how many."""
    # Two who delete many rows at once, each in its own order, could wait for each other.
    take_turn(session, Turn.RATES)
    deleted = session.exec(delete(RateRow).where(col(RateRow.busy_until) < int(now * _MICRO)))
    return int(deleted.rowcount)


def digest_of(subject: str) -> str:
    """What stands for a subject in its row."""
    return hashlib.sha256(subject.encode()).hexdigest()[:32]


def _later(busy: ColumnElement[int], at: int, most: int) -> ColumnElement[int]:
    # Further ahead than any clock that is nearly right: a clock that was far off wrote it.
    return case((busy > at + 2 * most, at), (busy > at, busy), else_=at)
