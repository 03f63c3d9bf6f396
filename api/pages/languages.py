"""Languages of the pages: which there are, and which one a browser gets.

English is the message id; the other catalogues are gettext `.po` files, read at start, so that
no compiled catalogue has to be kept in step.
"""

import re
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Final, Literal

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations
from starlette.requests import Request

Language = Literal["en", "zh-CN"]

LANGUAGES: Final[tuple[Language, ...]] = ("en", "zh-CN")
COOKIE: Final = "keyfill_language"
COOKIE_SECONDS: Final = 365 * 86_400
DOMAIN: Final = "keyfill"
LOCALES: Final = Path(__file__).parent / "locale"

_MAX_HEADER_CHARS: Final = 500
_RANGE: Final = re.compile(
    r"\s*(?P<tag>\*|[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*)\s*"
    r"(?:;\s*[qQ]\s*=\s*(?P<q>0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)\s*)?\Z"
)


@dataclass(frozen=True, slots=True)
class _Wanted:
    tag: str
    quality: float


def language_of(request: Request) -> Language:
    """The language of a call: what was switched to, else what the browser prefers, else English."""
    chosen = known_language(request.cookies.get(COOKIE))
    return chosen or preferred(request.headers.get("accept-language", ""))


def known_language(text: str | None) -> Language | None:
    """The language of this very tag, or None."""
    for language in LANGUAGES:
        if text == language:
            return language
    return None


def preferred(header: str) -> Language:
    """The best language for an `Accept-Language` header (RFC 9110 section 12.5.4).

    Any Chinese is met with zh-CN: there is no other here. What is not readable is ignored.
    """
    wanted = [_wanted(part) for part in header[:_MAX_HEADER_CHARS].split(",")]
    known = [one for one in wanted if one is not None]
    best, found = 0.0, LANGUAGES[0]
    for language in LANGUAGES:
        quality = _quality(language, known)
        if quality > best:
            best, found = quality, language
    return found


@cache
def translations(language: Language) -> NullTranslations:
    """The catalogue of a language; English needs none."""
    path = LOCALES / language.replace("-", "_") / "LC_MESSAGES" / f"{DOMAIN}.po"
    if not path.exists():
        return NullTranslations()
    with path.open("rb") as source:
        catalogue = read_po(source, locale=language.replace("-", "_"), domain=DOMAIN)
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return Translations(fp=compiled, domain=DOMAIN)


def _wanted(part: str) -> _Wanted | None:
    found = _RANGE.match(part)
    if found is None:
        return None
    return _Wanted(found["tag"].lower(), float(found["q"] or 1))


def _quality(language: Language, wanted: list[_Wanted]) -> float:
    primary = language.split("-")[0].lower()
    named = [one.quality for one in wanted if one.tag.split("-")[0] == primary]
    if named:
        return max(named)
    return max((one.quality for one in wanted if one.tag == "*"), default=0.0)
