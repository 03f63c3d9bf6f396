"""Observation: what the key worker tells of itself while it works. Durations and counts only.

Nothing that is told names a key, a terminal or a request; whoever observes keeps figures.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal, Protocol


class Operation(StrEnum):
    """What a key manager is asked for (`keymanagement.port.KeyManager`)."""

    CREATE = "create"
    MAKE_TOKEN = "make-token"  # noqa: S105 - a name, not a secret
    KCV = "kcv"
    FORGET = "forget"


class Outcome(StrEnum):
    """How a call ended; refused: for a reason that is a business outcome."""

    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"


class KeyObserver(Protocol):
    """Whoever keeps the figures; safe for threads, and never raises."""

    def called(self, operation: Operation, outcome: Outcome, seconds: float) -> None:
        """A key manager was asked for something, and how long it took."""
        ...

    def journal_used(self, access: Literal["read", "write"], seconds: float) -> None:
        """A transaction of the journal has ended, its wait for the lock included."""
        ...

    def compared(self, found: Mapping[str, int] | None) -> None:
        """An HSM's keys were compared with the journal: the keys per finding; None: it failed."""
        ...

    def certificate_ends(self, name: str, at: int) -> None:
        """A certificate of the KDH's was read; `at` is its last moment in Unix seconds."""
        ...


class Unobserved:
    """A `KeyObserver` that keeps nothing."""

    def called(self, operation: Operation, outcome: Outcome, seconds: float) -> None:
        """Keep nothing."""

    def journal_used(self, access: Literal["read", "write"], seconds: float) -> None:
        """Keep nothing."""

    def compared(self, found: Mapping[str, int] | None) -> None:
        """Keep nothing."""

    def certificate_ends(self, name: str, at: int) -> None:
        """Keep nothing."""
