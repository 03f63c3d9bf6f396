"""What became of each SMS."""

from enum import StrEnum

from sqlalchemy import BigInteger, Index, UniqueConstraint
from sqlmodel import Field

from records.tables.record import Record, enum_column


class SmsStatus(StrEnum):
    """How far one SMS got. `ambiguous`: it may or may not have been sent; `capped`: not sent."""

    INTENT = "intent"
    SENT = "sent"
    AMBIGUOUS = "ambiguous"
    FAILED = "failed"
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"
    CAPPED = "capped"


class SmsMessageRow(Record, table=True):
    """One SMS: the intent before it is sent, then the outcome. Neither its text nor its number.

    `step` is `request_id/step/<ordinal or digest>`; `to_masked` shows the last digits only;
    `provider_sid` is the provider's identifier, `error` the provider's code or the cap that was
    met. `person` is whom it goes to, and with `terminal_no` what caps count.
    """

    __tablename__ = "sms_messages"
    __table_args__ = (
        UniqueConstraint("provider_sid"),
        Index(None, "request_id"),
        Index(None, "created_at"),
        Index(None, "person", "created_at"),
        Index(None, "terminal_no", "created_at"),
    )

    step: str = Field(primary_key=True)
    request_id: str
    terminal_no: str
    person: str
    purpose: str
    to_masked: str
    status: SmsStatus = Field(sa_column=enum_column(SmsStatus, "status"))
    provider_sid: str | None = None
    error: str | None = None
    created_at: int = Field(sa_type=BigInteger)
    updated_at: int = Field(sa_type=BigInteger)
