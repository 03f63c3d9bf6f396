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
from api.enrolled import Signed, signed_by_enrolled
from api.limits import Scope
from api.parts import Parts
from api.problems import ApiProblem, WrongStage, statement_problem
from api.refusals import Refusal, note_refused
from ceremony import names
from ceremony.checks import CLOCK_SKEW_SECONDS
from ceremony.codes import TypedCode
from ceremony.messages import Opening, Submission
from ceremony.passkeys import counter_advances
from ceremony.qr import QrContents
from ceremony.reasons import Reason
from ceremony.stages import FINAL, Stage
from ceremony.statements import (
    KIND_OF,
    Kind,
    LoginPayload,
    Payload,
    RequestBound,
    RequestPayload,
    request_id_of,
)
from ceremony.verification import StatementError, peek
from records import credentialentries, projection, submissions, verdicts
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


async def authenticated(
    parts: Parts, caller: Caller, text: str, expected: type[P], *further: Scope
) -> Signed[P]:
    """Verify a statement by an enrolled key, and count it against its signer.

    It counts in `further` scopes too if it is new. One that was received before, or made long ago,
    may come from whoever kept a copy (an auditor has them in the evidence), and takes nothing from
    its signer: the one counts against itself, the other among the signer's old ones.

    Raises:
        ApiProblem: 400 or 401, or 403 for a key that may not approve; the audit trail has the
            reason.
        RateLimited: the signer sends too many.
    """
    try:
        signed, old = await parts.database.run(_signed, parts, text, expected)
    except StatementError as error:
        refusal = Refusal(
            KIND_OF[expected], error.reason, kid=error.signed_by, claimed=_claimed(text)
        )
        await note_refused(parts, caller, refusal)
        raise statement_problem(error.reason) from None
    scope, signer = Scope.CREDENTIAL, signed.statement.kid
    if signed.terminal_no is not None:
        scope, signer = Scope.TERMINAL, signed.terminal_no
    await parts.limits.admit(scope, old or signer)
    for one in () if old else further:
        await parts.limits.admit(one, signer)
    return signed


def _claimed(text: str) -> str | None:
    """The key that a statement says it is by; None if it says nothing legible."""
    try:
        return peek(text).kid
    except StatementError:
        return None


def check_fresh(parts: Parts, signed: Signed[Any]) -> None:
    """Check that a statement received for the first time was made just now.

    Terminals need no clock, so theirs hold a challenge; `iat` counts for people only.

    Raises:
        StatementError: `challenge-refused` or `stale`.
    """
    said, now = signed.payload, parts.now()
    if isinstance(said, RequestPayload | LoginPayload):
        parts.tokens.challenges.check(said.challenge, now)
    if signed.person is not None and abs(now - said.iat) > CLOCK_SKEW_SECONDS:
        raise StatementError(Reason.STALE)


def accept_counter(session: Session, signed: Signed[Any]) -> None:
    """Compare and note a passkey's signature counter, in the transaction that accepts it.

    Raises:
        StatementError: `passkey-refused` if it does not advance (a cloned authenticator).
    """
    new = signed.statement.sign_count
    if signed.person is None or new is None:
        return
    row = credentialentries.credential_entry(session, signed.person.digest)
    last = row.sign_count if row else 0
    advances = counter_advances(last=last, new=new)
    if not advances or not credentialentries.advance_sign_count(
        session, signed.person.digest, last=last, new=new
    ):
        raise StatementError(Reason.PASSKEY_REFUSED)


def _signed(parts: Parts, text: str, expected: type[P]) -> tuple[Signed[P], str | None]:
    with parts.database.read() as session:
        signed = signed_by_enrolled(session, parts.trust, text, expected, now=parts.now())
        return signed, _old(session, parts, signed)


def _old(session: Session, parts: Parts, signed: Signed[Any]) -> str | None:
    """Whom limits count a statement against that was not made just now; None if it was."""
    if submissions.get(session, signed.statement.digest) is not None:
        return f"again {signed.statement.digest}"
    try:
        check_fresh(parts, signed)
    except StatementError:
        return f"old {signed.terminal_no or signed.statement.kid}"
    return None


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
