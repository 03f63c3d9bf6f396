"""What a load tells the people in front of the terminal, and asks of them."""

from typing import Literal, Protocol

from ceremony.stages import Stage
from terminal.loadstate import Approval

Event = Literal[
    "request",
    "confirmation",
    "token",
    "imported",
    "refused-by-epp",
    "receipt",
    "resumed",
]
"""An act of the terminal's, told when it is about to happen (a statement) or has (the rest)."""


class NoInput(Exception):
    """Nobody answers at the terminal any more; the load stays open."""


class Kiosk(Protocol):
    """A screen and a keyboard, or a script in their place."""

    def stage(self, request_id: str, stage: Stage, reason: str | None) -> None:
        """Show where the loading request stands now."""

    def show_qr(self, text: str, expires_at: int) -> None:
        """Show a QR code in place of the one before it; `expires_at` is the server's time."""

    def ask_approval(self, problem: str | None) -> Approval | None:
        """Ask for the administrator's number and approval code; `problem`: why once more.

        None: nobody has typed yet. The load looks at the server meanwhile, and asks again.

        Raises:
            NoInput: nobody answers any more.
        """

    def tell(self, event: Event, **details: str | int | None) -> None:
        """Tell of an act; details are never secret."""

    def trouble(self, what: str) -> None:
        """Tell that the server does not answer at the moment."""
