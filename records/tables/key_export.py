"""Exports of keys to the ATM back office."""

from sqlalchemy import BigInteger, CheckConstraint, Index
from sqlmodel import Field

from ceremony.keyexport import ExportState
from records.tables.record import Record, enum_column


class KeyExportRow(Record, table=True):
    """The export of one request's key, as the key worker wrapped it for the back office.

    `block` is an X9.143 key block (ASCII) under the export key, whose check value is
    `export_key_check`; it is empty once the back office confirmed it. The row goes when its key is
    active no more, unless it is confirmed. `block_digest` is the block's SHA-256. `attempts` counts
    the times that it was sent. `reason` says why it was refused. No foreign key to the keys, for
    the reason that those have none to the requests.
    """

    __tablename__ = "key_exports"
    __table_args__ = (
        CheckConstraint("attempts >= 0", name="attempts"),
        Index(None, "state", "request_id"),
    )

    request_id: str = Field(primary_key=True)
    terminal_no: str
    algorithm: str
    block: str
    block_digest: str
    export_key_check: str
    state: ExportState = Field(sa_column=enum_column(ExportState, "state"))
    reason: str | None = None
    attempts: int = 0
    exported_at: int = Field(sa_type=BigInteger)
    sent_at: int | None = Field(default=None, sa_type=BigInteger)
    answered_at: int | None = Field(default=None, sa_type=BigInteger)
