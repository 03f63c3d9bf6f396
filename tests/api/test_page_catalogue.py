"""The pages' catalogues: every text is translated, and no translation is left without its text."""

import re

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from api.pages.languages import DOMAIN, LANGUAGES, LOCALES
from api.pages.rendering import TEMPLATES

_PLACEHOLDER = re.compile(r"\{\w+\}|%\(\w+\)s")
OTHERS = [language for language in LANGUAGES if language != "en"]


def message_ids() -> set[str]:
    """Every text that a template has translated."""
    found = extract_from_dir(
        TEMPLATES,
        method_map=[("**.html", "jinja2.ext:babel_extract")],
        options_map={"**.html": {"trimmed": "true", "silent": "false"}},
    )
    return {message for _, _, message, *_ in found if isinstance(message, str)}


def catalogue(language: str) -> dict[str, str]:
    """A language's translations, as they stand in the file."""
    path = LOCALES / language.replace("-", "_") / "LC_MESSAGES" / f"{DOMAIN}.po"
    with path.open("rb") as source:
        read = read_po(source, abort_invalid=True)
    assert not read.obsolete
    assert not any(message.fuzzy and message.id for message in read)
    return {str(message.id): str(message.string) for message in read}


@pytest.mark.parametrize("language", OTHERS)
def test_every_text_is_translated(language: str) -> None:
    """Each text of a template has a translation that is not empty."""
    known = catalogue(language)
    assert len(message_ids()) > 100
    assert {text for text in message_ids() if not known.get(text)} == set()


@pytest.mark.parametrize("language", OTHERS)
def test_no_translation_is_left_over(language: str) -> None:
    """A translation whose text no template has any more is gone."""
    assert set(catalogue(language)) - message_ids() - {""} == set()


@pytest.mark.parametrize("language", OTHERS)
def test_a_translation_fills_in_what_the_text_does(language: str) -> None:
    """A placeholder that was lost or misspelt would show, or hide, what a person must know."""
    for text, translated in catalogue(language).items():
        if text:
            assert sorted(_PLACEHOLDER.findall(text)) == sorted(_PLACEHOLDER.findall(translated))
