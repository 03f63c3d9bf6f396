"""Recording the ceremony: one statement, one activity, one transaction.

Each step loads its statement by digest, verifies it again, gathers the facts, asks the pure
reducer, and writes verdict, projection, counts and audit together. It is find-or-create under
the statement's digest: a retry, a reset or a second worker reads what the first one wrote.

Whoever writes to Temporal may call any of these with any state and any answer of the key worker's.
A state counts as far as the recorded verdicts justify it, an answer only if the key worker
published the same. What is left to the forger is to deny.

A passed timeout interrupts none of them: raised between any two lines of a thread, it could leave
a lock held. What goes on regardless ends soon, and is found by the next attempt.
"""

import time
from collections.abc import Callable

from sqlmodel import Session
from temporalio import activity

from activities.facts import FactFinder, attempts_scope, daily_scope, tries_scope
from activities.recorded import as_it_stands, as_recorded, known, unopened
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
from ceremony.stages import Stage
from ceremony.state import ATTEMPTS, CONFIRMATION_TRIES, DAILY_ATTEMPTS, CeremonyState, Verdict
from ceremony.statements import Kind
from ceremony.verification import StatementError, peek
from records import attempts, audit, keystore, projector, submissions, verdicts
from records.database import Database
from records.standing import Present, present
from records.tables.audit_event import ActorKind
from records.tables.key import KeyState
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

    @activity.defn(no_thread_cancel_exception=True)
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

    @activity.defn(no_thread_cancel_exception=True)
    def record_statement(self, step: StatementStep) -> Recorded:
        """Judge one statement against a state and record the verdict.

        An accepted confirmation gets its verdict only by `record_release`, after the key worker
        judged the approval code. A statement that is missing, or about another request, leaves an
        audit event but no verdict: it is not this request's to judge.
        """
        with self._database.write() as session:
            found = known(session, step.digest)
            if found is not None:
                return self._again(session, step.state, found)
            submission = submissions.get(session, step.digest)
            if submission is None:
                return self._dropped(session, step.state, step.digest, Reason.STATEMENT_MISSING)
            state = as_recorded(session, step.state)
            if state is None:
                return self._dropped(session, step.state, step.digest, Reason.WRONG_STAGE)
            if _about_another(submission, state):
                return self._dropped(session, step.state, step.digest, Reason.WRONG_REQUEST)
            recorded = self._judge(session, state, submission)
            if submission.kind is Kind.CONFIRMATION and recorded.verdict.accepted:
                self._audit(session, recorded, submission, event="confirmation-checked")
                return recorded
            self._count(session, state, recorded, submission)
            return self._write(session, recorded, submission)

    @activity.defn(no_thread_cancel_exception=True)
    def record_release(self, step: ReleaseStep) -> Recorded:
        """Record the key worker's answer to a confirmation, and with it the verdict.

        A token that the key worker did not publish for this confirmation, or a refusal beside one
        that it did, is not its answer: `token-unknown`, without a verdict, so that the genuine
        answer can still come.
        """
        with self._database.write() as session:
            found = known(session, step.digest)
            if found is not None:
                return self._again(session, step.state, found)
            submission = submissions.get(session, step.digest)
            if submission is None:
                return self._unanswered(session, step.state, step.digest, Reason.STATEMENT_MISSING)
            state = as_recorded(session, step.state)
            if state is None or not _is_confirmation(submission, state):
                return self._unanswered(session, step.state, step.digest, Reason.WRONG_REQUEST)
            given = keystore.published_digest(session, state.request_id, step.digest)
            if step.outcome.token_digest != given:
                return self._unanswered(session, step.state, step.digest, Reason.TOKEN_UNKNOWN)
            recorded = self._answered(session, state, step, given)
            self._count(session, state, recorded, submission)
            return self._write(session, recorded, submission)

    @activity.defn(no_thread_cancel_exception=True)
    def record_settlement(self, step: SettlementStep) -> CeremonyState:
        """Record how the key worker settled the key after a receipt.

        What it published decides: a settlement that says something else changes nothing.
        """
        said, claimed = step.settlement, step.state
        with self._database.write() as session:
            state = as_recorded(session, claimed)
            key = keystore.key(session, claimed.request_id)
            kcv = keystore.confirmed_kcv(session, claimed.request_id)
            given_up = key is not None and key.state is KeyState.UNCONFIRMED and not said.active
            if state is None or (kcv is None and not given_up):
                return self._unanswered(session, claimed, "", Reason.TOKEN_UNKNOWN).state
            reason = said.reason if kcv is None else Reason.LOADED
            try:
                after = reducer.settled(state, active=kcv is not None, reason=reason, kcv=kcv)
            except reducer.TransitionError:
                return self._unanswered(session, claimed, "", Reason.WRONG_STAGE).state
            return self._event(session, after, "key-settled", ActorKind.KEY_WORKER)

    @activity.defn(no_thread_cancel_exception=True)
    def record_event(self, step: EventStep) -> CeremonyState:
        """Record a passed deadline, or what a changed registry means for this request.

        A key that is active by then (its receipt came to another run of the workflow) is loaded,
        not unconfirmed. That the deadline has passed is the workflow's word: its timer decides.
        """
        with self._database.write() as session:
            state = as_recorded(session, step.state)
            if state is None or state.final:
                return state or step.state
            if step.event == "deadline":
                after, told, by = reducer.expired(state), "deadline-passed", ActorKind.SYSTEM
            else:
                standing = self._present(session, state.terminal_no).standing
                digest = standing.registry_digest if standing else None
                after = reducer.registry_changed(state, digest)
                told, by = "registry-changed", ActorKind.BACK_OFFICE
            kcv = keystore.confirmed_kcv(session, state.request_id)
            if after.stage is Stage.UNCONFIRMED and kcv is not None:
                after = reducer.settled(state, active=True, reason=Reason.LOADED, kcv=kcv)
                told, by = "key-settled", ActorKind.KEY_WORKER
            return self._event(session, after, told, by)

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

    def _answered(
        self, session: Session, state: CeremonyState, step: ReleaseStep, given: str | None
    ) -> Recorded:
        refused = step.outcome.refused or Reason.RELEASE_REFUSED
        reasons: tuple[Reason, ...] = () if given else (refused,)
        try:
            if given is not None:
                after = reducer.released(state, step.digest, given)
            else:
                tries = attempts.used(session, tries_scope(state.request_id))
                after = reducer.release_refused(state, refused, tries)
        except reducer.TransitionError:
            # Another run of the workflow ended the request meanwhile: nothing is given any more.
            after, reasons = state, (Reason.WRONG_STAGE,)
        verdict = Verdict(kind=Kind.CONFIRMATION, digest=step.digest, reasons=reasons)
        return Recorded(state=after, verdict=verdict)

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
        self,
        session: Session,
        state: CeremonyState,
        digest: str,
        reason: Reason,
        *,
        event: str = "signal-dropped",
        kind: Kind = Kind.REQUEST,
    ) -> Recorded:
        audit.write(
            session,
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

    def _unanswered(
        self, session: Session, state: CeremonyState, digest: str, reason: Reason
    ) -> Recorded:
        event, kind = "answer-dropped", Kind.CONFIRMATION
        return self._dropped(session, state, digest, reason, event=event, kind=kind)

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

    def _event(
        self, session: Session, state: CeremonyState, event: str, actor: ActorKind
    ) -> CeremonyState:
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


def _is_confirmation(submission: SubmissionRow, state: CeremonyState) -> bool:
    return submission.kind is Kind.CONFIRMATION and not _about_another(submission, state)


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
