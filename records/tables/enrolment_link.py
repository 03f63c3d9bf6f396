"""One-time links by which a person enrols a passkey."""

from sqlalchemy import BigInteger, Index
from sqlmodel import Field

from records.tables.record import Record


class EnrolmentLinkRow(Record, table=True):
    """One link, known by its token's SHA-256; `sealed_draft` is the draft entry, encrypted."""

    __tablename__ = "enrolment_links"
    __table_args__ = (Index(None, "person"),)

    token_digest: str = Field(primary_key=True)
    person: str
    sealed_draft: bytes
    expires_at: int = Field(sa_type=BigInteger)
    used_at: int | None = Field(default=None, sa_type=BigInteger)
