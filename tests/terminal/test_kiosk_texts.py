"""The kiosk's words: everything is said in both languages, and nothing is missing."""

from pathlib import Path
from typing import get_args

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_file
from babel.messages.pofile import read_po

from ceremony.stages import FINAL, Stage
from terminal.epperrors import EppCode
from terminal.web import texts
from terminal.web.background import Cause
from terminal.web.languages import DOMAIN, LOCALES, preferred
from terminal.web.pages import TEMPLATES, environment

ROOT = Path(__file__).parents[2]
Id = str | tuple[str, ...]


@pytest.fixture(scope="module")
def catalogue() -> Catalog:
    """The Chinese catalogue."""
    with (LOCALES / "zh_CN" / "LC_MESSAGES" / f"{DOMAIN}.po").open("rb") as source:
        return read_po(source, locale="zh_CN", domain=DOMAIN)


def used() -> set[Id]:
    """Every message id of the templates and of the words."""
    found: set[Id] = set()
    extract = environment("en").extract_translations  # type: ignore[attr-defined]
    for template in TEMPLATES.glob("*.html"):
        for _, _, message in extract(template.read_text()):
            ids = tuple(
                one for one in (message if isinstance(message, tuple) else (message,)) if one
            )
            if ids:
                found.add(ids if len(ids) > 1 else ids[0])
    words = ROOT / "terminal" / "web" / "texts.py"
    for _, said, _, _ in extract_from_file("python", words, keywords={"noted": None}):
        found.add(said)
    return found


def test_everything_is_said_in_chinese(catalogue: Catalog) -> None:
    """Every text of the screen has a translation, and none is kept that is not used."""
    messages = [message for message in catalogue if message.id]
    assert {message.id for message in messages} == used()
    for message in messages:
        assert all(strings_of(message)), message.id
        assert not message.fuzzy, message.id


def test_translations_keep_what_is_put_in(catalogue: Catalog) -> None:
    """A translation has the same places and the same markup as its original."""
    for message in (one for one in catalogue if one.id):
        original = message.id if isinstance(message.id, str) else message.id[-1]
        for text in strings_of(message):
            assert text.count("%(") == original.count("%("), message.id
            assert text.count("<") == original.count("<"), message.id


def strings_of(message: Message) -> list[str]:
    """The translations of a message: one, or one for each plural."""
    string = message.string
    return [string] if isinstance(string, str) else list(string or [""])


def test_every_ending_and_stop_has_words() -> None:
    """Every final stage, cause and EPP error is told in plain words."""
    assert set(texts.ENDINGS) == set(FINAL)
    assert set(texts.STOPS) == set(get_args(Cause))
    assert set(texts.EPP_ERRORS) == set(EppCode)
    assert texts.ending_words(Stage.FAILED, "unheard-of") == texts.ENDINGS[Stage.FAILED]


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("zh", "zh-CN"),
        ("zh-TW", "zh-CN"),
        ("fr-FR, zh;q=0.3", "zh-CN"),
        ("zh;q=0.3, en-GB;q=0.7", "en"),
        ("zh;q=0, de", "en"),
        ("*", "en"),
        ("zh;q=x", "en"),
        ("x" * 10_000 + ", zh", "en"),
    ],
)
def test_the_best_language_is_taken(header: str, language: str) -> None:
    """Accept-Language is read by its qualities; what cannot be read is English."""
    assert preferred(header) == language


def test_the_tokens_are_those_of_the_pages() -> None:
    """The kiosk's colours and sizes are the pages' own, light and dark."""
    pages, kiosk = (
        (ROOT / path).read_text()
        for path in ("api/pages/static/keyfill.css", "terminal/static/kiosk.css")
    )
    assert _roots(kiosk) == _roots(pages)


def _roots(css: str) -> list[str]:
    return [block.partition("}")[0] for block in css.split(":root {")[1:]]
