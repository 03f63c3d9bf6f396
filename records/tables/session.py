"""Sessions of administrators, auditors and operators."""

from enum import StrEnum

from sqlalchemy import BigInteger, Index
from sqlmodel import Field

from records.tables.record import Record, enum_column


class SessionSource(StrEnum):
    """How someone signed in: by a statement of their credential's, or by OpenID Connect."""

    CREDENTIAL = "credential"
    OPENID_CONNECT = "openid-connect"


class SessionRow(Record, table=True):
    """One session, known by its token's SHA-256. `roles` is a JSON array as text.

    `person` and `kid` name the credential entry that the session rests on; both are null where it
    rests on none. `seal` is the API's MAC over all that the row grants: whoever can write rows
    cannot make a session.
    """

    __tablename__ = "sessions"
    __table_args__ = (Index(None, "person"), Index(None, "expires_at"))

    token_digest: str = Field(primary_key=True)
    source: SessionSource = Field(sa_column=enum_column(SessionSource, "source"))
    person: str | None = None
    kid: str | None = None
    staff_no: str
    name: str
    roles: str
    created_at: int = Field(sa_type=BigInteger)
    expires_at: int = Field(sa_type=BigInteger)
    ended_at: int | None = Field(default=None, sa_type=BigInteger)
    seal: str
