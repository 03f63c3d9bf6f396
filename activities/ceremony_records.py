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

from activities.ceremonytrail import CeremonyTrail
from activities.facts import FactFinder, tries_scope
from activities.recorded import as_it_stands, as_recorded, known, unopened, with_asked_codes
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
from ceremony.state import CeremonyState, Verdict
from ceremony.statements import Kind, RequestPayload
from ceremony.verification import StatementError
from records import attempts, keystore, projector, submissions
from records.database import Database
from records.standing import Present, present
from records.tables.audit_event import ActorKind
from records.tables.key import KeyState
from records.tables.submission import SubmissionRow
from records.turns import Turn, take_turn


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
            take_turn(session, Turn.REQUEST, opening.request_id)
            trail = CeremonyTrail(session, self._clock)
            found = known(session, opening.digest)
            if found is not None:
                return as_it_stands(session, found)
            now = self._present(session, opening.terminal_no)
            submission = submissions.get(session, opening.digest)
            if submission is None or not _is_opening(submission, opening):
                return unopened(opening, Reason.STATEMENT_MISSING, int(self._clock()))
            differs = False
            try:
                request = self._facts.prove(submission, now)
            except StatementError as error:
                recorded = unopened(opening, error.reason, int(self._clock()))
            else:
                facts = self._facts.gather(session, submission, now, None)
                recorded = Recorded(**reducer.open_request(request, facts)._asdict())
                differs = _says_another_key(session, request.payload)
            projector.begin(session, recorded.state, now, now=int(self._clock()))
            trail.write(recorded, submission)
            if differs:
                trail.remarked(recorded, submission, "epp-key-differs")
            return recorded

    @activity.defn(no_thread_cancel_exception=True)
    def record_statement(self, step: StatementStep) -> Recorded:
        """Judge one statement against a state and record the verdict.

        An accepted confirmation gets its verdict only by `record_release`, after the key worker
        judged the approval code. A statement that is missing, or about another request, leaves an
        audit event but no verdict: it is not this request's to judge.
        """
        with self._database.write() as session:
            take_turn(session, Turn.REQUEST, step.state.request_id)
            trail = CeremonyTrail(session, self._clock)
            found = known(session, step.digest)
            if found is not None:
                return trail.again(step.state, found)
            submission = submissions.get(session, step.digest)
            if submission is None:
                return trail.dropped(step.state, step.digest, Reason.STATEMENT_MISSING)
            state = as_recorded(session, step.state)
            if state is None:
                return trail.dropped(step.state, step.digest, Reason.WRONG_STAGE)
            if _about_another(submission, state):
                return trail.dropped(step.state, step.digest, Reason.WRONG_REQUEST)
            recorded = self._judge(session, state, submission)
            if submission.kind is Kind.CONFIRMATION and recorded.verdict.accepted:
                return trail.checked(recorded, submission)
            trail.count(state, recorded, submission)
            return trail.write(recorded, submission)

    @activity.defn(no_thread_cancel_exception=True)
    def record_release(self, step: ReleaseStep) -> Recorded:
        """Record the key worker's answer to a confirmation, and with it the verdict.

        A token that the key worker did not publish for this confirmation, or a refusal beside one
        that it did, is not its answer: `token-unknown`, without a verdict, so that the genuine
        answer can still come.
        """
        with self._database.write() as session:
            take_turn(session, Turn.REQUEST, step.state.request_id)
            trail = CeremonyTrail(session, self._clock)
            found = known(session, step.digest)
            if found is not None:
                return trail.again(step.state, found)
            submission = submissions.get(session, step.digest)
            if submission is None:
                return trail.unanswered(step.state, step.digest, Reason.STATEMENT_MISSING)
            state = as_recorded(session, step.state)
            if state is None or not _is_confirmation(submission, state):
                return trail.unanswered(step.state, step.digest, Reason.WRONG_REQUEST)
            given = keystore.published_digest(session, state.request_id, step.digest)
            if step.outcome.token_digest != given:
                return trail.unanswered(step.state, step.digest, Reason.TOKEN_UNKNOWN)
            recorded = self._answered(session, state, step, given)
            trail.count(state, recorded, submission)
            return trail.write(recorded, submission)

    @activity.defn(no_thread_cancel_exception=True)
    def record_settlement(self, step: SettlementStep) -> CeremonyState:
        """Record how the key worker settled the key after a receipt.

        What it published decides: a settlement that says something else changes nothing.
        """
        said, claimed = step.settlement, step.state
        with self._database.write() as session:
            take_turn(session, Turn.REQUEST, claimed.request_id)
            trail = CeremonyTrail(session, self._clock)
            state = as_recorded(session, claimed)
            key = keystore.key(session, claimed.request_id)
            kcv = keystore.confirmed_kcv(session, claimed.request_id)
            given_up = key is not None and key.state is not KeyState.RELEASED and not said.active
            if state is None or (kcv is None and not given_up):
                return trail.unanswered(claimed, "", Reason.TOKEN_UNKNOWN).state
            reason = said.reason if kcv is None else Reason.LOADED
            try:
                after = reducer.settled(state, active=kcv is not None, reason=reason, kcv=kcv)
            except reducer.TransitionError:
                return trail.unanswered(claimed, "", Reason.WRONG_STAGE).state
            return trail.event(after, "key-settled", ActorKind.KEY_WORKER)

    @activity.defn(no_thread_cancel_exception=True)
    def record_event(self, step: EventStep) -> CeremonyState:
        """Record a passed deadline, or what a changed registry means for this request.

        A key that is active by then (its receipt came to another run of the workflow) is loaded,
        not unconfirmed. That the deadline has passed is the workflow's word: its timer decides.
        """
        with self._database.write() as session:
            take_turn(session, Turn.REQUEST, step.state.request_id)
            trail = CeremonyTrail(session, self._clock)
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
            return trail.event(after, told, by)

    def _present(self, session: Session, terminal_no: str) -> Present:
        return present(session, self._facts.trust, terminal_no, now=int(self._clock()))

    def _judge(self, session: Session, state: CeremonyState, submission: SubmissionRow) -> Recorded:
        now = self._present(session, state.terminal_no)
        if submission.kind is Kind.APPLICATION and now.standing is not None:
            state = with_asked_codes(session, state, now.standing.first.entry.person)
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


def _says_another_key(session: Session, request: RequestPayload) -> bool:
    """Whether the EPP names another key than the active one, or none where there is one."""
    active = keystore.active_key(session, request.terminal_no)
    return active is not None and active.kcv != request.current_kcv


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
