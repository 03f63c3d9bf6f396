"""Spraying: few tries against each of many, which no limit of one person or terminal notices.

A limit of one person's wrong codes is never reached by whoever tries one code of each of a
thousand. What gives them away is how many *different* persons, terminals or keys have trouble
within an hour or a day; and SMS that are asked for and never used (SMS pumping).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

HOUR: Final = 3_600
DAY: Final = 86_400
SPANS: Final = (HOUR, DAY)
"""What is counted over, in seconds, the shortest first."""
UNDECIDED_SECONDS: Final = 900
"""A loading request awaits its application so long; younger ones say nothing about conversion."""


class Alarm(StrEnum):
    """What is alarming; `alarm-<value>` is the event in the audit trail."""

    CODES_MANY_PERSONS = "codes-many-persons"
    CODES_MANY_TERMINALS = "codes-many-terminals"
    LOGINS_MANY_KEYS = "logins-many-keys"
    SMS_CONVERSION = "sms-conversion"
    SMS_CAPPED = "sms-capped"


MANY: Final[Mapping[Alarm, tuple[int, int]]] = MappingProxyType(
    {
        # People mistype a code now and then: of 200 loads a day about six do.
        Alarm.CODES_MANY_PERSONS: (5, 20),
        Alarm.CODES_MANY_TERMINALS: (5, 20),
        # A stale page, a clock that is off, a revoked credential: some every day.
        Alarm.LOGINS_MANY_KEYS: (10, 40),
    }
)
"""How many different ones within an hour, and within a day, are alarming."""

ENOUGH: Final = 100
"""More of one kind within an hour say nothing more, and are not noted: an attacker must not fill
the database with them."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """Loading requests to which an SMS code was sent, and how many had an application accepted."""

    sent: int
    accepted: int


@dataclass(frozen=True, slots=True)
class Raised:
    """An alarm: what was seen within `within` seconds."""

    alarm: Alarm
    seen: int
    within: int


def many(alarm: Alarm, seen: Mapping[int, int]) -> Raised | None:
    """Judge how many different ones were seen within each of `SPANS`.

    Raises:
        KeyError: for an alarm that does not count different ones.
    """
    for span, least in zip(SPANS, MANY[alarm], strict=True):
        if seen[span] >= least:
            return Raised(alarm, seen[span], span)
    return None


def unused(found: Mapping[int, Conversion]) -> Raised | None:
    """Judge how many codes were sent and not used, within each of `SPANS`.

    Within an hour three of four of at least 20 loading requests, within a day every second one
    of at least 50: far from what people forget, and far from a pumped number's none at all.
    """
    hour, day = found[HOUR], found[DAY]
    if hour.sent >= 20 and 4 * hour.accepted <= hour.sent:
        return Raised(Alarm.SMS_CONVERSION, hour.sent - hour.accepted, HOUR)
    if day.sent >= 50 and 2 * day.accepted <= day.sent:
        return Raised(Alarm.SMS_CONVERSION, day.sent - day.accepted, DAY)
    return None
