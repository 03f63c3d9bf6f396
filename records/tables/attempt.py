"""Counters of wrong attempts."""

from sqlalchemy import CheckConstraint
from sqlmodel import Field

from records.tables.record import Record


class AttemptRow(Record, table=True):
    """How many attempts of one scope are used; a scope is a path such as `day/<person>/<date>`."""

    __tablename__ = "attempts"
    __table_args__ = (CheckConstraint("used >= 0", name="used"),)

    scope: str = Field(primary_key=True)
    used: int
