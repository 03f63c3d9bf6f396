"""Where a loading request stands, as its terminal and its two administrators are told."""

from typing import Annotated

from pydantic import BaseModel, Field
from sqlmodel import Session

from api.authentication import Viewer
from api.wire import DIGEST_EXAMPLE, REQUEST_ID_EXAMPLE, QrCode, UnixSeconds
from ceremony.stages import Stage
from ceremony.statements import DecisionPayload
from ceremony.verification import peek
from records import submissions
from records.tables.loading_request import LoadingRequestRow
from workflows.policies import STAGE_DEADLINES


class LoadingStatus(BaseModel):
    """Where a loading request stands; `reason` is the code of why it ended as it did."""

    request_id: Annotated[str, Field(examples=[REQUEST_ID_EXAMPLE])]
    stage: Stage
    version: Annotated[int, Field(description="Grows with every change.", examples=[2])]
    reason: Annotated[str | None, Field(examples=["expired"])]
    terminal_no: Annotated[
        str | None,
        Field(
            description="For its administrators only, once an application was accepted.",
            examples=["ATM-0001"],
        ),
    ] = None
    expires_at: Annotated[
        UnixSeconds | None,
        Field(description="For its administrators only: when this stage ends by itself, if ever."),
    ] = None
    decision_reason: Annotated[
        str | None,
        Field(
            description="For its administrators only: the second administrator's own words.",
            examples=["The branch is closed today."],
        ),
    ] = None
    kcv: Annotated[
        str | None,
        Field(
            description="For its administrators only, once a receipt proved it: the key check "
            "value.",
            examples=["a1b2c3"],
        ),
    ] = None
    qr: Annotated[
        QrCode | None,
        Field(description="For the status token only, and only in AWAITING_APPLICATION."),
    ] = None
    qr_digest: Annotated[
        str | None,
        Field(
            description="For the status token only: the QR code of the accepted application, "
            "which the confirmation must name and the terminal must have shown.",
            examples=[DIGEST_EXAMPLE],
        ),
    ] = None


def status_of(session: Session, row: LoadingRequestRow, viewer: Viewer) -> LoadingStatus:
    """What this viewer may know of a loading request, but for the QR code."""
    status = LoadingStatus(
        request_id=row.request_id, stage=row.stage, version=row.version, reason=row.reason
    )
    if viewer.is_terminal:
        return status
    decision = decision_of(session, row)
    if row.stage is not Stage.AWAITING_APPLICATION:
        # The first administrator reads it off the machine, and must not read it off a screen.
        status.terminal_no = row.terminal_no
    status.expires_at = _expires_at(row, decision)
    status.decision_reason = decision.reason if decision else None
    # The terminal proves the key check value; it is not to be told it.
    status.kcv = row.kcv if row.stage is Stage.LOADED else None
    return status


def decision_of(session: Session, row: LoadingRequestRow) -> DecisionPayload | None:
    """The decision on record; the statement was verified before its digest got into the row."""
    if row.decision_digest is None:
        return None
    received = submissions.get(session, row.decision_digest)
    payload = peek(received.statement).payload if received else None
    return payload if isinstance(payload, DecisionPayload) else None


def _expires_at(row: LoadingRequestRow, decision: DecisionPayload | None) -> int | None:
    deadline = STAGE_DEADLINES.get(row.stage)
    if deadline is None:
        return None
    ends = row.stage_since + int(deadline.total_seconds())
    if row.stage is Stage.AWAITING_CONFIRMATION and decision is not None:
        return min(ends, decision.expires_at)
    return ends
