"""Recording the ceremony: one statement, one activity, one transaction.

Each step loads its statement by digest, verifies it again, gathers the facts, asks the pure
reducer, and writes verdict, projection, counts and audit together. It is find-or-create under
the statement's digest: a retry, a reset or a second worker reads what the first one wrote.
"""

import time
from collections.abc import Callable

from sqlmodel import Session
from temporalio import activity

from activities.facts import FactFinder, attempts_scope, daily_scope, tries_scope
from activities.recorded import as_it_stands, known, unopened
from ceremony import reducer
from ceremony.messages import (
    EventStep,
    Opening,
    Recorded,
    ReleaseStep,
    SettlementStep,
    StatementStep,
)
from ceremony.reasons import Reason
from ceremony.state import ATTEMPTS, CONFIRMATION_TRIES, DAILY_ATTEMPTS, CeremonyState, Verdict
from ceremony.statements import Kind
from ceremony.verification import StatementError, peek
from records import attempts, audit, projector, submissions, verdicts
from records.database import Database
from records.standing import Present, present
from records.tables.audit_event import ActorKind
from records.tables.submission import SubmissionRow
from records.tables.verdict import VerdictRow

_ACTORS = {
    Kind.APPLICATION: ActorKind.ADMINISTRATOR,
    Kind.DECISION: ActorKind.ADMINISTRATOR,
}


class CeremonyRecords:
    """The ceremony worker's hand on the records; its activities run as local activities."""

    def __init__(
        self, database: Database, facts: FactFinder, clock: Callable[[], float] = time.time
    ) -> None:
        """Bind the records, the facts' finder, and a clock giving Unix seconds."""
        self._database = database
        self._facts = facts
        self._clock = clock

    @activity.defn
    def record_opening(self, opening: Opening) -> Recorded:
        """Open the loading request of a `request` statement, or record why it cannot be."""
        with self._database.write() as session:
            found = known(session, opening.digest)
            if found is not None:
                return as_it_stands(session, found)
            now = self._present(session, opening.terminal_no)
            submission = submissions.get(session, opening.digest)
            if submission is None or not _is_opening(submission, opening):
                return unopened(opening, Reason.STATEMENT_MISSING, int(self._clock()))
            try:
                request = self._facts.prove(submission, now)
            except StatementError as error:
                recorded = unopened(opening, error.reason, int(self._clock()))
            else:
                facts = self._facts.gather(session, submission, now, None)
                recorded = Recorded(**reducer.open_request(request, facts)._asdict())
            projector.begin(session, recorded.state, now, now=int(self._clock()))
            return self._write(session, recorded, submission)

    @activity.defn
    def record_statement(self, step: StatementStep) -> Recorded:
        """Judge one statement against a state and record the verdict.

        An accepted confirmation gets its verdict only by `record_release`, after the key worker.
        A statement that is missing, or about another request, leaves an audit event but no
        verdict: it is not this request's to judge.
        """
        with self._database.write() as session:
            found = known(session, step.digest)
            if found is not None:
                return self._again(session, step.state, found)
            submission = submissions.get(session, step.digest)
            if submission is None:
                return self._dropped(session, step.state, step.digest, Reason.STATEMENT_MISSING)
            if _about_another(submission, step.state):
                return self._dropped(session, step.state, step.digest, Reason.WRONG_REQUEST)
            recorded = self._judge(session, step.state, submission)
            if submission.kind is Kind.CONFIRMATION and recorded.verdict.accepted:
                self._audit(session, recorded, submission, event="confirmation-checked")
                return recorded
            self._count(session, step.state, recorded, submission)
            return self._write(session, recorded, submission)

    @activity.defn
    def record_release(self, step: ReleaseStep) -> Recorded:
        """Record the key worker's answer to a confirmation, and with it the verdict."""
        with self._database.write() as session:
            found = known(session, step.digest)
            if found is not None:
                return self._again(session, step.state, found)
            submission = submissions.get(session, step.digest)
            if submission is None:
                return self._dropped(session, step.state, step.digest, Reason.STATEMENT_MISSING)
            token_digest, refused = step.outcome.token_digest, step.outcome.refused
            if token_digest is None:
                refused = refused or Reason.RELEASE_REFUSED
                state = reducer.release_refused(step.state, refused)
            else:
                state = reducer.released(step.state, token_digest)
            verdict = Verdict(
                kind=Kind.CONFIRMATION,
                digest=step.digest,
                reasons=() if refused is None else (refused,),
            )
            return self._write(session, Recorded(state=state, verdict=verdict), submission)

    @activity.defn
    def record_settlement(self, step: SettlementStep) -> CeremonyState:
        """Record how the key worker settled the key after a receipt."""
        said = step.settlement
        state = reducer.settled(step.state, active=said.active, reason=said.reason, kcv=said.kcv)
        return self._event(state, "key-settled", ActorKind.KEY_WORKER)

    @activity.defn
    def record_event(self, step: EventStep) -> CeremonyState:
        """Record a passed deadline, or what a changed registry means for this request."""
        if step.event == "deadline":
            return self._event(reducer.expired(step.state), "deadline-passed", ActorKind.SYSTEM)
        with self._database.read() as session:
            standing = self._present(session, step.state.terminal_no).standing
        digest = standing.registry_digest if standing else None
        state = reducer.registry_changed(step.state, digest)
        return self._event(state, "registry-changed", ActorKind.BACK_OFFICE)

    def _present(self, session: Session, terminal_no: str) -> Present:
        return present(session, self._facts.trust, terminal_no, now=int(self._clock()))

    def _judge(self, session: Session, state: CeremonyState, submission: SubmissionRow) -> Recorded:
        now = self._present(session, state.terminal_no)
        try:
            statement = self._facts.prove(submission, now)
        except StatementError as error:
            verdict = Verdict(
                kind=submission.kind, digest=submission.digest, reasons=(error.reason,)
            )
            return Recorded(state=state, verdict=verdict)
        facts = self._facts.gather(session, submission, now, state)
        return Recorded(**reducer.advance(state, statement, facts)._asdict())

    def _count(
        self,
        session: Session,
        before: CeremonyState,
        recorded: Recorded,
        submission: SubmissionRow,
    ) -> None:
        # A wrong code counts whatever the state says: forged states must not make guesses free.
        after, reasons = recorded.state, recorded.verdict.reasons
        if after.attempts_left < before.attempts_left or Reason.SMS_CODE_WRONG in reasons:
            attempts.use(session, attempts_scope(before.request_id, submission), ATTEMPTS)
            attempts.use(session, daily_scope(submission), DAILY_ATTEMPTS)
        if after.tries_left < before.tries_left or not reducer.MISTYPED.isdisjoint(reasons):
            attempts.use(session, tries_scope(before.request_id), CONFIRMATION_TRIES)

    def _write(self, session: Session, recorded: Recorded, submission: SubmissionRow) -> Recorded:
        state, verdict = recorded.state, recorded.verdict
        version = self._version_after(session, state)
        verdicts.add(
            session,
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
        self._audit(session, recorded, submission, event=f"{verdict.kind}-{outcome}")
        return recorded

    def _version_after(self, session: Session, state: CeremonyState) -> int:
        try:
            return projector.follow(session, state, now=int(self._clock()))[0]
        except projector.ProjectionMissing:
            if not state.final:
                raise
            # Opened by a statement that is not there: it has no row, its late statements answers.
            return 0

    def _again(self, session: Session, mine: CeremonyState, found: Recorded) -> Recorded:
        if found.state.request_id != mine.request_id:
            # A statement that another request has answered already must not act on this one.
            return self._dropped(session, mine, found.verdict.digest, Reason.WRONG_REQUEST)
        return Recorded(state=reducer.further(mine, found.state), verdict=found.verdict)

    def _dropped(
        self, session: Session, state: CeremonyState, digest: str, reason: Reason
    ) -> Recorded:
        audit.write(
            session,
            "signal-dropped",
            at=int(self._clock()),
            actor_kind=ActorKind.SYSTEM,
            request_id=state.request_id,
            terminal_no=state.terminal_no,
            reason=reason,
            detail={"digest": digest},
        )
        verdict = Verdict(kind=Kind.REQUEST, digest=digest, reasons=(reason,))
        return Recorded(state=state, verdict=verdict)

    def _audit(
        self, session: Session, recorded: Recorded, submission: SubmissionRow, *, event: str
    ) -> None:
        state, verdict = recorded.state, recorded.verdict
        actor = submission.person or submission.terminal_no
        kind = ActorKind.ADMINISTRATOR if submission.person else ActorKind.TERMINAL
        audit.write(
            session,
            event,
            at=int(self._clock()),
            actor_kind=_ACTORS.get(submission.kind, kind),
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

    def _event(self, state: CeremonyState, event: str, actor: ActorKind) -> CeremonyState:
        with self._database.write() as session:
            _, changed = projector.follow(session, state, now=int(self._clock()))
            if changed:
                audit.write(
                    session,
                    event,
                    at=int(self._clock()),
                    actor_kind=actor,
                    request_id=state.request_id,
                    terminal_no=state.terminal_no,
                    reason=state.reason,
                    detail={"stage": state.stage},
                )
        return state


def _is_opening(submission: SubmissionRow, opening: Opening) -> bool:
    return submission.kind is Kind.REQUEST and (submission.request_id, submission.terminal_no) == (
        opening.request_id,
        opening.terminal_no,
    )


def _about_another(submission: SubmissionRow, state: CeremonyState) -> bool:
    if submission.terminal_no != state.terminal_no:
        return True
    return submission.kind is not Kind.REQUEST and submission.request_id != state.request_id


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
