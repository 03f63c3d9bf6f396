"""Pages from templates: escaped, in the reader's language, under a strict content policy."""

from functools import cache
from pathlib import Path
from typing import Any, Final, cast

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request

from api.oidcclient import CALLBACK_PATH
from api.pages.assets import asset_url
from api.pages.languages import LANGUAGES, Language, language_of, translations
from api.parts import parts_of
from api.signedin import SignedIn

TEMPLATES: Final = Path(__file__).parent / "templates"

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": (
        "publickey-credentials-get=(self), publickey-credentials-create=(self), "
        "camera=(), microphone=(), geolocation=()"
    ),
    "Vary": "Accept-Language, Cookie",
}


def render(
    request: Request,
    name: str,
    *,
    status: int = 200,
    signed_in: SignedIn | None = None,
    **context: object,
) -> HTMLResponse:
    """Make a page from a template; `signed_in` is whom the page's header names.

    Every name that the template uses must be given: a missing one is an error, not an empty
    place.
    """
    language, trust = language_of(request), parts_of(request).trust
    text = (
        environment(language)
        .get_template(name)
        .render(
            {
                **context,
                "language": language,
                "languages": LANGUAGES,
                "signed_in": signed_in,
                "here": _here(request),
                "status": status,
                "audience": trust.audience,
                "rp_id": trust.rp_id,
            }
        )
    )
    headers = {**HEADERS, "Content-Language": language}
    return HTMLResponse(text, status_code=status, headers=headers)


def _here(request: Request) -> str:
    # A callback's address works once, and holds a code.
    if request.method != "GET" or request.url.path == CALLBACK_PATH:
        return "/"
    query = f"?{request.url.query}" if request.url.query else ""
    return request.url.path + query


@cache
def environment(language: Language) -> Environment:
    """The templates in one language."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.policies["ext.i18n.trimmed"] = True
    cast(Any, made).install_gettext_translations(translations(language), newstyle=True)
    made.globals["asset"] = asset_url
    return made
