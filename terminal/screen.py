"""The two screens of the reference terminal: text for people, JSON lines for scripts."""

import io
import json
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, TextIO

import qrcode
from rich.console import Console

from ceremony.stages import Stage
from terminal.keyboard import Keyboard
from terminal.kiosk import Event
from terminal.loadstate import Approval

_WHAT_NOW: Final[Mapping[Stage, str]] = MappingProxyType(
    {
        Stage.AWAITING_APPLICATION: "The first administrator scans the QR code below.",
        Stage.AWAITING_REVIEW: "The second administrator reviews the application.",
        Stage.AWAITING_CONFIRMATION: "Approved. Waiting for the administrator at this terminal.",
        Stage.AWAITING_RECEIPT: "The key is on its way into the EPP.",
        Stage.LOADED: "The new key is in.",
        Stage.REJECTED: "The second administrator rejected the application.",
        Stage.EXPIRED: "Nobody went on in time.",
        Stage.CANCELLED: "The load was cancelled.",
        Stage.FAILED: "A check was not passed.",
        Stage.UNCONFIRMED: "It is not certain that the key is in; an officer decides.",
    }
)
_TOLD: Final[Mapping[str, str]] = MappingProxyType(
    {
        "request": "asking for a key",
        "confirmation": "confirming",
        "token": "key token received",
        "imported": "key imported into the EPP",
        "refused-by-epp": "the EPP refused the key token",
        "receipt": "sending the receipt",
        "resumed": "going on with the load on record",
    }
)


class TextScreen:
    """A terminal's screen in a text window: stages as they come, and the QR code."""

    def __init__(self, console: Console, keyboard: Keyboard) -> None:
        """Bind the window and the keyboard."""
        self._console = console
        self._keyboard = keyboard

    def stage(self, request_id: str, stage: Stage, reason: str | None) -> None:
        """Show the stage and what people do now."""
        why = f" ({reason})" if reason and reason != stage.value.lower() else ""
        self._console.print(f"[bold]{stage}[/bold]{why}  {_WHAT_NOW[stage]}", highlight=False)
        self._console.print(f"  request {request_id}", style="dim", highlight=False)

    def show_qr(self, text: str, expires_at: int) -> None:
        """Draw the QR code, and its text for who cannot scan."""
        del expires_at  # by the server's clock, which this terminal does not know
        self._console.print(qr_drawing(text), highlight=False, markup=False, soft_wrap=True)
        self._console.print(text, style="dim", highlight=False, markup=False, soft_wrap=True)

    def ask_approval(self, problem: str | None) -> Approval:
        """Ask on the keyboard; `problem` is shown first."""
        if problem is not None:
            self._console.print(f"Not accepted: {problem}. Type again.", style="yellow")
        return self._keyboard.approval()

    def tell(self, event: Event, **details: str | int | None) -> None:
        """Say what happens, with its details."""
        said = ", ".join(f"{name} {value}" for name, value in details.items() if value is not None)
        text = _TOLD[event] + (f": {said}" if said else "")
        self._console.print(f"  {text}", highlight=False, markup=False)

    def trouble(self, what: str) -> None:
        """Say that the server does not answer."""
        self._console.print(f"  no answer ({what}), trying again", style="yellow", markup=False)


class JsonScreen:
    """The same as JSON, one object a line: `event` and its details. Never a code."""

    def __init__(self, keyboard: Keyboard, out: TextIO | None = None) -> None:
        """Bind the keyboard and where to write; standard output by default."""
        self._keyboard = keyboard
        self._out = out or sys.stdout

    def stage(self, request_id: str, stage: Stage, reason: str | None) -> None:
        """Write `stage`."""
        self.write("stage", request_id=request_id, stage=stage.value, reason=reason)

    def show_qr(self, text: str, expires_at: int) -> None:
        """Write `qr` with the text: whoever reads this is the camera."""
        self.write("qr", text=text, expires_at=expires_at)

    def ask_approval(self, problem: str | None) -> Approval:
        """Write `approval-needed`, then read the keyboard."""
        self.write("approval-needed", problem=problem)
        return self._keyboard.approval()

    def tell(self, event: Event, **details: str | int | None) -> None:
        """Write the event."""
        self.write(event, **details)

    def trouble(self, what: str) -> None:
        """Write `trouble`."""
        self.write("trouble", what=what)

    def write(self, event: str, **details: str | int | None) -> None:
        """Write one line, at once."""
        self._out.write(json.dumps({"event": event, **details}) + "\n")
        self._out.flush()


def qr_drawing(text: str) -> str:
    """Draw a QR code with half blocks, light on dark as terminal windows mostly are."""
    code = qrcode.QRCode(border=2)
    code.add_data(text)
    drawn = io.StringIO()
    code.print_ascii(out=drawn, invert=True)
    return drawn.getvalue()
