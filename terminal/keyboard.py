"""Where the administrator's number and approval code are typed: a keyboard, or a script's lines."""

import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TextIO

from pydantic import ValidationError

from terminal.kiosk import NoInput
from terminal.loadstate import Approval


class Keyboard(Protocol):
    """Gives what somebody types."""

    def approval(self) -> Approval:
        """The next administrator's number and approval code.

        Raises:
            NoInput: nobody types any more.
        """

    def close(self) -> None:
        """Let go of whatever it reads from."""


class PromptKeyboard:
    """Asks a person, until what is typed has the form of a staff number and a code.

    `ask` is given the question and whether to hide the answer; it raises EOFError at the end.
    """

    def __init__(self, ask: Callable[[str, bool], str], administrator: str | None = None) -> None:
        """Bind the prompt; with `administrator` only the code is asked for."""
        self._ask = ask
        self._administrator = administrator

    def approval(self) -> Approval:
        """Ask until the form is right."""
        while True:
            try:
                number = self._administrator or self._ask("Administrator's staff number", False)
                code = self._ask("Approval code (4 digits, from the SMS)", True)
                return Approval(administrator=number.strip(), code=code.strip())
            except ValidationError:
                # A number that was given once and is malformed would be asked for no more.
                self._administrator = None
            except EOFError:
                raise NoInput from None

    def close(self) -> None:
        """Nothing is held."""


class LineKeyboard:
    """Reads lines `<code>` or `<administrator> <code>` from standard input, a file or a FIFO.

    A FIFO is opened anew when its writer is gone, so that a script may write to it twice.
    """

    def __init__(self, source: Path | None, administrator: str | None = None) -> None:
        """Name the source, None for standard input; nothing is opened before it is needed."""
        self._source = source
        self._administrator = administrator
        self._file: TextIO | None = None

    def approval(self) -> Approval:
        """Read the next line that is not blank; malformed ones are passed over."""
        while True:
            words = self._line().split()
            number = words[0] if len(words) > 1 else self._administrator
            try:
                return Approval.model_validate(
                    {"administrator": number, "code": words[-1] if words else ""}
                )
            except ValidationError:
                continue

    def _line(self) -> str:
        file = self._file or self._opened()
        line = file.readline()
        if line:
            return line
        if self._source is None or not _is_fifo(self._source):
            raise NoInput
        self.close()
        return ""

    def close(self) -> None:
        """Close the file or FIFO; standard input stays open."""
        if self._file is not None and self._source is not None:
            self._file.close()
        self._file = None

    def _opened(self) -> TextIO:
        try:
            self._file = sys.stdin if self._source is None else self._source.open()
        except OSError:
            raise NoInput from None
        return self._file


def _is_fifo(path: Path) -> bool:
    try:
        return stat.S_ISFIFO(path.stat().st_mode)
    except OSError:
        return False
