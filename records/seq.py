"""The `seq` of registry entries: the highest on record, and what is not above it."""

from sqlalchemy import ColumnElement, func
from sqlalchemy.orm import Mapped
from sqlmodel import Session, select


class StaleEntry(Exception):
    """The entry's `seq` is not above the highest that is on record for its terminal or person."""

    def __init__(self, seq: int, highest: int) -> None:
        """Tell both numbers."""
        super().__init__(f"seq {seq} is not above {highest}")
        self.seq = seq
        self.highest = highest


def highest(session: Session, seq: Mapped[int], *conditions: ColumnElement[bool]) -> int | None:
    """The highest `seq` among the rows that meet the conditions; None if there is none."""
    return session.exec(select(func.max(seq)).where(*conditions)).one()
