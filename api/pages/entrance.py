"""The way in and out: start, sign-in page, sign-out, language, static files."""

from typing import Annotated, Final
from urllib.parse import parse_qsl

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from api.authentication import Anyone, clear_session_cookie
from api.crosssite import check_same_origin
from api.pages import languages
from api.pages.assets import KEPT, PREFIX, AssetUnknown, asset
from api.pages.rendering import render
from api.pages.visitors import SIGN_IN, SignedInVisitor, Visitor, own_path
from api.parts import PartsDep
from api.problems import Malformed, NotFound
from records import sessions

router = APIRouter(include_in_schema=False)

_SEE_OTHER: Final = 303
_MAX_FIELDS: Final = 10


@router.get("/")
async def start_page(visitor: SignedInVisitor) -> RedirectResponse:
    """Lead people to what they are here for."""
    reviews = "administrator" in visitor.roles
    return RedirectResponse("/r" if reviews else "/requests", _SEE_OTHER)


@router.get(SIGN_IN)
async def sign_in_page(
    request: Request,
    visitor: Visitor,
    parts: PartsDep,
    wanted: Annotated[str | None, Query(alias="next")] = None,
) -> Response:
    """Let someone sign in, with a passkey or at the provider, and go on to what they wanted."""
    if visitor is not None:
        return RedirectResponse(own_path(wanted), _SEE_OTHER)
    openid = parts.openid
    return render(
        request,
        "signin_page.html",
        next=own_path(wanted),
        provider=None if openid is None else openid.name,
    )


@router.post("/sign-out")
async def sign_out_page(request: Request, visitor: Visitor, parts: PartsDep) -> Response:
    """End the session, and say so."""
    check_same_origin(request, parts.trust.origin)
    if visitor is not None:
        await parts.database.run(_end, parts, visitor.session_digest)
    response = RedirectResponse(SIGN_IN, _SEE_OTHER)
    clear_session_cookie(response, parts)
    return response


@router.post("/language")
async def switch_language(request: Request, _caller: Anyone, parts: PartsDep) -> Response:
    """Remember a language, and show the same page in it."""
    check_same_origin(request, parts.trust.origin)
    fields = await _form(request)
    language = languages.known_language(fields.get("language"))
    if language is None:
        raise Malformed("malformed")
    response = RedirectResponse(own_path(fields.get("next")), _SEE_OTHER)
    response.set_cookie(
        languages.COOKIE,
        language,
        max_age=languages.COOKIE_SECONDS,
        path="/",
        secure=parts.trust.origin.startswith("https:"),
        httponly=True,
        samesite="lax",
    )
    return response


@router.get(PREFIX + "{name}")
async def static_file(
    name: str, _caller: Anyone, v: Annotated[str | None, Query(max_length=64)] = None
) -> Response:
    """Give a style sheet, script or picture; under its own hash a browser keeps it for ever."""
    try:
        found = asset(name)
    except AssetUnknown:
        raise NotFound from None
    headers = {"Cache-Control": KEPT} if v == found.version else {}
    return Response(found.content, media_type=found.media_type, headers=headers)


async def _form(request: Request) -> dict[str, str]:
    try:
        text = (await request.body()).decode("ascii")
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=_MAX_FIELDS))
    except ValueError:
        raise Malformed("malformed") from None


def _end(parts: PartsDep, digest: str) -> None:
    with parts.database.write() as session:
        sessions.end(session, digest, parts.now())
