"""The audit trail."""

from enum import StrEnum

from sqlalchemy import BigInteger, Column, Index
from sqlmodel import Field

from records.tables.record import Record, RowNumber, enum_column


class ActorKind(StrEnum):
    """Who did it. `system` is the workflow itself, for instance when a deadline passes."""

    TERMINAL = "terminal"
    ADMINISTRATOR = "administrator"
    AUDITOR = "auditor"
    OPERATOR = "operator"
    OFFICER = "officer"
    BACK_OFFICE = "back-office"
    KEY_WORKER = "key-worker"
    SYSTEM = "system"


class AuditEventRow(Record, table=True):
    """One event; append-only (triggers), never renumbered. `detail` is a JSON object as text.

    `actor` is a terminal_no, staff number or process, never a telephone number.
    """

    __tablename__ = "audit_events"
    __table_args__ = (
        Index(None, "request_id", "id"),
        Index(None, "terminal_no", "id"),
        {"sqlite_autoincrement": True},
    )

    id: int | None = Field(
        default=None, sa_column=Column("id", RowNumber, primary_key=True, autoincrement=True)
    )
    at: int = Field(sa_type=BigInteger)
    request_id: str | None = None
    terminal_no: str | None = None
    actor_kind: ActorKind = Field(sa_column=enum_column(ActorKind, "actor_kind"))
    actor: str | None = None
    event: str
    reason: str | None = None
    detail: str
