"""The texts of Keyfill's SMS, each one segment of the GSM 7 bit default alphabet.

Each names the terminal and the first characters of the request_id. No text holds a link: people
who act on links in messages are people who act on anyone's.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NewType

from ceremony.stages import Stage

SmsText = NewType("SmsText", str)
"""One SMS: at most 160 characters of the GSM 7 bit default alphabet, so one segment."""

MAX_CHARACTERS: Final = 160
REFERENCE_CHARACTERS: Final = 8
_HOUR: Final = 3600

# 3GPP TS 23.038 section 6.2.1, without the extension table, whose characters count twice.
GSM_7: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)


class SmsTextError(ValueError):
    """A text cannot be built from what was given; the message says which part, never its value."""


_ENDINGS: Final[Mapping[Stage, str]] = MappingProxyType(
    {
        Stage.LOADED: "is complete: the terminal has its new key",
        Stage.REJECTED: "was rejected by the second administrator",
        Stage.EXPIRED: "expired before it was complete",
        Stage.CANCELLED: "was cancelled",
        Stage.FAILED: "failed: a check was not passed",
        Stage.UNCONFIRMED: "ended without the terminal's proof that the key is in",
    }
)


def code_text(
    *, terminal_no: str, request_id: str, code: str, n: int, valid_seconds: int
) -> SmsText:
    """The SMS code number `n` (6 digits) for the first administrator.

    Raises:
        SmsTextError: the code is not six digits, or a part is not GSM 7 bit or too long.
    """
    return _one_segment(
        f"Keyfill SMS code {_digits(code, 6)} (no. {n}), valid {_span(valid_seconds)}, "
        f"{_about(terminal_no, request_id)}. Only for the Keyfill page you opened. Tell nobody."
    )


def review_text(*, terminal_no: str, request_id: str, valid_seconds: int) -> SmsText:
    """Tell the second administrator that a review waits. It holds no code and no link.

    Raises:
        SmsTextError: a part is not GSM 7 bit or too long.
    """
    return _one_segment(
        f"Keyfill: a key load awaits your review, {_about(terminal_no, request_id)}. "
        f"Sign in to approve or reject it within {_span(valid_seconds)}."
    )


def approval_text(
    *, terminal_no: str, request_id: str, approval_code: str, valid_seconds: int
) -> SmsText:
    """Tell the first administrator of the approval, with the approval code (4 digits).

    Raises:
        SmsTextError: the code is not four digits, or a part is not GSM 7 bit or too long.
    """
    return _one_segment(
        f"Keyfill: approved, {_about(terminal_no, request_id)}. Approval code "
        f"{_digits(approval_code, 4)}: type it at that terminal within {_span(valid_seconds)}."
    )


def ended_text(*, terminal_no: str, request_id: str, stage: Stage) -> SmsText:
    """Tell the first administrator how the loading request ended. It holds no code.

    Raises:
        SmsTextError: the stage is not final, or a part is not GSM 7 bit or too long.
    """
    ending = _ENDINGS.get(stage)
    if ending is None:
        raise SmsTextError("stage is not final")
    return _one_segment(f"Keyfill: the key load {ending}, {_about(terminal_no, request_id)}.")


def _about(terminal_no: str, request_id: str) -> str:
    return f"terminal {terminal_no}, ref {request_id[:REFERENCE_CHARACTERS]}"


def _digits(code: str, length: int) -> str:
    if len(code) != length or not (code.isascii() and code.isdigit()):
        raise SmsTextError("code is malformed")
    return code


def _span(seconds: int) -> str:
    if seconds >= _HOUR and seconds % _HOUR == 0:
        return f"{seconds // _HOUR} h"
    return f"{seconds // 60} min"


def _one_segment(text: str) -> SmsText:
    if not GSM_7.issuperset(text):
        raise SmsTextError("text is not GSM 7 bit")
    if len(text) > MAX_CHARACTERS:
        raise SmsTextError("text is longer than one segment")
    return SmsText(text)
