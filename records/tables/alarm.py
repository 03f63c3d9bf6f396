"""Alarms, and the signs that raise them."""

from sqlalchemy import BigInteger, Index
from sqlmodel import Field

from ceremony.spraying import Alarm
from records.tables.record import Record, enum_column


class AlarmRow(Record, table=True):
    """One alarm, at most one of a kind in each hour: `slot` is `<alarm>/<Unix hour>`.

    `seen` is how many were seen in the `within` seconds before it was raised.
    """

    __tablename__ = "alarms"
    __table_args__ = (Index(None, "raised_at"),)

    slot: str = Field(primary_key=True)
    alarm: Alarm = Field(sa_column=enum_column(Alarm, "alarm"))
    raised_at: int = Field(sa_type=BigInteger)
    seen: int
    within: int


class AlarmSignRow(Record, table=True):
    """That one subject had trouble, in one hour: `mark` is `<alarm>/<Unix hour>/<subject>`.

    `subject` is a digest of a person, a terminal or a key: enough to tell different ones apart.
    `seen_at` is the last time in that hour.
    """

    __tablename__ = "alarm_signs"
    __table_args__ = (Index(None, "alarm", "seen_at"),)

    mark: str = Field(primary_key=True)
    alarm: Alarm = Field(sa_column=enum_column(Alarm, "alarm"))
    subject: str
    seen_at: int = Field(sa_type=BigInteger)
