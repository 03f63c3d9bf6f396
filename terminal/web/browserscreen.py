"""The kiosk's screen in a browser, as the load sees it: what was told last, and what is typed.

The load runs in a thread of its own and calls the `Kiosk` methods; the pages read `told` and hand
in what people type. The approval code is held in memory only, until the load takes it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from threading import Condition
from typing import Final

from ceremony.stages import Stage
from terminal.kiosk import Event, NoInput
from terminal.loadstate import Approval
from terminal.web.bell import Bell

LOOK_AGAIN_SECONDS: Final = 2.0
"""How long the load waits for somebody to type before it looks at the server again."""


@dataclass(frozen=True, slots=True)
class ShownQr:
    """The QR code on the screen: its text, and its end by the server's clock."""

    text: str = field(repr=False)
    expires_at: int


@dataclass(frozen=True, slots=True)
class Told:
    """What the load told, at one moment; `version` grows with every change.

    Attributes:
        qr: the code to scan; None once it has been, or before there is one.
        asking: the administrator's number and approval code are asked for.
        problem: why they are asked for again (a reason code).
        malformed: what was typed last has not the form of a number and a code.
        acts: the acts of loading so far, since the last question.
        trouble: the server does not answer at the moment.
        cancelling: a cancellation is on its way.
        not_cancelled: why the last one came to nothing: `refused` or `unanswered`.
    """

    version: int = 0
    qr: ShownQr | None = None
    asking: bool = False
    problem: str | None = None
    malformed: bool = False
    acts: frozenset[Event] = frozenset()
    trouble: bool = False
    cancelling: bool = False
    not_cancelled: str | None = None


class BrowserScreen:
    """A `Kiosk` whose screen is whatever browsers look at this process."""

    def __init__(self, bell: Bell) -> None:
        """Show nothing yet; `bell` is rung at every change."""
        self._bell = bell
        self._changed = Condition()
        self._told = Told()
        self._typed: Approval | None = None
        self._looks = False
        self._halted: Callable[[], bool] = lambda: False

    @property
    def told(self) -> Told:
        """What the load told last."""
        return self._told

    def begin(self, halted: Callable[[], bool]) -> None:
        """Start anew, for a load that ends where it can once `halted` says so."""
        with self._changed:
            self._typed, self._halted = None, halted
            self._put(self._fresh(), force=True)

    def wake(self) -> None:
        """Let a load that waits for typing look around, and every page look again."""
        with self._changed:
            self._looks = True
            self._put(self._told, force=True)
            self._changed.notify_all()

    def type(self, approval: Approval) -> bool:
        """Hand in what was typed; False if nobody asked, or somebody was quicker."""
        with self._changed:
            if not self._told.asking:
                return False
            self._typed = approval
            self._put(
                replace(self._told, asking=False, malformed=False, problem=None, not_cancelled=None)
            )
            self._changed.notify_all()
            return True

    def misread(self) -> None:
        """Tell that what was typed has not the right form."""
        with self._changed:
            self._put(replace(self._told, malformed=self._told.asking))

    def cancelling(self, under_way: bool, problem: str | None = None) -> None:
        """Tell of a cancellation: under way, or over and why it came to nothing."""
        with self._changed:
            self._put(replace(self._told, cancelling=under_way, not_cancelled=problem))

    # ---- what the load calls

    def stage(self, request_id: str, stage: Stage, reason: str | None) -> None:
        """Another stage: what was asked for in the one before it is void."""
        del request_id, reason
        with self._changed:
            self._typed = None
            qr = self._told.qr if stage is Stage.AWAITING_APPLICATION else None
            self._put(replace(self._fresh(), qr=qr, cancelling=self._told.cancelling))

    def show_qr(self, text: str, expires_at: int) -> None:
        """Show a QR code in place of the one before it."""
        with self._changed:
            self._put(replace(self._told, qr=ShownQr(text, expires_at)))

    def ask_approval(self, problem: str | None) -> Approval | None:
        """Wait a little for somebody to type; None if nobody did.

        Raises:
            NoInput: the load was halted.
        """
        with self._changed:
            if self._typed is None:
                self._put(replace(self._told, asking=True, problem=problem, acts=frozenset()))
                self._changed.wait_for(self._something_to_do, LOOK_AGAIN_SECONDS)
            self._looks = False
            self._stop_if_halted()
            typed, self._typed = self._typed, None
            return typed

    def tell(self, event: Event, **details: str | int | None) -> None:
        """Note an act; its details are read from the record."""
        del details
        with self._changed:
            self._put(replace(self._told, acts=self._told.acts | {event}))

    def trouble(self, what: str) -> None:
        """Note that the server does not answer."""
        del what
        with self._changed:
            self._put(replace(self._told, trouble=True))

    def answered(self) -> None:
        """Note that the server answers.

        Raises:
            NoInput: the load was halted.
        """
        with self._changed:
            self._put(replace(self._told, trouble=False))
            self._stop_if_halted()

    def _something_to_do(self) -> bool:
        return self._typed is not None or self._looks or self._halted()

    def _stop_if_halted(self) -> None:
        if self._halted():
            raise NoInput

    def _fresh(self) -> Told:
        return Told(version=self._told.version)

    def _put(self, told: Told, *, force: bool = False) -> None:
        if force or told != self._told:
            self._told = replace(told, version=self._told.version + 1)
            self._bell.ring()
