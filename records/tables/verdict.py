"""What the checks found: the replay store."""

from sqlalchemy import BigInteger, Index
from sqlmodel import Field

from ceremony.stages import Stage
from ceremony.statements import Kind
from records.tables.record import Record, enum_column


class VerdictRow(Record, table=True):
    """The one verdict on one statement; append-only (triggers), so a replay finds it for ever.

    `stage`, `version` and `state_json` are those of the loading request after the verdict. There
    is no foreign key to the loading request: a late statement may name one without a projection.
    """

    __tablename__ = "verdicts"
    __table_args__ = (Index(None, "request_id", "version"),)

    digest: str = Field(primary_key=True)
    request_id: str
    kind: Kind = Field(sa_column=enum_column(Kind, "kind"))
    accepted: bool
    reason: str | None = None
    stage: Stage = Field(sa_column=enum_column(Stage, "stage"))
    version: int
    attempts_left: int | None = None
    state_json: str
    decided_at: int = Field(sa_type=BigInteger)
