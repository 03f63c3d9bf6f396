"""Sessions of administrators and auditors."""

from sqlalchemy import BigInteger, Index
from sqlmodel import Field

from records.tables.record import Record


class SessionRow(Record, table=True):
    """One session, known by its token's SHA-256. `roles` is a JSON array as text."""

    __tablename__ = "sessions"
    __table_args__ = (Index(None, "person"), Index(None, "expires_at"))

    token_digest: str = Field(primary_key=True)
    person: str
    kid: str
    roles: str
    created_at: int = Field(sa_type=BigInteger)
    expires_at: int = Field(sa_type=BigInteger)
    ended_at: int | None = Field(default=None, sa_type=BigInteger)
