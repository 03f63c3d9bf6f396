"""Bringing the projection up to a state: the one writer of a loading request's stage."""

from typing import Any, cast

from sqlmodel import Session

from ceremony.names import loading_request_id
from ceremony.stages import FINAL
from ceremony.state import CeremonyState
from records import projection
from records.projection import Changes
from records.standing import Present
from records.tables.loading_request import LoadingRequestRow


class ProjectionMissing(Exception):
    """A loading request has a workflow but no row: the database is not the one it ran on."""

    def __init__(self, request_id: str) -> None:
        """Name the request."""
        super().__init__(request_id)


def begin(session: Session, state: CeremonyState, present: Present, *, now: int) -> None:
    """Make the row of a request that was just opened (or failed to open), unless it is there."""
    standing = present.standing
    projection.open_request(
        session,
        LoadingRequestRow(
            request_id=state.request_id,
            terminal_no=state.terminal_no,
            workflow_id=loading_request_id(state.terminal_no),
            stage=state.stage,
            reason=state.reason,
            version=1,
            model=present.terminal.entry.model if present.terminal else "",
            branch=state.branch,
            epp_fingerprint=state.epp_fingerprint,
            registry_digest=state.registry_digest,
            first_person=standing.first.entry.person if standing else "",
            second_person=standing.second.entry.person if standing else "",
            first_staff_no=state.first_staff_no,
            second_staff_no=state.second_staff_no,
            opened_at=state.opened_at,
            stage_since=now,
            request_digest=state.request_digest,
        ),
    )


def follow(session: Session, state: CeremonyState, *, now: int) -> tuple[int, bool]:
    """Bring the row up to a state; give its version and whether anything changed.

    A row in a final stage stays as it is: no second run of a workflow opens it again.

    Raises:
        ProjectionMissing: if there is no row.
    """
    row = projection.find(session, state.request_id, for_update=True)
    if row is None:
        raise ProjectionMissing(state.request_id)
    wanted: dict[str, Any] = {
        "stage": state.stage,
        "reason": state.reason,
        "application_digest": state.application_digest,
        "qr_digest": state.qr_digest,
        "decision_digest": state.decision_digest,
        "confirmation_digest": state.confirmation_digest,
        "receipt_digest": state.receipt_digest,
        "token_digest": state.token_digest,
        "kcv": state.kcv,
    }
    different = {name: value for name, value in wanted.items() if getattr(row, name) != value}
    changes = cast(Changes, different)
    if not changes or row.stage in FINAL:
        return row.version, False
    if "stage" in changes:
        changes["stage_since"] = now
    return projection.move(session, state.request_id, row.version, **changes), True
