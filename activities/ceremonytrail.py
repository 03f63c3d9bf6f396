"""What one step of a ceremony leaves in the records: verdict, projection, counts and audit."""

from collections.abc import Callable

from sqlmodel import Session

from activities.facts import attempts_scope, daily_scope, tries_scope
from ceremony import reducer
from ceremony.messages import Recorded
from ceremony.reasons import Reason
from ceremony.spraying import Alarm
from ceremony.state import ATTEMPTS, CONFIRMATION_TRIES, DAILY_ATTEMPTS, CeremonyState, Verdict
from ceremony.statements import Kind
from ceremony.verification import StatementError, peek
from records import alarms, attempts, audit, projector, verdicts
from records.tables.audit_event import ActorKind
from records.tables.submission import SubmissionRow
from records.tables.verdict import VerdictRow


class CeremonyTrail:
    """Writes what a step found, in the step's own transaction; it decides nothing."""

    def __init__(self, session: Session, clock: Callable[[], float]) -> None:
        """Bind a transaction that writes, and a clock giving Unix seconds."""
        self._session = session
        self._clock = clock

    def write(self, recorded: Recorded, submission: SubmissionRow) -> Recorded:
        """Write a statement's verdict, the projection that follows from it, and the audit event.

        Raises:
            ProjectionMissing: if an open request has no row to follow.
        """
        state, verdict = recorded.state, recorded.verdict
        version = self._version_after(state)
        verdicts.add(
            self._session,
            VerdictRow(
                digest=verdict.digest,
                request_id=state.request_id,
                kind=verdict.kind,
                accepted=verdict.accepted,
                reason=verdict.reason,
                stage=state.stage,
                version=version,
                attempts_left=_attempts_left(state, verdict),
                state_json=state.model_dump_json(),
                decided_at=int(self._clock()),
            ),
        )
        outcome = "accepted" if verdict.accepted else "refused"
        self._audit(recorded, submission, event=f"{verdict.kind}-{outcome}")
        self._watch_spraying(recorded, submission)
        return recorded

    def count(self, before: CeremonyState, recorded: Recorded, submission: SubmissionRow) -> None:
        """Use up what a statement cost, of the attempts, of the day's and of the tries."""
        # A wrong code counts whatever the state says: forged states must not make guesses free.
        after, reasons = recorded.state, recorded.verdict.reasons
        if after.attempts_left < before.attempts_left or Reason.SMS_CODE_WRONG in reasons:
            attempts.use(self._session, attempts_scope(before.request_id, submission), ATTEMPTS)
            attempts.use(self._session, daily_scope(submission), DAILY_ATTEMPTS)
        if after.tries_left < before.tries_left or not reducer.MISTYPED.isdisjoint(reasons):
            attempts.use(self._session, tries_scope(before.request_id), CONFIRMATION_TRIES)

    def checked(self, recorded: Recorded, submission: SubmissionRow) -> Recorded:
        """Leave an audit event of a statement whose verdict comes later, and nothing else."""
        self._audit(recorded, submission, event=f"{recorded.verdict.kind}-checked")
        return recorded

    def remarked(self, recorded: Recorded, submission: SubmissionRow, event: str) -> None:
        """Leave an audit event beside a statement's verdict, for auditors to notice."""
        self._audit(recorded, submission, event=event)

    def again(self, mine: CeremonyState, found: Recorded) -> Recorded:
        """Give what was recorded of a statement before, for this state of its request."""
        if found.state.request_id != mine.request_id:
            # A statement that another request has answered already must not act on this one.
            return self.dropped(mine, found.verdict.digest, Reason.WRONG_REQUEST)
        return Recorded(state=reducer.further(mine, found.state), verdict=found.verdict)

    def dropped(self, state: CeremonyState, digest: str, reason: Reason) -> Recorded:
        """Leave an audit event of a signal that is not this request's to judge; no verdict."""
        return self._left(state, digest, reason, event="signal-dropped", kind=Kind.REQUEST)

    def unanswered(self, state: CeremonyState, digest: str, reason: Reason) -> Recorded:
        """Leave an audit event of an answer that is not the key worker's; no verdict."""
        return self._left(state, digest, reason, event="answer-dropped", kind=Kind.CONFIRMATION)

    def event(self, state: CeremonyState, event: str, actor: ActorKind) -> CeremonyState:
        """Let the projection follow what no statement brought about; audited where it changes."""
        _, changed = projector.follow(self._session, state, now=int(self._clock()))
        if changed:
            audit.write(
                self._session,
                event,
                at=int(self._clock()),
                actor_kind=actor,
                request_id=state.request_id,
                terminal_no=state.terminal_no,
                reason=state.reason,
                detail={"stage": state.stage},
            )
        return state

    def _watch_spraying(self, recorded: Recorded, submission: SubmissionRow) -> None:
        verdict = recorded.verdict
        if verdict.kind is not Kind.APPLICATION or verdict.accepted or _is_late(verdict):
            return
        now = int(self._clock())
        person = submission.person or submission.signer_kid
        alarms.sign(self._session, Alarm.CODES_MANY_PERSONS, person, now=now)
        alarms.sign(self._session, Alarm.CODES_MANY_TERMINALS, recorded.state.terminal_no, now=now)

    def _version_after(self, state: CeremonyState) -> int:
        try:
            return projector.follow(self._session, state, now=int(self._clock()))[0]
        except projector.ProjectionMissing:
            if not state.final:
                raise
            # Opened by a statement that is not there: it has no row, its late statements answers.
            return 0

    def _left(
        self, state: CeremonyState, digest: str, reason: Reason, *, event: str, kind: Kind
    ) -> Recorded:
        audit.write(
            self._session,
            event,
            at=int(self._clock()),
            actor_kind=ActorKind.SYSTEM,
            request_id=state.request_id,
            terminal_no=state.terminal_no,
            reason=reason,
            detail={"digest": digest},
        )
        verdict = Verdict(kind=kind, digest=digest, reasons=(reason,))
        return Recorded(state=state, verdict=verdict)

    def _audit(self, recorded: Recorded, submission: SubmissionRow, *, event: str) -> None:
        state, verdict = recorded.state, recorded.verdict
        actor = submission.person or submission.terminal_no
        kind = ActorKind.ADMINISTRATOR if submission.person else ActorKind.TERMINAL
        audit.write(
            self._session,
            event,
            at=int(self._clock()),
            actor_kind=kind,
            actor=_staff_no(submission) or actor,
            request_id=state.request_id,
            terminal_no=state.terminal_no,
            reason=verdict.reason,
            detail={
                "digest": verdict.digest,
                "stage": state.stage,
                "reasons": list(verdict.reasons),
            },
        )


def _is_late(verdict: Verdict) -> bool:
    # Nothing was tried: it came twice, or after the end.
    return verdict.reason in (Reason.WRONG_STAGE, Reason.WRONG_REQUEST)


def _staff_no(submission: SubmissionRow) -> str | None:
    if submission.person is None:
        return None
    try:
        return getattr(peek(submission.statement).payload, "administrator", None)
    except StatementError:
        return None


def _attempts_left(state: CeremonyState, verdict: Verdict) -> int | None:
    if verdict.kind is not Kind.APPLICATION or Reason.NOT_FIRST_ADMINISTRATOR in verdict.reasons:
        return None
    return state.attempts_left
