"""What the records already say of a loading request: found again rather than made again."""

from functools import reduce

from sqlmodel import Session

from ceremony import reducer
from ceremony.messages import Opening, Recorded
from ceremony.reasons import Reason
from ceremony.stages import FINAL, Stage
from ceremony.state import CeremonyState, Verdict
from ceremony.statements import Kind
from records import projection, verdicts


def known(session: Session, digest: str) -> Recorded | None:
    """What was recorded of this statement, if it has a verdict."""
    row = verdicts.find(session, digest)
    if row is None:
        return None
    reasons = () if row.accepted else (Reason(row.reason or Reason.MALFORMED),)
    return Recorded(
        state=CeremonyState.model_validate_json(row.state_json),
        verdict=Verdict(kind=row.kind, digest=digest, reasons=reasons),
    )


def as_it_stands(session: Session, opening: Recorded) -> Recorded:
    """Where a request stands whose opening was recorded before.

    A second workflow of a request goes on where the first one was; of an ended one, it ends.
    """
    rows = verdicts.of_request(session, opening.state.request_id)
    states = (CeremonyState.model_validate_json(row.state_json) for row in rows)
    furthest = reduce(reducer.further, states, opening.state)
    row = projection.find(session, opening.state.request_id)
    if row is None or row.stage not in FINAL:
        return Recorded(state=furthest, verdict=opening.verdict)
    changes = {
        "stage": row.stage,
        "reason": Reason(row.reason) if row.reason else None,
        "token_digest": row.token_digest,
        "kcv": row.kcv,
    }
    return Recorded(state=furthest.model_copy(update=changes), verdict=opening.verdict)


def unopened(opening: Opening, reason: Reason, now: int) -> Recorded:
    """The end of a request that could not be opened at all; it has no row and no parties."""
    state = CeremonyState(
        request_id=opening.request_id,
        terminal_no=opening.terminal_no,
        stage=Stage.FAILED,
        reason=reason,
        opened_at=now,
        request_digest=opening.digest,
        branch="",
        epp_fingerprint="",
        registry_digest="",
        first_staff_no="",
        second_staff_no="",
    )
    verdict = Verdict(kind=Kind.REQUEST, digest=opening.digest, reasons=(reason,))
    return Recorded(state=state, verdict=verdict)
