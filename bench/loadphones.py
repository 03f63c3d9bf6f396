"""Everybody's phone in a load test: an SMS provider that people wait at for their next message."""

import re
import threading
from collections import defaultdict
from typing import Any, Final

from tests.support.phonecompany import PhoneCompany

_ABOUT: Final = re.compile(r"terminal ([^ ,]+),")


class NoMessage(Exception):
    """The SMS that somebody waited for did not come."""


class Inbox(list[tuple[str, str]]):
    """What the provider took, found by number and terminal without reading all of it."""

    def __init__(self) -> None:
        """Be empty."""
        super().__init__()
        self._came = threading.Condition()
        self._found: dict[tuple[str, str], list[str]] = defaultdict(list)

    def append(self, message: tuple[str, str]) -> None:
        """Take a message, and tell who waits."""
        number, text = message
        about = _ABOUT.search(text)
        with self._came:
            super().append(message)
            self._found[number, about[1] if about else ""].append(text)
            self._came.notify_all()

    def wait(
        self, number: str, terminal_no: str, pattern: re.Pattern[str], seconds: float
    ) -> re.Match[str]:
        """Wait for a message to a number about a terminal.

        Raises:
            NoMessage: if none came in time.
        """

        def found() -> re.Match[str] | None:
            texts = self._found.get((number, terminal_no), ())
            return next((one for text in texts if (one := pattern.search(text))), None)

        with self._came:
            match: Any = self._came.wait_for(found, seconds)
        if match is None:
            raise NoMessage(f"no SMS {pattern.pattern!r} about {terminal_no}")
        return match  # type: ignore[no-any-return]


class Phones(PhoneCompany):
    """A provider whose messages people wait for."""

    def __init__(self) -> None:
        """Have a port, closed, and an empty inbox."""
        super().__init__()
        self.inbox = Inbox()
        self.messages = self.inbox
