"""Claims about the SMS texts: their segments, their language, and codes only where they belong."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ceremony.smstexts import (
    GSM_7,
    MAX_CHARACTERS,
    MAX_UCS2_CHARACTERS,
    SmsLanguage,
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
LINK = "https://keyfill.example/r"
LANGUAGES: tuple[SmsLanguage, ...] = ("en", "zh-CN")

terminal_numbers = st.from_regex(r"[A-Z0-9][A-Z0-9-]{0,31}", fullmatch=True)
request_ids = st.from_regex(r"[A-Za-z0-9_-]{24}", fullmatch=True)
languages = st.sampled_from(LANGUAGES)


def every_text(
    terminal_no: str, request_id: str, language: SmsLanguage = "en"
) -> dict[str, SmsText]:
    """All texts about one request, with the longest deadlines and codes that are easy to find."""
    texts = {
        "code": code_text(
            terminal_no=terminal_no,
            request_id=request_id,
            code="918273",
            n=3,
            valid_seconds=600,
            language=language,
        ),
        "review": review_text(
            terminal_no=terminal_no,
            request_id=request_id,
            valid_seconds=59_940,
            link=LINK,
            language=language,
        ),
        "approval": approval_text(
            terminal_no=terminal_no,
            request_id=request_id,
            approval_code="4711",
            valid_seconds=59_940,
            language=language,
        ),
    }
    for stage in FINAL:
        texts[stage] = ended_text(
            terminal_no=terminal_no, request_id=request_id, stage=stage, language=language
        )
    return texts


@given(terminal_numbers, request_ids)
def test_every_text_is_one_segment(terminal_no: str, request_id: str) -> None:
    """Whatever the terminal and request, each English text is one segment and names both."""
    for name, text in every_text(terminal_no, request_id).items():
        assert len(text) <= MAX_CHARACTERS, name
        assert GSM_7.issuperset(text), name
        assert f"terminal {terminal_no}," in text, name
        assert f"ref {request_id[:8]}" in text, name
        assert request_id not in text, name


@given(terminal_numbers, request_ids)
def test_every_chinese_text_is_at_most_two_segments(terminal_no: str, request_id: str) -> None:
    """Chinese is sent as UCS-2: at most 134 characters, and both are named."""
    for name, text in every_text(terminal_no, request_id, "zh-CN").items():
        assert len(text.encode("utf-16-be")) // 2 == len(text) <= MAX_UCS2_CHARACTERS, name
        assert re.search("[一-鿿]", text), name
        assert f"终端{terminal_no}" in text, name
        assert f"参考号{request_id[:8]}" in text, name
        assert request_id not in text, name


def test_short_chinese_texts_are_one_segment() -> None:
    """With a terminal's number of eight characters, what holds no link and no code fits into 70."""
    texts = every_text("ATM-0001", REQUEST, "zh-CN")
    assert all(len(text) <= 70 for name, text in texts.items() if name not in {"code", "review"})


def test_the_longest_terminal_number_fits() -> None:
    """The longest terminal number that an entry may hold still leaves each text one segment."""
    assert max(len(text) for text in every_text(LONGEST, REQUEST).values()) <= MAX_CHARACTERS


@pytest.mark.parametrize("language", LANGUAGES)
def test_codes_only_where_they_belong(language: SmsLanguage) -> None:
    """The SMS code is in the code text only, the approval code in the approval text only."""
    texts = every_text("TERMINAL", "A" * 24, language)
    assert {name for name, text in texts.items() if "918273" in text} == {"code"}
    assert {name for name, text in texts.items() if "4711" in text} == {"approval"}
    without = [text for name, text in texts.items() if name not in {"code", "approval"}]
    assert not any(re.search(r"\d{4}", text) for text in without)


@pytest.mark.parametrize("language", LANGUAGES)
def test_only_the_review_notice_holds_a_link(language: SmsLanguage) -> None:
    """It ends with the link it was given; nothing else would be turned into one by a phone."""
    texts = every_text("T-1", REQUEST, language)
    review = texts.pop("review")
    assert review.endswith(LINK)
    for text in (*texts.values(), review.removesuffix(LINK)):
        assert "://" not in text
        assert not re.search(r"\w\.\w", text, re.ASCII)


@given(terminal_numbers, st.integers(min_value=1, max_value=200), languages)
def test_a_link_that_does_not_fit_is_left_out(
    terminal_no: str, length: int, language: SmsLanguage
) -> None:
    """The notice goes out whatever the origin: with the whole link, or with none, never a part."""
    link = f"https://{'k' * length}.example/r"
    text = review_text(
        terminal_no=terminal_no,
        request_id=REQUEST,
        valid_seconds=14_400,
        link=link,
        language=language,
    )
    most = MAX_CHARACTERS if language == "en" else MAX_UCS2_CHARACTERS
    plain = review_text(
        terminal_no=terminal_no, request_id=REQUEST, valid_seconds=14_400, language=language
    )
    assert len(text) <= most
    assert text.endswith(link) or text == plain
    assert "://" not in plain
    if length <= 15:
        assert text.endswith(link)
    if length > most:
        assert text == plain


def test_a_link_that_is_not_gsm_7_bit_is_left_out() -> None:
    """A square bracket, as of an IPv6 origin, would count twice: the notice goes without."""
    text = review_text(
        terminal_no="T-1", request_id=REQUEST, valid_seconds=60, link="https://[::1]/r"
    )
    assert "[" not in text


@pytest.mark.parametrize("language", LANGUAGES)
def test_endings_differ_and_open_stages_have_none(language: SmsLanguage) -> None:
    """Each final stage has its own sentence; an open stage is refused."""
    about = {"terminal_no": "T-1", "request_id": REQUEST}
    ended = {ended_text(**about, stage=stage, language=language) for stage in FINAL}
    assert len(ended) == len(FINAL)
    for stage in OPEN:
        with pytest.raises(SmsTextError):
            ended_text(**about, stage=stage, language=language)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("code", ["", "12345", "1234567", "12345a", "١٢٣٤٥٦"])
def test_a_malformed_code_is_refused_unseen(code: str, language: SmsLanguage) -> None:
    """A code that is not six ASCII digits is refused, and the error does not repeat it."""
    with pytest.raises(SmsTextError) as caught:
        code_text(
            terminal_no="T-1",
            request_id=REQUEST,
            code=code,
            n=1,
            valid_seconds=600,
            language=language,
        )
    assert not code or code not in str(caught.value)


@pytest.mark.parametrize(
    ("terminal_no", "language"),
    [
        ("T" * 90, "en"),
        ("T-1€", "en"),
        ("\u0422-1", "en"),
        ("T" * 120, "zh-CN"),
        ("T-\U0001f511", "zh-CN"),
        ("T-\ud83d", "zh-CN"),
    ],
)
def test_a_part_that_does_not_fit_is_refused(terminal_no: str, language: SmsLanguage) -> None:
    """A terminal number that is too long, or not in the alphabet: refused, never cut."""
    with pytest.raises(SmsTextError):
        ended_text(
            terminal_no=terminal_no, request_id=REQUEST, stage=Stage.LOADED, language=language
        )


def test_deadlines_read_as_people_say_them() -> None:
    """Full hours are shown as hours, everything else as minutes."""

    def said(valid_seconds: int, language: SmsLanguage) -> str:
        return review_text(
            terminal_no="T-1", request_id=REQUEST, valid_seconds=valid_seconds, language=language
        )

    assert "within 4 h" in said(4 * 3600, "en")
    assert "within 90 min" in said(5400, "en")
    assert "在4小时内" in said(4 * 3600, "zh-CN")
    assert "在90分钟内" in said(5400, "zh-CN")
