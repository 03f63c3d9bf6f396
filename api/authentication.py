"""Who calls: every route names one of these through `Annotated`, so that none forgets to ask.

A statement is its own authentication: `BySignature` routes verify it in `api.signers`. What a
session may see or do is asked of its person's credential entry, verified anew at every call, so
a revoked credential ends its sessions at once. Auditors and operators who came by OpenID Connect
may have no credential: their session row, sealed by the API, says who they are.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Path, Request, Response, Security
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer
from sqlmodel import Session

from api.crosssite import check_same_origin
from api.limits import Scope, network_of
from api.parts import Parts, PartsDep
from api.problems import NotAuthenticated, NotFound, Refused
from api.roles import SEES_OPERATIONS
from api.signedin import SignedIn, session_holder
from api.tokens import session_digest

SECURE_COOKIE: Final = "__Host-keyfill_session"
PLAIN_COOKIE: Final = "keyfill_session"
"""The cookie's name where the origin is plain http, as in development: `__Host-` needs https."""

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9_-]{24}\Z")
_MAX_TOKEN_CHARS: Final = 100

SESSION_BEARER: Final = HTTPBearer(
    scheme_name="session",
    description="The `session_token` of `POST /v1/sessions`.",
    auto_error=False,
)
SESSION_COOKIE: Final = APIKeyCookie(
    name=SECURE_COOKIE,
    scheme_name="sessionCookie",
    description="The same token as a cookie (HttpOnly, SameSite=Strict), as a browser sends it.",
    auto_error=False,
)
STATUS_BEARER: Final = HTTPBearer(
    scheme_name="statusToken",
    description="The `status_token` of `POST /v1/loading-requests`: reads that one request.",
    auto_error=False,
)


@dataclass(frozen=True, slots=True)
class Caller:
    """Where a call comes from: an IPv4 address or an IPv6 network of 64 bits."""

    address: str


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who reads a loading request: its terminal, or someone with a session."""

    signed_in: SignedIn | None

    @property
    def is_terminal(self) -> bool:
        """Whether the status token was shown."""
        return self.signed_in is None


def cookie_name(parts: Parts) -> str:
    """The session cookie's name for this deployment's origin."""
    return SECURE_COOKIE if parts.trust.origin.startswith("https:") else PLAIN_COOKIE


def set_session_cookie(response: Response, parts: Parts, token: str, seconds: int) -> None:
    """Give a browser its session, out of a script's reach."""
    response.set_cookie(
        cookie_name(parts),
        token,
        max_age=seconds,
        path="/",
        secure=parts.trust.origin.startswith("https:"),
        httponly=True,
        samesite="strict",
    )


def clear_session_cookie(response: Response, parts: Parts) -> None:
    """Take the session away from a browser."""
    response.delete_cookie(
        cookie_name(parts),
        path="/",
        secure=parts.trust.origin.startswith("https:"),
        httponly=True,
        samesite="strict",
    )


async def session_by_cookie(request: Request, parts: Parts) -> SignedIn | None:
    """Who looks at a page; None without a session, and for one that has ended.

    Raises:
        Refused: `cross-site`.
        RateLimited: if that person calls too often.
    """
    token = _cookie_token(request, parts)
    if token is None:
        return None
    try:
        return await _session_of(parts, token)
    except NotAuthenticated:
        return None


def known_request_id(
    request_id: Annotated[str, Path(examples=["n4bQgYhMfWWaL-qgxVrQFaO_"])],
) -> str:
    """The loading request's id in the path; what cannot be one is as unknown as any other."""
    if not _REQUEST_ID.match(request_id):
        raise NotFound
    return request_id


async def anyone(request: Request, parts: PartsDep) -> Caller:
    """Count a call against its address.

    Raises:
        RateLimited: if that address calls too often.
    """
    caller = Caller(network_of(request.client.host if request.client else None))
    await parts.limits.admit(Scope.ADDRESS, caller.address)
    return caller


async def _by_signature(caller: Annotated[Caller, Depends(anyone)]) -> Caller:
    return caller


async def _maybe_signed_in(
    request: Request,
    caller: Annotated[Caller, Depends(anyone)],
    parts: PartsDep,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(SESSION_BEARER)],
    _cookie: Annotated[str | None, Security(SESSION_COOKIE)],
) -> SignedIn | None:
    del caller
    token = bearer.credentials if bearer else _cookie_token(request, parts)
    if token is None:
        return None
    return await _session_of(parts, token)


async def _signed_in(
    signed_in: Annotated[SignedIn | None, Depends(_maybe_signed_in)],
) -> SignedIn:
    if signed_in is None:
        raise NotAuthenticated
    return signed_in


async def _auditor(signed_in: Annotated[SignedIn, Depends(_signed_in)]) -> SignedIn:
    if "auditor" not in signed_in.roles:
        raise Refused("not-auditor")
    return signed_in


async def _operator_or_auditor(
    signed_in: Annotated[SignedIn, Depends(_signed_in)],
) -> SignedIn:
    if not SEES_OPERATIONS & {*signed_in.roles}:
        raise Refused("not-auditor")
    return signed_in


async def _viewer(
    request: Request,
    request_id: Annotated[str, Depends(known_request_id)],
    caller: Annotated[Caller, Depends(anyone)],
    parts: PartsDep,
    status: Annotated[HTTPAuthorizationCredentials | None, Security(STATUS_BEARER)],
    _bearer: Annotated[HTTPAuthorizationCredentials | None, Security(SESSION_BEARER)],
    _cookie: Annotated[str | None, Security(SESSION_COOKIE)],
) -> Viewer:
    del caller
    if status is not None and parts.tokens.is_status_token(status.credentials, request_id):
        return Viewer(None)
    token = status.credentials if status else _cookie_token(request, parts)
    if token is None:
        raise NotAuthenticated
    return Viewer(await _session_of(parts, token))


def still_signed_in(session: Session, parts: Parts, signed_in: SignedIn) -> bool:
    """Whether this session stands: not ended or expired, its credential and its roles in force."""
    holder = session_holder(
        session, parts.trust, parts.session_seal, signed_in.session_digest, parts.now()
    )
    return holder is not None and {*signed_in.roles} <= {*holder.roles}


RequestIdPath = Annotated[str, Depends(known_request_id)]
Anyone = Annotated[Caller, Depends(anyone)]
"""Nobody in particular."""
BySignature = Annotated[Caller, Depends(_by_signature)]
"""Whoever signed the statement in the body (`api.signers` verifies it), or holds its token."""
BySession = Annotated[SignedIn, Depends(_signed_in)]
"""Someone with a session, whatever their role: what they see is what is theirs."""
BySessionIfAny = Annotated[SignedIn | None, Depends(_maybe_signed_in)]
"""The signer's session, where a terminal without one may sign too."""
ByAuditor = Annotated[SignedIn, Depends(_auditor)]
"""An auditor with a session."""
ByOperatorOrAuditor = Annotated[SignedIn, Depends(_operator_or_auditor)]
"""An operator or auditor with a session: what operations need, and nothing that proves."""
ByViewer = Annotated[Viewer, Depends(_viewer)]
"""The terminal of the loading request in the path, or someone with a session."""

AUTHENTICATORS: Final = frozenset(
    {anyone, _by_signature, _signed_in, _auditor, _operator_or_auditor, _viewer}
)
"""What a route must depend on, one way or another (a test looks)."""


def _cookie_token(request: Request, parts: Parts) -> str | None:
    token = request.cookies.get(cookie_name(parts))
    if token is None:
        return None
    check_same_origin(request, parts.trust.origin)
    return token


async def _session_of(parts: Parts, token: str) -> SignedIn:
    if len(token) > _MAX_TOKEN_CHARS:
        raise NotAuthenticated
    found = await parts.database.run(_find, parts, session_digest(token))
    if found is None:
        raise NotAuthenticated
    await parts.limits.admit(Scope.CREDENTIAL, found.counted)
    return found


def _find(parts: Parts, digest: str) -> SignedIn | None:
    with parts.database.read() as session:
        return session_holder(session, parts.trust, parts.session_seal, digest, parts.now())
