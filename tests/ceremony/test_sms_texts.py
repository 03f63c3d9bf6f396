"""Claims about the SMS texts: one GSM 7 bit segment each, and codes only where they belong."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ceremony.smstexts import (
    GSM_7,
    MAX_CHARACTERS,
    SmsText,
    SmsTextError,
    approval_text,
    code_text,
    ended_text,
    review_text,
)
from ceremony.stages import FINAL, OPEN, Stage

REQUEST = "Ab3_-6789012345678901234"
LONGEST = "T" * 32

terminal_numbers = st.from_regex(r"[A-Z0-9][A-Z0-9-]{0,31}", fullmatch=True)
request_ids = st.from_regex(r"[A-Za-z0-9_-]{24}", fullmatch=True)


def every_text(terminal_no: str, request_id: str) -> dict[str, SmsText]:
    """All texts about one request, with the longest deadlines and codes that are easy to find."""
    texts = {
        "code": code_text(
            terminal_no=terminal_no, request_id=request_id, code="918273", n=3, valid_seconds=600
        ),
        "review": review_text(terminal_no=terminal_no, request_id=request_id, valid_seconds=59_940),
        "approval": approval_text(
            terminal_no=terminal_no,
            request_id=request_id,
            approval_code="4711",
            valid_seconds=59_940,
        ),
    }
    for stage in FINAL:
        texts[stage] = ended_text(terminal_no=terminal_no, request_id=request_id, stage=stage)
    return texts


@given(terminal_numbers, request_ids)
def test_every_text_is_one_segment(terminal_no: str, request_id: str) -> None:
    """Whatever the terminal and request, each text is one segment and names both."""
    for name, text in every_text(terminal_no, request_id).items():
        assert len(text) <= MAX_CHARACTERS, name
        assert GSM_7.issuperset(text), name
        assert f"terminal {terminal_no}," in text, name
        assert f"ref {request_id[:8]}" in text, name
        assert request_id not in text, name


def test_the_longest_terminal_number_fits() -> None:
    """The longest terminal number that an entry may hold still leaves each text one segment."""
    assert max(len(text) for text in every_text(LONGEST, REQUEST).values()) <= MAX_CHARACTERS


def test_codes_only_where_they_belong() -> None:
    """The SMS code is in the code text only, the approval code in the approval text only."""
    texts = every_text("TERMINAL", "A" * 24)
    assert {name for name, text in texts.items() if "918273" in text} == {"code"}
    assert {name for name, text in texts.items() if "4711" in text} == {"approval"}
    without = [text for name, text in texts.items() if name not in {"code", "approval"}]
    assert not any(re.search(r"\d{4}", text) for text in without)


def test_no_text_holds_a_link() -> None:
    """No text holds anything that a phone would turn into a link."""
    for text in every_text("T-1", REQUEST).values():
        assert "://" not in text
        assert not re.search(r"\w\.\w", text)


def test_endings_differ_and_open_stages_have_none() -> None:
    """Each final stage has its own sentence; an open stage is refused."""
    ended = {ended_text(terminal_no="T-1", request_id=REQUEST, stage=stage) for stage in FINAL}
    assert len(ended) == len(FINAL)
    for stage in OPEN:
        with pytest.raises(SmsTextError):
            ended_text(terminal_no="T-1", request_id=REQUEST, stage=stage)


@pytest.mark.parametrize("code", ["", "12345", "1234567", "12345a", "١٢٣٤٥٦"])
def test_a_malformed_code_is_refused_unseen(code: str) -> None:
    """A code that is not six ASCII digits is refused, and the error does not repeat it."""
    with pytest.raises(SmsTextError) as caught:
        code_text(terminal_no="T-1", request_id=REQUEST, code=code, n=1, valid_seconds=600)
    assert not code or code not in str(caught.value)


@pytest.mark.parametrize("terminal_no", ["T" * 90, "T-1€", "\u0422-1"])
def test_a_part_that_does_not_fit_is_refused(terminal_no: str) -> None:
    """A terminal number that is too long or not GSM 7 bit is refused, never cut or replaced."""
    with pytest.raises(SmsTextError):
        ended_text(terminal_no=terminal_no, request_id=REQUEST, stage=Stage.LOADED)


def test_deadlines_read_as_people_say_them() -> None:
    """Full hours are shown as hours, everything else as minutes."""
    assert "within 4 h" in review_text(
        terminal_no="T-1", request_id=REQUEST, valid_seconds=4 * 3600
    )
    assert "within 90 min" in review_text(terminal_no="T-1", request_id=REQUEST, valid_seconds=5400)
