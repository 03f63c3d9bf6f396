"""Statements as the API received them."""

from sqlalchemy import BigInteger, Index
from sqlmodel import Field

from ceremony.statements import Kind
from records.tables.record import Record, enum_column


class SubmissionRow(Record, table=True):
    """One authentic statement, stored before its signal is sent; never changed (a trigger).

    `code_mac` is the MAC of what the person typed, `code_n` the SMS code's number it was checked
    against; `qr_*` are what the presented QR code contained. None of them is the statement's own.
    """

    __tablename__ = "submissions"
    __table_args__ = (Index(None, "request_id"),)

    digest: str = Field(primary_key=True)
    kind: Kind = Field(sa_column=enum_column(Kind, "kind"))
    request_id: str
    terminal_no: str
    signer_kid: str
    person: str | None = None
    statement: str
    code_n: int | None = None
    code_mac: str | None = None
    qr_n: int | None = Field(default=None, sa_type=BigInteger)
    qr_expires_at: int | None = Field(default=None, sa_type=BigInteger)
    qr_request_id: str | None = None
    qr_terminal_no: str | None = None
    received_at: int = Field(sa_type=BigInteger)
