"""Caps on SMS: how many a person, a terminal and the whole deployment may cost an hour and a day.

Each purpose is counted by itself, so that none starves another: a person asks for codes; others
bring reviews about, by applying again and again; whoever holds a terminal's device key brings about
the news of an end. None of them may keep an approval's code from who waits for it.
"""

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Final, Self


class Cap(StrEnum):
    """Which cap a message met; the `error` of a capped message."""

    PERSON_HOUR = "person-hour"
    PERSON_DAY = "person-day"
    TERMINAL_HOUR = "terminal-hour"
    TERMINAL_DAY = "terminal-day"
    ALL_HOUR = "all-hour"
    ALL_DAY = "all-day"


@dataclass(frozen=True, slots=True)
class SmsCaps:
    """The most messages of one purpose in any hour and any day; each at least 1.

    The defaults: a load costs each of its people three messages in all, six with every code asked
    for again. A person with 30 codes an hour loads a terminal every two minutes; a terminal with
    12 has had all codes of four loading requests.
    """

    person_hour: int = 30
    person_day: int = 100
    terminal_hour: int = 12
    terminal_day: int = 40
    all_hour: int = 1_000
    all_day: int = 5_000

    @classmethod
    def read(cls, *, person: str, terminal: str, everyone: str) -> Self:
        """Read caps as they are set: `30/100` is 30 an hour and 100 a day.

        Raises:
            ValueError: if one is not of that form, or below 1.
        """
        numbers = [int(part) for one in (person, terminal, everyone) for part in one.split("/", 1)]
        if len(numbers) != len(fields(cls)) or min(numbers) < 1:
            raise ValueError("a cap is two numbers from 1 on: 30/100")
        return cls(*numbers)


DEFAULT_CAPS: Final = SmsCaps()


@dataclass(frozen=True, slots=True)
class Sent:
    """How many messages of one purpose were begun within the last hour and the last day.

    Without those that the provider refused outright, which cost nothing.
    """

    hour: int
    day: int


def met(caps: SmsCaps, *, person: Sent, terminal: Sent, everyone: Sent) -> Cap | None:
    """The cap that one more message would exceed, the narrowest first; None if it may be sent."""
    limits = (
        (Cap.PERSON_HOUR, person.hour, caps.person_hour),
        (Cap.PERSON_DAY, person.day, caps.person_day),
        (Cap.TERMINAL_HOUR, terminal.hour, caps.terminal_hour),
        (Cap.TERMINAL_DAY, terminal.day, caps.terminal_day),
        (Cap.ALL_HOUR, everyone.hour, caps.all_hour),
        (Cap.ALL_DAY, everyone.day, caps.all_day),
    )
    return next((cap for cap, sent, most in limits if sent >= most), None)
