"""Sessions: an administrator or auditor signs in with an enrolled credential."""

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from api.authentication import BySession, BySignature, clear_session_cookie, set_session_cookie
from api.enrolled import Signed
from api.limits import Scope
from api.parts import Parts, PartsDep
from api.problems import statement_problem
from api.refusals import Refusal, note_refused
from api.responses import BY_CHALLENGE, BY_CLOCK, DATABASE, SESSION, STATEMENT, problems
from api.sessionopening import Holder, open_session
from api.signers import accept_counter, authenticated, check_fresh
from api.tokens import SESSION_SECONDS, new_session_token
from api.wire import SignedBody, UnixSeconds, statement_text
from ceremony.reasons import Reason
from ceremony.statements import Kind, LoginPayload
from ceremony.verification import StatementError
from records import sessions, submissions
from records.tables.session import SessionSource
from records.tables.submission import SubmissionRow

router = APIRouter(prefix="/v1/sessions", tags=["sessions"])

_REFUSED = {401: (Reason.REPLAYED, Reason.WRONG_SIGNATORY)}


class SessionOpened(BaseModel):
    """A session, for half an hour. The token also comes as an HttpOnly cookie."""

    session_token: Annotated[str, Field(examples=["q8Zx0cV5bN7mA2sD4fG6hJ8kL1pO3iU5yT7rE9wQ0aS"])]
    expires_at: UnixSeconds


@router.post(
    "",
    status_code=201,
    summary="Sign in",
    responses=problems(STATEMENT, BY_CHALLENGE, BY_CLOCK, _REFUSED, DATABASE),
)
async def sign_in(
    body: SignedBody, caller: BySignature, parts: PartsDep, response: Response
) -> SessionOpened:
    """Take a `login` statement and open a session.

    A login statement opens one session, once: the token is not stored, so the same statement
    again is `replayed`, and a new one is a new signature away.
    """
    text = statement_text(body.statement)
    signed = await authenticated(parts, caller, text, LoginPayload, Scope.LOGINS)
    token = new_session_token()
    try:
        expires_at = await parts.database.run(_open, parts, signed, token)
    except StatementError as error:
        await note_refused(parts, caller, Refusal(Kind.LOGIN, error.reason, signed))
        raise statement_problem(error.reason) from None
    parts.metrics.statements.labels(Kind.LOGIN, "answered").inc()
    set_session_cookie(response, parts, token, SESSION_SECONDS)
    return SessionOpened(session_token=token, expires_at=expires_at)


@router.delete(
    "",
    status_code=204,
    summary="Sign out",
    responses=problems(SESSION, DATABASE),
)
async def sign_out(signed_in: BySession, parts: PartsDep, response: Response) -> None:
    """End this session."""
    await parts.database.run(_end, parts, signed_in.session_digest)
    clear_session_cookie(response, parts)


def _open(parts: Parts, signed: Signed[LoginPayload], token: str) -> int:
    person, statement, now = signed.person, signed.statement, parts.now()
    if person is None or signed.payload.administrator != person.entry.staff_no:
        raise StatementError(Reason.WRONG_SIGNATORY)
    entry = person.entry
    row = SubmissionRow(
        digest=statement.digest,
        kind=Kind.LOGIN,
        request_id="",
        terminal_no="",
        signer_kid=statement.kid,
        person=entry.person,
        statement=statement.text,
        received_at=now,
    )
    with parts.database.write() as session:
        _, first_time = submissions.receive(session, row)
        if not first_time:
            raise StatementError(Reason.REPLAYED)
        check_fresh(parts, signed)
        accept_counter(session, signed)
        holder = Holder(
            SessionSource.CREDENTIAL,
            entry.staff_no,
            entry.name,
            entry.roles,
            entry.person,
            statement.kid,
        )
        return open_session(
            session, parts, holder, token, now=now, detail={"digest": statement.digest}
        )


def _end(parts: Parts, digest: str) -> None:
    with parts.database.write() as session:
        sessions.end(session, digest, parts.now())
