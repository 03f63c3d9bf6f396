"""Points in time on a page: for people in their language, for machines in ISO 8601.

The server does not know where a reader is: it writes UTC, and says so. A script puts the reader's
own time in its place.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from babel import Locale
from babel.dates import format_datetime

from api.pages.languages import Language

_LOCALES: Final[dict[Language, Locale]] = {
    "en": Locale("en", "GB"),
    "zh-CN": Locale("zh", "CN", script="Hans"),
}


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time: `seconds` of Unix time, `iso` for machines, `text` for people, in UTC."""

    seconds: int
    iso: str
    text: str


def moment(seconds: int, language: Language) -> Moment:
    """Write a Unix time in a language."""
    at = datetime.fromtimestamp(seconds, UTC)
    text = format_datetime(at, "medium", locale=_LOCALES[language])
    return Moment(seconds, at.strftime("%Y-%m-%dT%H:%M:%SZ"), f"{text} UTC")
