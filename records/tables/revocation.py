"""Revocations as officers signed them."""

from sqlalchemy import BigInteger, Index
from sqlmodel import Field

from records.tables.record import Record


class RevocationRow(Record, table=True):
    """One revocation, verbatim in `statement`; never changed nor deleted (triggers).

    Every other column is only an index: `subject` is `terminal` or `person`, `name` the terminal
    number or the person, `seq` the highest that is taken away, `officer` the signer's key id.
    """

    __tablename__ = "revocations"
    __table_args__ = (Index(None, "subject", "name"),)

    digest: str = Field(primary_key=True)
    subject: str
    name: str
    seq: int = Field(sa_type=BigInteger)
    reason_code: str
    officer: str
    statement: str
    recorded_at: int = Field(sa_type=BigInteger)
