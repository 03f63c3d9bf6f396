"""Changes of administrators that had, or have, to wait."""

from enum import StrEnum

from sqlalchemy import BigInteger, Index
from sqlmodel import Field

from records.tables.record import Record, enum_column


class ChangeState(StrEnum):
    """How a change stands. Only a cooling one may still take effect."""

    COOLING = "cooling"
    EFFECTIVE = "effective"
    WITHDRAWN = "withdrawn"
    SUPERSEDED = "superseded"
    REFUSED = "refused"


class RegistryChangeRow(Record, table=True):
    """One signed entry, by its digest, that takes effect only after the cooling-off time.

    `subject` is `terminal` or `person`, `name` the terminal's number or the person. The entry
    itself is among the entries. `begun_at` is when the records took it, `effective_at` when the key
    worker said that it takes effect, `reason` why it did not.
    """

    __tablename__ = "registry_changes"
    __table_args__ = (Index(None, "state", "begun_at"), Index(None, "subject", "name"))

    digest: str = Field(primary_key=True)
    subject: str
    name: str
    seq: int = Field(sa_type=BigInteger)
    state: ChangeState = Field(sa_column=enum_column(ChangeState, "state"))
    begun_at: int = Field(sa_type=BigInteger)
    effective_at: int | None = Field(default=None, sa_type=BigInteger)
    ended_at: int | None = Field(default=None, sa_type=BigInteger)
    reason: str | None = None
