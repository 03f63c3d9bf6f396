"""The texts of Keyfill's SMS, in English and Chinese.

Each about a loading request names the terminal and the first characters of the request_id. English
texts are one segment of the GSM 7 bit default alphabet. Chinese ones need UCS-2, which leaves a
segment 70 characters: one segment where the terminal's number is short, never more than two.

One text holds a link, the notice that a review waits, and it holds no code. Who follows a forged
link of that kind meets a page that cannot use their passkey: it works for one origin only. The
texts with codes hold none: people who act on links beside codes are people who type codes on
anyone's page.
"""

# ruff: noqa: RUF001 - Chinese has its own punctuation

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final, Literal, NewType

from ceremony.stages import Stage

SmsLanguage = Literal["en", "zh-CN"]

SmsText = NewType("SmsText", str)
"""One SMS: at most 160 characters of the GSM 7 bit default alphabet, or 134 of UCS-2."""

MAX_CHARACTERS: Final = 160
"""One segment of the GSM 7 bit alphabet (3GPP TS 23.040 section 9.2.3.16)."""
MAX_UCS2_CHARACTERS: Final = 134
"""Two segments of UCS-2: 70 characters fit into one, 67 into each of two (their header's place)."""
REFERENCE_CHARACTERS: Final = 8
_HOUR: Final = 3600

# 3GPP TS 23.038 section 6.2.1, without the extension table, whose characters count twice.
GSM_7: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)


class SmsTextError(ValueError):
    """A text cannot be built from what was given; the message says which part, never its value."""


@dataclass(frozen=True, slots=True)
class _Phrases:
    code: str
    review: str
    review_at: str
    approval: str
    ended: str
    endings: Mapping[Stage, str]
    change_person: str
    change_terminal: str
    hours: str
    minutes: str


_PHRASES: Final[Mapping[SmsLanguage, _Phrases]] = MappingProxyType(
    {
        "en": _Phrases(
            code="Keyfill SMS code {code} (no. {n}), valid {span}, terminal {terminal}, ref {ref}. "
            "Only for the Keyfill page you opened. Tell nobody.",
            review="Keyfill: a key load awaits your review, terminal {terminal}, ref {ref}. "
            "Sign in to approve or reject it within {span}.",
            review_at="Keyfill: a key load awaits your review, terminal {terminal}, ref {ref}. "
            "Decide within {span}: {link}",
            approval="Keyfill: approved, terminal {terminal}, ref {ref}. Approval code {code}: "
            "type it at that terminal within {span}.",
            ended="Keyfill: the key load {ending}, terminal {terminal}, ref {ref}.",
            endings=MappingProxyType(
                {
                    Stage.LOADED: "is complete: the terminal has its new key",
                    Stage.REJECTED: "was rejected by the second administrator",
                    Stage.EXPIRED: "expired before it was complete",
                    Stage.CANCELLED: "was cancelled",
                    Stage.FAILED: "failed: a check was not passed",
                    Stage.UNCONFIRMED: "ended without the terminal's proof that the key is in",
                }
            ),
            change_person="Keyfill: staff no. {staff_no} gets a new number, key or role on {when}. "
            "Not expected? Tell an officer at once.",
            change_terminal="Keyfill: terminal {terminal} gets other administrators on {when}. "
            "Not expected? Tell an officer at once.",
            hours="{} h",
            minutes="{} min",
        ),
        "zh-CN": _Phrases(
            code="【Keyfill】短信验证码{code}（第{n}条），{span}内有效。终端{terminal}，参考号{ref}。"
            "仅在您已打开的Keyfill页面输入，切勿告知他人。",
            review="【Keyfill】终端{terminal}的密钥加载申请等待您复核，参考号{ref}。"
            "请在{span}内登录并批准或驳回。",
            review_at="【Keyfill】终端{terminal}的密钥加载申请等待您复核，参考号{ref}。"
            "请在{span}内处理：{link}",
            approval="【Keyfill】申请已批准。终端{terminal}，参考号{ref}。审批码{code}，"
            "请在{span}内在该终端上输入。",
            ended="【Keyfill】终端{terminal}的密钥加载{ending}。参考号{ref}。",
            endings=MappingProxyType(
                {
                    Stage.LOADED: "已完成，终端已装入新密钥",
                    Stage.REJECTED: "已被第二管理员驳回",
                    Stage.EXPIRED: "未在规定时间内完成，已过期",
                    Stage.CANCELLED: "已取消",
                    Stage.FAILED: "失败，有检查未通过",
                    Stage.UNCONFIRMED: "已结束，但终端未证明密钥已装入",
                }
            ),
            change_person="【Keyfill】员工号{staff_no}的号码、密钥或角色将于{when}变更。"
            "如非您所知，请立即告知安全员。",
            change_terminal="【Keyfill】终端{terminal}的管理员将于{when}变更。"
            "如非您所知，请立即告知安全员。",
            hours="{}小时",
            minutes="{}分钟",
        ),
    }
)


def code_text(
    *,
    terminal_no: str,
    request_id: str,
    code: str,
    n: int,
    valid_seconds: int,
    language: SmsLanguage = "en",
) -> SmsText:
    """The SMS code number `n` (6 digits) for the first administrator.

    Raises:
        SmsTextError: the code is not six digits, or a part is too long or cannot be sent.
    """
    return _sms(
        language,
        _PHRASES[language].code.format(
            code=_digits(code, 6),
            n=n,
            span=_span(valid_seconds, language),
            terminal=terminal_no,
            ref=_reference(request_id),
        ),
    )


def review_text(
    *,
    terminal_no: str,
    request_id: str,
    valid_seconds: int,
    link: str | None = None,
    language: SmsLanguage = "en",
) -> SmsText:
    """Tell the second administrator that a review waits, and where. It holds no code.

    The link is left out where the text would be too long with it, or could not be sent: the
    notice matters more.

    Raises:
        SmsTextError: a part other than the link is too long or cannot be sent.
    """
    phrases = _PHRASES[language]
    parts = {
        "terminal": terminal_no,
        "ref": _reference(request_id),
        "span": _span(valid_seconds, language),
    }
    plain = _sms(language, phrases.review.format(**parts))
    if link is None:
        return plain
    try:
        return _sms(language, phrases.review_at.format(**parts, link=link))
    except SmsTextError:
        return plain


def approval_text(
    *,
    terminal_no: str,
    request_id: str,
    approval_code: str,
    valid_seconds: int,
    language: SmsLanguage = "en",
) -> SmsText:
    """Tell the first administrator of the approval, with the approval code (4 digits).

    Raises:
        SmsTextError: the code is not four digits, or a part is too long or cannot be sent.
    """
    return _sms(
        language,
        _PHRASES[language].approval.format(
            code=_digits(approval_code, 4),
            span=_span(valid_seconds, language),
            terminal=terminal_no,
            ref=_reference(request_id),
        ),
    )


def ended_text(
    *, terminal_no: str, request_id: str, stage: Stage, language: SmsLanguage = "en"
) -> SmsText:
    """Tell the first administrator how the loading request ended. It holds no code.

    Raises:
        SmsTextError: the stage is not final, or a part is too long or cannot be sent.
    """
    phrases = _PHRASES[language]
    ending = phrases.endings.get(stage)
    if ending is None:
        raise SmsTextError("stage is not final")
    return _sms(
        language,
        phrases.ended.format(ending=ending, terminal=terminal_no, ref=_reference(request_id)),
    )


def person_change_text(
    *, staff_no: str, effective_at: int, language: SmsLanguage = "en"
) -> SmsText:
    """Tell a person, on the former number and the new one, that their entry is being changed.

    `effective_at` is Unix seconds. It holds no code, and neither number.

    Raises:
        SmsTextError: a part is too long or cannot be sent.
    """
    return _sms(
        language,
        _PHRASES[language].change_person.format(staff_no=staff_no, when=_when(effective_at)),
    )


def terminal_change_text(
    *, terminal_no: str, effective_at: int, language: SmsLanguage = "en"
) -> SmsText:
    """Tell an administrator, former or new, that a terminal gets other administrators.

    `effective_at` is Unix seconds. It holds no code.

    Raises:
        SmsTextError: a part is too long or cannot be sent.
    """
    return _sms(
        language,
        _PHRASES[language].change_terminal.format(terminal=terminal_no, when=_when(effective_at)),
    )


def _when(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _reference(request_id: str) -> str:
    return request_id[:REFERENCE_CHARACTERS]


def _digits(code: str, length: int) -> str:
    if len(code) != length or not (code.isascii() and code.isdigit()):
        raise SmsTextError("code is malformed")
    return code


def _span(seconds: int, language: SmsLanguage) -> str:
    phrases = _PHRASES[language]
    if seconds >= _HOUR and seconds % _HOUR == 0:
        return phrases.hours.format(seconds // _HOUR)
    return phrases.minutes.format(seconds // 60)


def _sms(language: SmsLanguage, text: str) -> SmsText:
    if language == "en":
        if not GSM_7.issuperset(text):
            raise SmsTextError("text is not GSM 7 bit")
        if len(text) > MAX_CHARACTERS:
            raise SmsTextError("text is longer than one segment")
        return SmsText(text)
    # UCS-2 has no surrogates: a character of theirs would count twice, or break between segments.
    if any(ord(one) > 0xFFFF or 0xD800 <= ord(one) <= 0xDFFF for one in text):
        raise SmsTextError("text is not UCS-2")
    if len(text) > MAX_UCS2_CHARACTERS:
        raise SmsTextError("text is longer than two segments")
    return SmsText(text)
