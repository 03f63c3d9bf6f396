"""What became of each SMS."""

from enum import StrEnum

from sqlalchemy import BigInteger, Index, UniqueConstraint
from sqlmodel import Field

from records.tables.record import Record, enum_column


class SmsStatus(StrEnum):
    """How far one SMS got. `ambiguous`: it may or may not have been sent."""

    INTENT = "intent"
    SENT = "sent"
    AMBIGUOUS = "ambiguous"
    FAILED = "failed"
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"


class SmsMessageRow(Record, table=True):
    """One SMS: the intent before it is sent, then the outcome. Neither its text nor its number.

    `step` is `request_id/step/<ordinal or digest>`; `to_masked` shows the last digits only;
    `provider_sid` is the provider's identifier, `error` the provider's code.
    """

    __tablename__ = "sms_messages"
    __table_args__ = (UniqueConstraint("provider_sid"), Index(None, "request_id"))

    step: str = Field(primary_key=True)
    request_id: str
    purpose: str
    to_masked: str
    status: SmsStatus = Field(sa_column=enum_column(SmsStatus, "status"))
    provider_sid: str | None = None
    error: str | None = None
    created_at: int = Field(sa_type=BigInteger)
    updated_at: int = Field(sa_type=BigInteger)
