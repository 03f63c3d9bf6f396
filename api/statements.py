"""The way of a received statement: verify, store, signal, wait for the verdict, answer.

What is not authentic, or not in its place, is refused before any signal. A statement whose
digest has a verdict is answered from it again, with no signal; one that is only stored, as after
an outage, is signalled again, but not while the last signal may still be on its way.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar

from sqlmodel import Session

from api.authentication import Caller
from api.ceremonies import CeremonyClosed
from api.enrolled import Signed
from api.parts import Parts
from api.problems import ApiProblem, WrongStage, statement_problem
from api.refusals import Refusal, note_refused
from api.signers import accept_counter, authenticated, check_fresh
from ceremony import names
from ceremony.codes import TypedCode
from ceremony.messages import Opening, Submission
from ceremony.qr import QrContents
from ceremony.reasons import Reason
from ceremony.stages import FINAL, Stage
from ceremony.statements import (
    KIND_OF,
    Kind,
    Payload,
    RequestBound,
    request_id_of,
)
from ceremony.verification import StatementError
from records import projection, submissions, verdicts
from records.tables.submission import SubmissionRow
from records.tables.verdict import VerdictRow
from records.turns import Turn, take_turn

P = TypeVar("P", bound=Payload)
T = TypeVar("T")

SIGNALS: Final[Mapping[Kind, str]] = MappingProxyType(
    {
        Kind.APPLICATION: names.SIGNAL_APPLICATION,
        Kind.DECISION: names.SIGNAL_DECISION,
        Kind.CONFIRMATION: names.SIGNAL_CONFIRMATION,
        Kind.RECEIPT: names.SIGNAL_RECEIPT,
        Kind.CANCELLATION: names.SIGNAL_CANCELLATION,
    }
)


@dataclass(frozen=True, slots=True)
class Pending:
    """No verdict yet: where the loading request stood last; no stage if it is not open yet."""

    request_id: str
    stage: Stage | None
    version: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a statement belongs, and what came with it unsigned: a typed code, a QR code.

    `terminal_no` is the loading request's, whatever an administrator typed.
    """

    terminal_no: str
    code: TypedCode | None = None
    qr: QrContents | None = None


@dataclass(frozen=True)
class Intake(Generic[P, T]):
    """How one kind of statement is taken in.

    Attributes:
        expected: the payload class.
        place: checks that the statement belongs where it was sent; raises an `ApiProblem` if it
            does not. Reads only.
        answer: makes the answer of a verdict, or None while it is still to come; raises an
            `ApiProblem` for a refusal. Reads only.
    """

    expected: type[P]
    place: Callable[[Session, Signed[P]], Place]
    answer: Callable[[Session, VerdictRow], T | None]


async def take_in(parts: Parts, caller: Caller, text: str, intake: Intake[P, T]) -> T | Pending:
    """Take a statement all its way, and give its answer, or `Pending` after a while.

    Raises:
        ApiProblem: whatever the refusal is called outside.
        CeremoniesAway: Temporal is away; the statement is stored, the same call may be repeated.
        DatabaseUnavailable: likewise; nothing is stored.
    """
    kind = KIND_OF[intake.expected]
    signed = await authenticated(parts, caller, text, intake.expected)
    try:
        submission = await parts.database.run(_placed, parts, signed, intake)
        signal = await parts.database.run(_admit, parts, signed, submission)
    except StatementError as error:
        await note_refused(parts, caller, Refusal(kind, error.reason, signed))
        raise statement_problem(error.reason) from None
    except ApiProblem as problem:
        await note_refused(parts, caller, Refusal(kind, problem.reason, signed))
        raise
    wait, closed = parts.wait_seconds, False
    try:
        if signal:
            await _tell(parts, submission)
    except CeremonyClosed:
        wait, closed = 0.0, True
    try:
        look = partial(_answer, submission.digest, intake)
        # Its verdict, and for a receipt what becomes of the request afterwards.
        about = submission.digest, submission.request_id
        answer = await parts.watcher.wait_for(look, wait, about=about)
    except ApiProblem:
        # The ceremony refused it: the workflow has audited that.
        parts.metrics.statements.labels(kind, "refused").inc()
        raise
    if answer is not None:
        parts.metrics.statements.labels(kind, "answered").inc()
        return answer
    parts.metrics.statements.labels(kind, "pending").inc()
    pending = await parts.database.run(_pending, parts, submission)
    if closed and pending.stage is not None:
        await note_refused(parts, caller, Refusal(kind, Reason.WRONG_STAGE, signed))
        raise WrongStage(pending.stage)
    return pending


def _placed(parts: Parts, signed: Signed[P], intake: Intake[P, T]) -> SubmissionRow:
    with parts.database.read() as session:
        place = intake.place(session, signed)
    statement, said = signed.statement, signed.payload
    code, qr = place.code, place.qr
    bound = said if isinstance(said, RequestBound) else None
    return SubmissionRow(
        digest=statement.digest,
        kind=statement.kind,
        request_id=bound.request_id if bound else request_id_of(statement.digest),
        terminal_no=place.terminal_no,
        signer_kid=statement.kid,
        person=signed.person.entry.person if signed.person else None,
        statement=statement.text,
        code_n=code.n if code else None,
        code_mac=code.mac if code else None,
        qr_n=qr.n if qr else None,
        qr_expires_at=qr.expires_at if qr else None,
        qr_request_id=qr.request_id if qr else None,
        qr_terminal_no=qr.terminal_no if qr else None,
        received_at=parts.now(),
    )


def _admit(parts: Parts, signed: Signed[Any], submission: SubmissionRow) -> bool:
    with parts.database.write() as session:
        # Of two copies that come at once the second must find the first, its counter included.
        take_turn(session, Turn.STATEMENT, submission.digest)
        if verdicts.find(session, submission.digest) is not None:
            return False
        known = submissions.get(session, submission.digest) is not None
        if not known:
            check_fresh(parts, signed)
        if submission.kind is not Kind.REQUEST:
            row = projection.find(session, submission.request_id)
            if row is not None and row.stage in FINAL:
                raise WrongStage(row.stage)
        if not known:
            accept_counter(session, signed)
            submissions.receive(session, submission)
        return True


async def _tell(parts: Parts, submission: SubmissionRow) -> None:
    request_id, terminal_no = submission.request_id, submission.terminal_no
    if parts.signalled.lately(submission.digest, parts.now()):
        return
    if submission.kind is Kind.REQUEST:
        await parts.ceremonies.open(
            Opening(request_id=request_id, terminal_no=terminal_no, digest=submission.digest)
        )
    else:
        await parts.ceremonies.submit(
            SIGNALS[submission.kind],
            terminal_no,
            Submission(request_id=request_id, digest=submission.digest),
        )
    parts.signalled.note(submission.digest, parts.now())


def _answer(digest: str, intake: Intake[P, T], session: Session) -> T | None:
    verdict = verdicts.find(session, digest)
    return None if verdict is None else intake.answer(session, verdict)


def _pending(parts: Parts, submission: SubmissionRow) -> Pending:
    with parts.database.read() as session:
        row = projection.find(session, submission.request_id)
        if row is None and submission.kind is Kind.REQUEST:
            row = projection.open_for_terminal(session, submission.terminal_no)
    if row is None:
        return Pending(submission.request_id, None, 0)
    return Pending(row.request_id, row.stage, row.version)
