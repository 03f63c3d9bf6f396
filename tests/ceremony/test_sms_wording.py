"""The wording of every SMS, in full: it is what people read, and what they are trained on."""

import pytest

from ceremony.smstexts import (
    MAX_CHARACTERS,
    MAX_UCS2_CHARACTERS,
    SmsLanguage,
    SmsTextError,
    approval_text,
    code_text,
    ended_text,
    review_text,
)
from ceremony.stages import Stage

# ruff: noqa: RUF001 - Chinese has its own punctuation

REQUEST = "Ab3_-6789012345678901234"
LINK = "https://keyfill.example/r"
ENDED = {
    "en": {
        Stage.LOADED: "is complete: the terminal has its new key",
        Stage.REJECTED: "was rejected by the second administrator",
        Stage.EXPIRED: "expired before it was complete",
        Stage.CANCELLED: "was cancelled",
        Stage.FAILED: "failed: a check was not passed",
        Stage.UNCONFIRMED: "ended without the terminal's proof that the key is in",
    },
    "zh-CN": {
        Stage.LOADED: "已完成，终端已装入新密钥",
        Stage.REJECTED: "已被第二管理员驳回",
        Stage.EXPIRED: "未在规定时间内完成，已过期",
        Stage.CANCELLED: "已取消",
        Stage.FAILED: "失败，有检查未通过",
        Stage.UNCONFIRMED: "已结束，但终端未证明密钥已装入",
    },
}


def test_the_sms_code_says_what_it_is_for() -> None:
    """Its number, how long it is valid, and that it is for one page and nobody else."""

    def said(language: SmsLanguage) -> str:
        return code_text(
            terminal_no="ATM-1",
            request_id=REQUEST,
            code="918273",
            n=2,
            valid_seconds=600,
            language=language,
        )

    assert said("en") == (
        "Keyfill SMS code 918273 (no. 2), valid 10 min, terminal ATM-1, ref Ab3_-678. "
        "Only for the Keyfill page you opened. Tell nobody."
    )
    assert said("zh-CN") == (
        "【Keyfill】短信验证码918273（第2条），10分钟内有效。终端ATM-1，参考号Ab3_-678。"
        "仅在您已打开的Keyfill页面输入，切勿告知他人。"
    )


def test_the_notice_says_what_waits_and_for_how_long() -> None:
    """With the link where there is one, and without it in words of its own."""

    def said(language: SmsLanguage, link: str | None) -> str:
        return review_text(
            terminal_no="ATM-1",
            request_id=REQUEST,
            valid_seconds=3600,
            link=link,
            language=language,
        )

    languages: tuple[SmsLanguage, ...] = ("en", "zh-CN")
    texts = {(one, link): said(one, link) for one in languages for link in (None, LINK)}
    assert texts == {
        ("en", None): "Keyfill: a key load awaits your review, terminal ATM-1, ref Ab3_-678. "
        "Sign in to approve or reject it within 1 h.",
        ("en", LINK): "Keyfill: a key load awaits your review, terminal ATM-1, ref Ab3_-678. "
        "Decide within 1 h: https://keyfill.example/r",
        ("zh-CN", None): "【Keyfill】终端ATM-1的密钥加载申请等待您复核，参考号Ab3_-678。"
        "请在1小时内登录并批准或驳回。",
        ("zh-CN", LINK): "【Keyfill】终端ATM-1的密钥加载申请等待您复核，参考号Ab3_-678。"
        "请在1小时内处理：https://keyfill.example/r",
    }


def test_the_approval_says_where_to_type_its_code() -> None:
    """At that terminal, in time."""

    def said(seconds: int, language: SmsLanguage) -> str:
        return approval_text(
            terminal_no="ATM-1",
            request_id=REQUEST,
            approval_code="4711",
            valid_seconds=seconds,
            language=language,
        )

    assert said(3599, "en") == (
        "Keyfill: approved, terminal ATM-1, ref Ab3_-678. Approval code 4711: "
        "type it at that terminal within 59 min."
    )
    assert said(5400, "zh-CN") == (
        "【Keyfill】申请已批准。终端ATM-1，参考号Ab3_-678。审批码4711，请在90分钟内在该终端上输入。"
    )


@pytest.mark.parametrize("stage", ENDED["en"])
def test_an_ending_says_how_the_request_ended(stage: Stage) -> None:
    """One sentence for each final stage."""

    def said(language: SmsLanguage) -> str:
        return ended_text(terminal_no="ATM-1", request_id=REQUEST, stage=stage, language=language)

    english, chinese = ENDED["en"][stage], ENDED["zh-CN"][stage]
    assert said("en") == (f"Keyfill: the key load {english}, terminal ATM-1, ref Ab3_-678.")
    assert said("zh-CN") == (f"【Keyfill】终端ATM-1的密钥加载{chinese}。参考号Ab3_-678。")


def test_less_than_an_hour_is_minutes() -> None:
    """Nothing at all is no full hour either."""

    def said(seconds: int) -> str:
        return review_text(terminal_no="ATM-1", request_id=REQUEST, valid_seconds=seconds)

    assert said(0).endswith("within 0 min.")
    assert said(3600).endswith("within 1 h.")
    assert said(3660).endswith("within 61 min.")


@pytest.mark.parametrize(
    ("language", "most"), [("en", MAX_CHARACTERS), ("zh-CN", MAX_UCS2_CHARACTERS)]
)
def test_a_text_may_fill_its_segments_to_the_last_character(
    language: SmsLanguage, most: int
) -> None:
    """160 characters of GSM 7 bit or 134 of UCS-2 are sent; one more is refused, never cut."""

    def ended(length: int) -> str:
        return ended_text(
            terminal_no="T" * length, request_id=REQUEST, stage=Stage.LOADED, language=language
        )

    room = most - len(ended(0))
    assert len(ended(room)) == most == {"en": 160, "zh-CN": 134}[language]
    with pytest.raises(SmsTextError):
        ended(room + 1)


@pytest.mark.parametrize(
    ("character", "sendable"),
    [
        ("\ud7ff", True),
        ("\ud800", False),
        ("\udfff", False),
        ("\ue000", True),
        ("\uffff", True),
        ("\U00010000", False),
    ],
)
def test_ucs_2_is_the_basic_plane_without_surrogates(character: str, sendable: bool) -> None:
    """At each edge of what a segment counts as one character."""

    def ended() -> str:
        return ended_text(
            terminal_no=character, request_id=REQUEST, stage=Stage.LOADED, language="zh-CN"
        )

    if sendable:
        assert character in ended()
    else:
        with pytest.raises(SmsTextError):
            ended()
