"""Which SMS codes were asked for; the codes themselves are derived, never stored."""

from sqlalchemy import BigInteger, CheckConstraint
from sqlmodel import Field

from records.tables.record import Record


class CodeRequestRow(Record, table=True):
    """SMS code number `n` (from 1) of one person for one loading request."""

    __tablename__ = "code_requests"
    __table_args__ = (CheckConstraint("n >= 1", name="n"),)

    request_id: str = Field(primary_key=True)
    person: str = Field(primary_key=True)
    n: int = Field(primary_key=True)
    requested_at: int = Field(sa_type=BigInteger)
