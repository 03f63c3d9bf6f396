"""Problem documents (RFC 9457): typed errors inside, one stable `code` outside.

Routes and helpers raise an `ApiProblem`; only the handlers in `api.errorhandlers` turn one into
a document. No document repeats what a caller sent.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final

from fastapi import Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from ceremony.reasons import Reason
from ceremony.stages import Stage

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:keyfill:problem:"
RETRY_SECONDS: Final = 2
"""Retry-After while the database or Temporal is away: both usually come back within seconds."""

NO_MEMBERS: Final[Mapping[str, object]] = MappingProxyType({})


class Problem(BaseModel):
    """A problem document (RFC 9457). `code` is stable; `title` is for people and may change."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:keyfill:problem:wrong-stage",
                    "title": "Wrong stage",
                    "status": 409,
                    "code": "wrong-stage",
                    "stage": "AWAITING_REVIEW",
                }
            ]
        }
    )

    type: Annotated[str, Field(description="`urn:keyfill:problem:` and the code.")]
    title: Annotated[str, Field(description="The code in words.")]
    status: Annotated[int, Field(description="The HTTP status.")]
    code: Annotated[str, Field(description="What is wrong; stable, in kebab-case.")]
    stage: Annotated[
        Stage | None, Field(description="With `wrong-stage`: where the loading request stands.")
    ] = None
    request_id: Annotated[
        str | None,
        Field(
            description="With `wrong-stage` for a scanned code: the terminal's own first "
            "administrator is told which loading request it is."
        ),
    ] = None
    attempts_left: Annotated[
        int | None,
        Field(description="With a refused application, for the terminal's own administrator."),
    ] = None
    fields: Annotated[
        list[str] | None,
        Field(description="With `schema`: which fields, and the rule each broke; never a value."),
    ] = None
    checks: Annotated[
        dict[str, str] | None, Field(description="With `not-ready`: what each check found.")
    ] = None


class ApiProblem(Exception):
    """An answer that is not the one asked for; `reason` is what the audit trail is told.

    `members` are the document's further members; none may hold a secret.
    """

    status: int

    def __init__(
        self,
        code: str,
        *,
        reason: str | None = None,
        retry_after: int | None = None,
        members: Mapping[str, object] = NO_MEMBERS,
    ) -> None:
        """Answer with this code."""
        super().__init__(code)
        self.code = code
        self.reason = reason or code
        self.retry_after = retry_after
        self.members = members


class Malformed(ApiProblem):
    """400: not readable as what it should be."""

    status = 400


class NotAuthenticated(ApiProblem):
    """401: no valid session, token or signature."""

    status = 401

    def __init__(self, code: str = "not-authenticated", reason: str | None = None) -> None:
        """Say no more than that, unless the signer is known."""
        super().__init__(code, reason=reason)


class Refused(ApiProblem):
    """403: authentic, and refused by a rule."""

    status = 403


class ApplicationRefused(Refused):
    """403 to an application, whichever check failed; the audit trail holds the reason."""

    def __init__(self, reason: str, attempts_left: int | None = None) -> None:
        """Tell the reason to the audit trail only."""
        super().__init__("application-refused", reason=reason, members=_attempts(attempts_left))


class NotFound(ApiProblem):
    """404: unknown, or not the caller's: both look the same."""

    status = 404

    def __init__(self, reason: str = "not-found") -> None:
        """Tell the reason to the audit trail only."""
        super().__init__("not-found", reason=reason)


class WrongStage(ApiProblem):
    """409: not in place at the stage where the loading request stands."""

    status = 409

    def __init__(self, stage: Stage, request_id: str | None = None) -> None:
        """Name the stage, and the loading request to one whose it is and who cannot know it."""
        known = {} if request_id is None else {"request_id": request_id}
        super().__init__(Reason.WRONG_STAGE, members={"stage": stage.value, **known})


class Gone(ApiProblem):
    """410: expired."""

    status = 410


class BodyTooLarge(ApiProblem):
    """413: the body is larger than any statement."""

    status = 413

    def __init__(self) -> None:
        """Refuse."""
        super().__init__("body-too-large")


class TooMany(ApiProblem):
    """429: asked too often."""

    status = 429

    def __init__(self, retry_after: int) -> None:
        """Say when to come back, in seconds."""
        super().__init__("too-many-requests", retry_after=retry_after)


class Unavailable(ApiProblem):
    """503: the database, Temporal or the key worker is away."""

    status = 503

    def __init__(self, code: str, members: Mapping[str, object] = NO_MEMBERS) -> None:
        """Say what is away, and when to come back."""
        super().__init__(code, retry_after=RETRY_SECONDS, members=members)


_MALFORMED: Final = frozenset(
    {Reason.MALFORMED, Reason.TOO_LARGE, Reason.HEADER_REFUSED, Reason.WRONG_TYPE}
)
# One answer for a key that nobody enrolled and a signature that does not hold: which of them it
# was would tell a stranger what is enrolled here.
_UNAUTHENTIC: Final = frozenset(
    {Reason.UNKNOWN_KEY, Reason.BAD_SIGNATURE, Reason.WRONG_ALGORITHM, Reason.PASSKEY_REFUSED}
)
# The signature holds: only its signer is told, of a key of their own.
_KEY_REFUSED: Final = frozenset({Reason.PASSKEY_REQUIRED, Reason.PASSKEY_NOT_DEVICE_BOUND})
_EXPIRED: Final = frozenset({Reason.STATEMENT_EXPIRED, Reason.APPROVAL_EXPIRED, Reason.QR_EXPIRED})


def statement_problem(reason: Reason) -> ApiProblem:
    """The answer to a statement that was refused before it reached the workflow."""
    if reason in _MALFORMED:
        return Malformed(reason)
    if reason in _UNAUTHENTIC:
        return NotAuthenticated(reason=reason)
    if reason in _KEY_REFUSED:
        return Refused(reason)
    return NotAuthenticated(reason)


def verdict_problem(reason: str, stage: Stage, attempts_left: int | None = None) -> ApiProblem:
    """The answer to a statement that the ceremony refused."""
    if reason == Reason.WRONG_STAGE:
        return WrongStage(stage)
    members = _attempts(attempts_left)
    if reason in _EXPIRED:
        return Gone(reason, members=members)
    return Refused(reason, members=members)


def _attempts(left: int | None) -> Mapping[str, object]:
    return NO_MEMBERS if left is None else {"attempts_left": left}


def document(problem: ApiProblem) -> Response:
    """Write a problem document with its headers."""
    headers = {} if problem.retry_after is None else {"Retry-After": str(problem.retry_after)}
    if problem.status == NotAuthenticated.status:
        # RFC 9110 section 11.6.1 wants a challenge in every 401.
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(
        {
            "type": TYPE_PREFIX + problem.code,
            "title": problem.code.replace("-", " ").capitalize(),
            "status": problem.status,
            "code": problem.code,
            **problem.members,
        },
        status_code=problem.status,
        headers=headers,
        media_type=MEDIA_TYPE,
    )
