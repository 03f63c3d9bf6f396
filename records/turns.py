"""Turns: one transaction after the other, where what is decided on is more than one row.

A conditional update or a unique key decides about one row by itself. Who reads several rows, or
finds none, and writes what follows from it would on PostgreSQL decide on what another is about to
change; a turn makes such transactions follow one another. On SQLite every write transaction is
alone anyway.
"""

from enum import StrEnum
from typing import Final

from sqlalchemy import text
from sqlmodel import Session

_LOCK: Final = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")


class Turn(StrEnum):
    """What turns are taken about. Who takes several takes them in this order."""

    STATEMENT = "statement"
    TERMINALS = "terminals"
    PERSONS = "persons"
    REQUEST = "request"
    SMS = "sms"
    ALARMS = "alarms"
    RATES = "rates"


def take_turn(session: Session, turn: Turn, name: str = "") -> None:
    """Wait until no other transaction has this turn, and have it until one's own ends.

    Take it before anything is read that is decided on. Again in the same transaction costs nothing.

    Raises:
        sqlalchemy.exc.OperationalError: if another has it for too long; it is an outage
            (`records.failures`).
    """
    key = f"{turn}/{name}"
    had: set[str] = session.info.setdefault("turns", set())
    if key in had:
        return
    connection = session.connection()
    if connection.dialect.name == "postgresql":
        connection.execute(_LOCK, {"name": key})
    had.add(key)
