"""The kiosk's pages from templates: escaped, in the browser's language."""

from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from babel.dates import format_datetime
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ceremony.words import fingerprint_words
from terminal.epp import Epp
from terminal.eppstore import EppStoreError
from terminal.loadsession import Terminal
from terminal.web import texts
from terminal.web.languages import LANGUAGES, Language, translations
from terminal.web.qrpicture import qr_svg
from terminal.web.view import LoadedKey, View, loaded_key

HERE: Final = Path(__file__).parents[1]
TEMPLATES: Final = HERE / "templates"
STATIC: Final = HERE / "static"
MEDIA_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_GROUP: Final = 4


def page(terminal: Terminal, view: View, language: Language, version: str) -> str:
    """Draw the page of a view; `version` names this very view."""
    epp = terminal.epp
    key, works = _key_of(epp)
    fingerprint = epp.fingerprint
    context: dict[str, Any] = {
        "language": language,
        "languages": LANGUAGES,
        "version": version,
        "view": view,
        "told": view.told,
        "load": view.load,
        "profile": terminal.profile,
        "fingerprint": [fingerprint[at : at + _GROUP] for at in range(0, len(fingerprint), _GROUP)],
        "words": fingerprint_words(fingerprint, language),
        "key": key,
        "epp_works": works,
        "loaded_at": None if key is None else _when(key.loaded_at, language),
        "outcome": _outcome(view),
        "texts": texts,
        "qr_svg": qr_svg,
    }
    return environment(language).get_template(f"{view.screen}.html").render(context)


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
    made.install_gettext_translations(  # type: ignore[attr-defined]
        translations(language), newstyle=True
    )
    made.globals["asset"] = lambda name: f"/static/{name}?v={asset_version(name)}"
    return made


@cache
def assets() -> dict[str, bytes]:
    """The static files by name."""
    return {path.name: path.read_bytes() for path in STATIC.iterdir() if path.suffix in MEDIA_TYPES}


def asset_version(name: str) -> str:
    """The first 16 hexadecimal digits of a static file's SHA-256.

    Raises:
        KeyError: if there is no such file.
    """
    return sha256(assets()[name]).hexdigest()[:16]


def _outcome(view: View) -> texts.Words | None:
    if view.stopped is not None:
        return texts.stop_words(view.stopped.cause, view.stopped.code)
    if view.load is not None and view.load.ended and view.load.stage is not None:
        return texts.ending_words(view.load.stage, view.load.reason)
    return None


def _key_of(epp: Epp) -> tuple[LoadedKey | None, bool]:
    """The key in the EPP, and whether its memory can be read at all."""
    try:
        return loaded_key(epp), True
    except EppStoreError:
        return None, False


def _when(at: int, language: Language) -> str:
    """A time of the terminal's clock as people write it, with its zone (UTC)."""
    moment = datetime.fromtimestamp(at, UTC)
    return format_datetime(moment, "medium", locale=language.replace("-", "_"))
