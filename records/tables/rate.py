"""How often something was called, for limits that all processes share."""

from sqlalchemy import BigInteger, Index
from sqlmodel import Field

from records.tables.record import Record


class RateRow(Record, table=True):
    """One subject's rate. `busy_until` is in Unix microseconds; a row of the past means nothing.

    `subject` is a digest of what is counted: no person, terminal or address is named.
    """

    __tablename__ = "rates"
    __table_args__ = (Index(None, "busy_until"),)

    subject: str = Field(primary_key=True)
    busy_until: int = Field(sa_type=BigInteger)
