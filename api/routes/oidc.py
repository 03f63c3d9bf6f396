"""Sign-in by OpenID Connect: to the provider, and back with a session.

Browsers navigate here, so both ways answer with redirects and pages. The session is the same as
after a sign-in with a passkey, and signs nothing: statements still need the enrolled credential.
"""

import logging
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse
from sqlmodel import Session

from api.authentication import Anyone, Caller, set_session_cookie
from api.limits import Scope
from api.oidc import Identity, OpenIdConnect, Returned
from api.oidcbegun import BEGUN_SECONDS, Begun, SignInStale
from api.oidcclient import CALLBACK_PATH, ProviderFault
from api.oidctokens import TokenRefused
from api.pages.rendering import render
from api.pages.visitors import own_path
from api.parts import Parts, PartsDep
from api.problems import Malformed, NotFound, Refused, Unavailable
from api.refusals import note_sign_in_refused
from api.sessionopening import Holder, open_session
from api.tokens import SESSION_SECONDS, new_session_token
from ceremony.registry import VerifiedCredential
from records import credentialentries, spentstates
from records.standing import verified_credential
from records.tables.session import SessionSource

router = APIRouter(include_in_schema=False)

LOGIN_PATH: Final = "/oidc/login"
SECURE_COOKIE: Final = "__Host-keyfill_openid"
PLAIN_COOKIE: Final = "keyfill_openid"
_SEE_OTHER: Final = 303
_MAX_CHARS: Final = 2_048
_SAME: Final = frozenset({"same-origin", "none"})

_LOG = logging.getLogger(__name__)


class _NoRole(Exception):
    """Known, and without any role here; the message is a reason code."""


@router.get(LOGIN_PATH)
async def begin_sign_in(
    request: Request,
    caller: Anyone,
    parts: PartsDep,
    wanted: Annotated[str | None, Query(alias="next")] = None,
) -> Response:
    """Lead a browser to the provider, and give it what it has to bring back."""
    openid = _openid(parts)
    # Only our own sign-in page, or somebody who typed the address, begins a sign-in.
    if request.headers.get("sec-fetch-site", "none") not in _SAME:
        raise Refused("cross-site")
    await parts.limits.admit(Scope.LOGINS, f"openid {caller.address}")
    try:
        url, cookie = await openid.begin(own_path(wanted))
    except ProviderFault as fault:
        raise _away(fault) from None
    response = RedirectResponse(url, _SEE_OTHER)
    response.set_cookie(
        _cookie_name(parts),
        cookie,
        max_age=BEGUN_SECONDS,
        path="/",
        secure=parts.trust.origin.startswith("https:"),
        httponly=True,
        # The provider's redirect comes from another site.
        samesite="lax",
    )
    return response


@router.get(CALLBACK_PATH)
async def finish_sign_in(request: Request, caller: Anyone, parts: PartsDep) -> Response:
    """Take a browser back from the provider: open a session, and lead on."""
    openid = _openid(parts)
    answer = _answer(request)
    identity: Identity | None = None
    token = new_session_token()
    try:
        begun = openid.begun(request.cookies.get(_cookie_name(parts)), answer.get("state"))
        await parts.database.run(_spend, parts, begun)
        if "error" in answer or "code" not in answer:
            raise TokenRefused("provider-refused")
        returned = Returned(answer["code"], answer.get("iss"))
        identity = await openid.finish(begun, returned)
        await parts.database.run(_open, parts, identity, token)
    except ProviderFault as fault:
        raise _away(fault) from None
    except SignInStale as stale:
        await _note(parts, caller, f"{stale}", None)
        raise Refused("sign-in-stale", reason=f"{stale}") from None
    except TokenRefused as refused:
        await _note(parts, caller, f"{refused}", None)
        raise Refused("sign-in-refused", reason=f"{refused}") from None
    except _NoRole as refused:
        await _note(parts, caller, f"{refused}", identity)
        raise Refused("no-role", reason=f"{refused}") from None
    # The session's cookie is SameSite=Strict: a redirect would still count as the provider's, and
    # the browser would not send it. A page of ours goes on by itself.
    response = render(request, "signed_in.html", next=begun.wanted)
    set_session_cookie(response, parts, token, SESSION_SECONDS)
    response.delete_cookie(
        _cookie_name(parts),
        path="/",
        secure=parts.trust.origin.startswith("https:"),
        httponly=True,
        samesite="lax",
    )
    return response


def _openid(parts: Parts) -> OpenIdConnect:
    if parts.openid is None:
        raise NotFound
    return parts.openid


def _cookie_name(parts: Parts) -> str:
    return SECURE_COOKIE if parts.trust.origin.startswith("https:") else PLAIN_COOKIE


def _answer(request: Request) -> dict[str, str]:
    """What the provider answered; a parameter twice is no answer (RFC 6749 section 3.1)."""
    given = request.query_params.multi_items()
    answer = dict(given)
    if len(answer) < len(given) or any(len(value) > _MAX_CHARS for value in answer.values()):
        raise Malformed("malformed")
    return answer


def _away(fault: ProviderFault) -> Unavailable:
    _LOG.warning("the OpenID provider cannot be used: %(reason)s", {"reason": f"{fault}"})
    return Unavailable("provider-unavailable")


async def _note(parts: Parts, caller: Caller, reason: str, identity: Identity | None) -> None:
    _LOG.warning("a sign-in by OpenID Connect was refused: %(reason)s", {"reason": reason})
    staff_no = None if identity is None else identity.staff_no
    await note_sign_in_refused(parts, caller, reason, staff_no=staff_no)


def _spend(parts: Parts, begun: Begun) -> None:
    with parts.database.write() as session:
        first_time = spentstates.spend(
            session, begun.state_digest, expires_at=begun.expires_at, now=parts.now()
        )
    if not first_time:
        raise SignInStale("state-spent")


def _open(parts: Parts, identity: Identity, token: str) -> None:
    with parts.database.write() as session:
        now = parts.now()
        holder = _holder(session, parts, identity, now)
        open_session(session, parts, holder, token, now=now, detail={})


def _holder(session: Session, parts: Parts, identity: Identity, now: int) -> Holder:
    """Who gets a session: an administrator as the enrolled person, others by the groups alone."""
    source, roles = SessionSource.OPENID_CONNECT, identity.roles
    if not roles:
        raise _NoRole("no-group")
    if "administrator" in roles:
        credential = _enrolled(session, parts, identity.staff_no, now)
        if credential is not None:
            entry, kid = credential.entry, credential.key.public_key.kid
            return Holder(source, entry.staff_no, entry.name, roles, entry.person, kid)
        roles = tuple(role for role in roles if role != "administrator")
    if not roles:
        raise _NoRole("no-credential")
    return Holder(source, identity.staff_no, identity.name, roles)


def _enrolled(session: Session, parts: Parts, staff_no: str, now: int) -> VerifiedCredential | None:
    """The credential entry in force of the administrator with this staff number."""
    row = credentialentries.credential_by_staff_no(session, staff_no)
    if row is None:
        return None
    credential = verified_credential(session, parts.trust, row.person, now=now)
    # The row is only an index: the entry itself has to say so.
    if credential is None or credential.entry.staff_no != staff_no:
        return None
    return credential if "administrator" in credential.entry.roles else None
