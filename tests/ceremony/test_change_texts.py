"""The texts about changes of administrators: what they say, and that they fit into an SMS."""

# ruff: noqa: RUF001 - Chinese has its own punctuation

import pytest

from ceremony.smstexts import (
    GSM_7,
    MAX_CHARACTERS,
    MAX_UCS2_CHARACTERS,
    SmsLanguage,
    person_change_text,
    terminal_change_text,
)

AT = 1_800_000_000
LONGEST = "A" * 32
"""As long as a staff number or a terminal's number may be."""


def test_a_person_is_told_what_changes_and_when() -> None:
    """By the staff number and the time, in both languages; and whom to tell."""
    assert person_change_text(staff_no="A1001", effective_at=AT) == (
        "Keyfill: staff no. A1001 gets a new number, key or role on 2027-01-15 08:00 UTC. "
        "Not expected? Tell an officer at once."
    )
    assert person_change_text(staff_no="A1001", effective_at=AT, language="zh-CN") == (
        "【Keyfill】员工号A1001的号码、密钥或角色将于2027-01-15 08:00 UTC变更。"
        "如非您所知，请立即告知安全员。"
    )


def test_who_administers_a_terminal_is_told_that_this_changes() -> None:
    """By the terminal's number and the time, in both languages."""
    assert terminal_change_text(terminal_no="ATM-1", effective_at=AT) == (
        "Keyfill: terminal ATM-1 gets other administrators on 2027-01-15 08:00 UTC. "
        "Not expected? Tell an officer at once."
    )
    assert terminal_change_text(terminal_no="ATM-1", effective_at=AT, language="zh-CN") == (
        "【Keyfill】终端ATM-1的管理员将于2027-01-15 08:00 UTC变更。如非您所知，请立即告知安全员。"
    )


@pytest.mark.parametrize(
    ("language", "most"), [("en", MAX_CHARACTERS), ("zh-CN", MAX_UCS2_CHARACTERS)]
)
def test_the_longest_numbers_fit(language: SmsLanguage, most: int) -> None:
    """Nobody goes untold because of a long staff number."""
    texts = (
        person_change_text(staff_no=LONGEST, effective_at=AT, language=language),
        terminal_change_text(terminal_no=LONGEST, effective_at=AT, language=language),
    )
    assert max(len(text) for text in texts) <= most
    assert language != "en" or all(GSM_7.issuperset(text) for text in texts)
