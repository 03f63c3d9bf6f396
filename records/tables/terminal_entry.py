"""Registry entries of terminals."""

from sqlalchemy import BigInteger, Index, UniqueConstraint, text
from sqlmodel import Field

from records.tables.record import Record


class TerminalEntryRow(Record, table=True):
    """One signed terminal entry, verbatim in `envelope`; every other column is only an index.

    Nothing may be granted on a column's word: whoever relies on an entry verifies the envelope.
    Entries stay for ever, as evidence; at most one a terminal is `current`.
    `epp_fingerprint` is the SHA-256 of the EPP certificate (DER), `epp_key_fingerprint` that of
    its public key, `device_kid` the RFC 7638 thumbprint of the device key.
    """

    __tablename__ = "terminal_entries"
    __table_args__ = (
        UniqueConstraint("terminal_no", "seq"),
        Index(
            "uq_terminal_entries_current",
            "terminal_no",
            unique=True,
            sqlite_where=text("current"),
            postgresql_where=text("current"),
        ),
        Index(None, "device_kid"),
        Index(None, "epp_key_fingerprint"),
    )

    digest: str = Field(primary_key=True)
    terminal_no: str
    seq: int = Field(sa_type=BigInteger)
    envelope: str
    model: str
    branch: str
    epp_fingerprint: str
    epp_key_fingerprint: str
    device_kid: str
    first_person: str
    second_person: str
    valid_until: int = Field(sa_type=BigInteger)
    current: bool
    recorded_at: int = Field(sa_type=BigInteger)
    withdrawn_at: int | None = Field(default=None, sa_type=BigInteger)
