"""The SMS outbox of the embedded default: what a phone would have received."""

from sqlalchemy import BigInteger, Column, UniqueConstraint
from sqlmodel import Field

from records.tables.record import Record, RowNumber


class SmsOutboxRow(Record, table=True):
    """One SMS, number and text sealed by the gateway; `id` grows with time."""

    __tablename__ = "sms_outbox"
    __table_args__ = (UniqueConstraint("step"), {"sqlite_autoincrement": True})

    id: int | None = Field(
        default=None, sa_column=Column("id", RowNumber, primary_key=True, autoincrement=True)
    )
    step: str
    sealed: bytes
    created_at: int = Field(sa_type=BigInteger)
