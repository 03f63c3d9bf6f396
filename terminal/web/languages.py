"""The kiosk's languages: which there are, which one a browser gets, and their catalogues.

English is the message id. The other catalogue is a gettext `.po` file that is read at start.
"""

from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Final, Literal

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations

Language = Literal["en", "zh-CN"]

LANGUAGES: Final[tuple[Language, ...]] = ("en", "zh-CN")
DOMAIN: Final = "kiosk"
LOCALES: Final = Path(__file__).parents[1] / "locale"
_LONGEST_HEADER: Final = 500


def known(tag: str | None) -> Language | None:
    """The language of exactly this tag, or None."""
    return next((language for language in LANGUAGES if language == tag), None)


def preferred(accept_language: str) -> Language:
    """The best language for an `Accept-Language` header (RFC 9110 section 12.5.4).

    Any Chinese is met with zh-CN, whatever is not understood with English.
    """
    ranked = sorted(_ranges(accept_language), key=lambda one: -one[1])
    for tag, quality in ranked:
        for language in LANGUAGES:
            if quality > 0 and tag == language.partition("-")[0]:
                return language
    return LANGUAGES[0]


@cache
def translations(language: Language) -> NullTranslations:
    """The catalogue of a language; English needs none."""
    name = language.replace("-", "_")
    path = LOCALES / name / "LC_MESSAGES" / f"{DOMAIN}.po"
    if not path.exists():
        return NullTranslations()
    with path.open("rb") as source:
        catalogue = read_po(source, locale=name, domain=DOMAIN)
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return Translations(fp=compiled, domain=DOMAIN)


def _ranges(header: str) -> list[tuple[str, float]]:
    """Primary language and quality of each range that can be read, in their order."""
    found = []
    for part in header[:_LONGEST_HEADER].split(","):
        tag, _, weight = part.strip().partition(";")
        name, _, number = weight.strip().partition("=")
        try:
            quality = float(number) if name.strip().lower() == "q" else 1.0
        except ValueError:
            continue
        found.append((tag.strip().lower().partition("-")[0], quality))
    return found
