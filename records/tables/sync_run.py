"""Runs of the registry synchronisation."""

from sqlalchemy import BigInteger, Index
from sqlmodel import Field

from records.tables.record import Record


class SyncRunRow(Record, table=True):
    """One run and its counts; `refused_json` is a JSON array of terminal_no and reason.

    `tag` names the content of the source that was applied whole, without a refusal.
    """

    __tablename__ = "sync_runs"
    __table_args__ = (Index(None, "started_at"),)

    run_id: str = Field(primary_key=True)
    started_at: int = Field(sa_type=BigInteger)
    finished_at: int | None = Field(default=None, sa_type=BigInteger)
    added: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0
    refused_json: str = "[]"
    note: str | None = None
    tag: str | None = None
