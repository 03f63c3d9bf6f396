"""Key tokens: a terminal's key, encrypted to its EPP."""

from sqlalchemy import BigInteger, CheckConstraint, UniqueConstraint
from sqlmodel import Field

from records.tables.record import Record


class TokenRow(Record, table=True):
    """The token that answers one confirmation; `ordinal` 1 is the release, later ones re-wraps.

    `value` is standard base64 of the token's bytes, `token_digest` the SHA-256 of those bytes.
    """

    __tablename__ = "tokens"
    __table_args__ = (
        UniqueConstraint("token_digest"),
        UniqueConstraint("request_id", "ordinal"),
        CheckConstraint("ordinal >= 1", name="ordinal"),
    )

    confirmation_digest: str = Field(primary_key=True)
    request_id: str = Field(foreign_key="keys.request_id")
    ordinal: int
    format: str
    key_algorithm: str
    value: str
    token_digest: str
    issued_at: int = Field(sa_type=BigInteger)
