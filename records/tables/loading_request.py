"""The projection: what callers and auditors see of the loading requests."""

from sqlalchemy import BigInteger, CheckConstraint, Index
from sqlmodel import Field

from ceremony.stages import Stage
from records.tables.record import ByteOrderedText, Record, enum_column


class LoadingRequestRow(Record, table=True):
    """One loading request as its workflow last reported it; the workflow never reads it to decide.

    `version` grows by one with every change. `kcv` is filled only after a receipt.
    """

    __tablename__ = "loading_requests"
    __table_args__ = (
        CheckConstraint("version >= 0", name="version"),
        Index(None, "second_person", "stage"),
        # A search reads its pages along one of these, in order (`records.projection.search`).
        Index(None, "terminal_no", "opened_at", "request_id"),
        Index(None, "stage", "opened_at", "request_id"),
        Index(None, "first_staff_no", "opened_at", "request_id"),
        Index(None, "second_staff_no", "opened_at", "request_id"),
        Index(None, "branch", "opened_at", "request_id"),
        Index(None, "opened_at", "request_id"),
    )

    request_id: str = Field(primary_key=True, sa_type=ByteOrderedText)
    terminal_no: str
    workflow_id: str
    stage: Stage = Field(sa_column=enum_column(Stage, "stage"))
    reason: str | None = None
    version: int
    model: str
    branch: str
    epp_fingerprint: str
    registry_digest: str
    first_person: str
    second_person: str
    first_staff_no: str
    second_staff_no: str
    opened_at: int = Field(sa_type=BigInteger)
    stage_since: int = Field(sa_type=BigInteger)
    request_digest: str
    application_digest: str | None = None
    qr_digest: str | None = None
    decision_digest: str | None = None
    confirmation_digest: str | None = None
    receipt_digest: str | None = None
    token_digest: str | None = None
    kcv: str | None = None
