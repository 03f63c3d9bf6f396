"""Registry entries of persons' credentials."""

from enum import StrEnum

from sqlalchemy import BigInteger, Index, text
from sqlmodel import Field

from records.tables.record import Record, enum_column


class CredentialState(StrEnum):
    """Where a credential entry stands; only an active one counts, and a person has at most one.

    A pending one waits for officers, a cooling one has their signatures and waits for its time.
    """

    PENDING = "pending"
    COOLING = "cooling"
    ACTIVE = "active"
    SUPERSEDED = "superseded"
    REVOKED = "revoked"


def _one_active_per(column: str) -> Index:
    active = text("state = 'active'")
    return Index(
        f"uq_credential_entries_active_{column}",
        column,
        unique=True,
        sqlite_where=active,
        postgresql_where=active,
    )


class CredentialEntryRow(Record, table=True):
    """One credential entry, verbatim in `envelope`; every other column is only an index.

    `number_digest` stands for the telephone number, which is in no column. `credential_id`
    (base64url) marks a passkey. `roles` is a JSON array as text. `sign_count` is the one column
    that the entry does not say: the passkey's signature counter as last accepted.
    """

    __tablename__ = "credential_entries"
    __table_args__ = (
        _one_active_per("person"),
        _one_active_per("kid"),
        _one_active_per("staff_no"),
        _one_active_per("credential_id"),
        Index(None, "person", "seq"),
        Index(None, "state"),
        Index(None, "number_digest"),
    )

    digest: str = Field(primary_key=True)
    person: str
    staff_no: str
    name: str
    seq: int = Field(sa_type=BigInteger)
    kid: str
    credential_id: str | None = None
    number_digest: str
    envelope: str
    valid_until: int = Field(sa_type=BigInteger)
    state: CredentialState = Field(sa_column=enum_column(CredentialState, "state"))
    roles: str
    recorded_at: int = Field(sa_type=BigInteger)
    revoked_at: int | None = Field(default=None, sa_type=BigInteger)
    sign_count: int = Field(default=0, sa_type=BigInteger)
