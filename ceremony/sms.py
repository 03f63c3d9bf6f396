"""SMS: what gateways and activities share, and phone numbers.

A phone number and a text are secrets: they reach a gateway and nothing else. No error of this
module, and no representation of one, holds either; errors carry codes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberFormat, PhoneNumberType

from ceremony.reasons import Reason

# Numbers that cost their caller: the targets of SMS pumping, and nobody's own phone. A personal
# number (+44 70…) is forwarded to whatever phone its holder names today, at a price of its own.
_NOBODYS_PHONE: Final = frozenset(
    {
        PhoneNumberType.PREMIUM_RATE,
        PhoneNumberType.SHARED_COST,
        PhoneNumberType.TOLL_FREE,
        PhoneNumberType.PAGER,
        PhoneNumberType.UAN,
        PhoneNumberType.VOICEMAIL,
        PhoneNumberType.PERSONAL_NUMBER,
    }
)
_E164: Final = re.compile(r"\+[1-9][0-9]{6,14}\Z")
# Seven digits could be a phone number already.
_CODE: Final = re.compile(r"(?:[0-9]{1,6}|[a-z][a-z0-9-]{0,39})\Z")


class SmsError(Exception):
    """A message was not surely sent. `code` is lower-case kebab or digits; nothing else is held."""

    def __init__(self, code: str) -> None:
        """Keep the code; anything that could not be one becomes `unknown`."""
        self.code = code if _CODE.match(code) else "unknown"
        super().__init__(self.code)


class SmsRefused(SmsError):
    """The provider said no, finally; `code` is the provider's number (Twilio's `21211`) or ours."""


class SmsUnavailable(SmsError):
    """The message was surely not sent; the same call may be made again."""

    def __init__(self, code: str = "unavailable") -> None:
        """Keep the code."""
        super().__init__(code)


class SmsAmbiguous(SmsError):
    """Nobody knows whether the message was sent; the same call must not simply be repeated."""

    def __init__(self, code: str = "ambiguous") -> None:
        """Keep the code."""
        super().__init__(code)


@dataclass(frozen=True, slots=True)
class SmsReceipt:
    """The gateway took the message; `provider_sid` is its name for it, unique in a deployment."""

    provider_sid: str


class SmsStatus(StrEnum):
    """What is known of a message: `sms_messages.status`."""

    INTENT = "intent"
    AMBIGUOUS = "ambiguous"
    SENT = "sent"
    FAILED = "failed"
    UNDELIVERED = "undelivered"
    DELIVERED = "delivered"
    CAPPED = "capped"


_RANK: Final[Mapping[SmsStatus, int]] = MappingProxyType(
    {
        SmsStatus.INTENT: 0,
        SmsStatus.AMBIGUOUS: 1,
        SmsStatus.SENT: 2,
        SmsStatus.FAILED: 3,
        SmsStatus.UNDELIVERED: 3,
        SmsStatus.DELIVERED: 3,
        SmsStatus.CAPPED: 3,
    }
)


def later_status(stored: SmsStatus, reported: SmsStatus) -> SmsStatus:
    """The status to keep when `reported` arrives: it only ever moves forward.

    Twilio's callbacks come in any order and may be replayed, for their signature holds no time.
    """
    return reported if _RANK[reported] > _RANK[stored] else stored


class NumberRefused(ValueError):
    """Not a phone number that may be enrolled; the message does not repeat it."""

    reason = Reason.NUMBER_REFUSED

    def __init__(self) -> None:
        """Refuse, without saying what was given."""
        super().__init__(self.reason.value)


def valid_number(text: str) -> str:
    """Normalise a phone number in international form (`+49 1511 2345678`) to E.164.

    Raises:
        NumberRefused: no leading `+`, an extension, not a number of its country's plan, or a
            kind that is nobody's own phone (premium rate, shared cost, toll free, personal
            number, pager).
    """
    number = _parsed(text)
    if number is None or number.extension is not None:
        raise NumberRefused
    if not phonenumbers.is_valid_number(number):
        raise NumberRefused
    if phonenumbers.number_type(number) in _NOBODYS_PHONE:
        raise NumberRefused
    e164 = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    if not _E164.match(e164):
        raise NumberRefused
    return e164


def region_of(number: str) -> str | None:
    """The region of an E.164 number as ISO 3166-1 alpha-2 (`DE`), None if it has none."""
    parsed = _parsed(number)
    return None if parsed is None else phonenumbers.region_code_for_number(parsed)


def mask_number(number: str) -> str:
    """Show of a number its country code and last two digits: `+49•••••••••78`.

    What is no phone number is hidden whole.
    """
    parsed = _parsed(number)
    prefix = "" if parsed is None else f"+{parsed.country_code}"
    hidden = len(number) - len(prefix) - 2
    if not prefix or not number.startswith(prefix) or hidden < 1:
        return "•" * len(number)
    return prefix + "•" * hidden + number[-2:]


def _parsed(text: str) -> PhoneNumber | None:
    if not text.startswith("+") or len(text) > 40 or not text.isascii():
        return None
    try:
        return phonenumbers.parse(text, None)
    except phonenumbers.NumberParseException:
        return None
