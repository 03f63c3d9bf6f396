"""Who signed a received statement: verified, counted against them, made just now, and no clone.

A statement is its own authentication, so all routes that take one begin here.
"""

from typing import Any, TypeVar

from sqlmodel import Session

from api.authentication import Caller
from api.enrolled import Signed, signed_by_enrolled
from api.limits import Scope
from api.parts import Parts
from api.problems import statement_problem
from api.refusals import Refusal, note_refused
from ceremony.checks import CLOCK_SKEW_SECONDS
from ceremony.passkeys import counter_advances
from ceremony.reasons import Reason
from ceremony.statements import KIND_OF, LoginPayload, Payload, RequestPayload
from ceremony.verification import StatementError, peek
from records import credentialentries, submissions

P = TypeVar("P", bound=Payload)


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
