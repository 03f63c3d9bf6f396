"""States of sign-ins by OpenID Connect that have come back."""

from sqlalchemy import BigInteger, Index
from sqlmodel import Field

from records.tables.record import Record


class SpentStateRow(Record, table=True):
    """The SHA-256 of one `state` (RFC 6749 section 4.1.1), kept until it would have expired."""

    __tablename__ = "spent_states"
    __table_args__ = (Index(None, "expires_at"),)

    state_digest: str = Field(primary_key=True)
    expires_at: int = Field(sa_type=BigInteger)
