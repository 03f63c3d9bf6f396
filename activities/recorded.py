"""What the records already say of a loading request: found again rather than made again."""

from functools import reduce

from sqlmodel import Session

from ceremony import reducer
from ceremony.messages import Opening, Recorded
from ceremony.reasons import Reason
from ceremony.stages import FINAL, Stage
from ceremony.state import CeremonyState, Verdict
from ceremony.statements import Kind
from records import coderequests, projection, verdicts


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
    furthest = reduce(reducer.further, _judged(session, opening.state.request_id), opening.state)
    return Recorded(state=_ended(session, furthest) or furthest, verdict=opening.verdict)


def as_recorded(session: Session, claimed: CeremonyState) -> CeremonyState | None:
    """The state that a request's verdicts justify, whatever state a caller claims.

    Whoever writes to Temporal may call an activity with any state. So stage and digests come from
    the records; of what is claimed counts only what makes less possible (tries used up), and the
    SMS codes that were sent, which no verdict tells of. An end that no statement brought about
    (a deadline, a settlement) counts if projection and caller agree on it; None if only the caller
    tells of it.

    A request without verdicts has only what is claimed: it has no row either, and whoever writes
    to the database as well can write any.
    """
    states = _judged(session, claimed.request_id)
    if not states:
        return claimed
    furthest = reducer.spent(reduce(reducer.further, states), claimed)
    if claimed.final and not furthest.final:
        return _ended(session, furthest)
    return furthest


def with_asked_codes(session: Session, state: CeremonyState, person: str) -> CeremonyState:
    """The state with no more SMS codes than this person asked the API for.

    A forged signal lets the workflow take a code for sent until it hears that nobody asked for it;
    an application that is judged meanwhile must not suffer for that.
    """
    last = coderequests.latest(session, state.request_id, person)
    asked = 0 if last is None else last.n
    return state.model_copy(update={"codes_sent_at": state.codes_sent_at[:asked]})


def _judged(session: Session, request_id: str) -> list[CeremonyState]:
    rows = verdicts.of_request(session, request_id)
    states = (CeremonyState.model_validate_json(row.state_json) for row in rows)
    return [state for state in states if state.request_id == request_id]


def _ended(session: Session, state: CeremonyState) -> CeremonyState | None:
    row = projection.find(session, state.request_id)
    if row is None or row.stage not in FINAL:
        return None
    changes = {
        "stage": row.stage,
        "reason": Reason(row.reason) if row.reason else None,
        "token_digest": row.token_digest,
        "kcv": row.kcv,
    }
    return state.model_copy(update=changes)


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
