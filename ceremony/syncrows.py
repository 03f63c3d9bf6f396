"""Rows that a registry synchronisation is planned from: the registry's index and the feed's."""

from dataclasses import dataclass
from typing import NamedTuple

from ceremony.keyclaims import Claim
from ceremony.reasons import Reason
from ceremony.registry import VerifiedTerminal


@dataclass(frozen=True, slots=True)
class LaterEntry:
    """A terminal's newest entry on record that never took effect: it cools off, or was ended.

    `claims` are its keys: while it cools off they are no other terminal's.
    """

    digest: str
    seq: int
    cooling: bool
    claims: tuple[Claim, ...]


@dataclass(frozen=True, slots=True)
class IndexedTerminal:
    """What the registry's index says of a terminal's newest entry (highest `seq`) in effect.

    `in_force` is False for a terminal that was removed. It must be given all the same: a removal
    followed by an addition would otherwise get round the rules about `seq` and about officers.
    Its keys are free for other terminals. `later` is a newer entry that has not taken effect.
    """

    terminal_no: str
    digest: str
    seq: int
    epp_key_fingerprint: str
    epp_fingerprint: str
    device_kid: str
    first: str
    second: str
    in_force: bool = True
    later: LaterEntry | None = None


@dataclass(frozen=True, slots=True)
class FeedRow:
    """One row of a feed, already read: a verified entry, or the reason why there is none.

    For a refused row `terminal_no` is what it claims to be about, None if that is unreadable.
    The claim is not verified; it only keeps the terminal's former entry, which is signed.
    """

    position: str
    terminal: VerifiedTerminal | None
    terminal_no: str | None
    reason: Reason | None

    @classmethod
    def read(cls, position: str, terminal: VerifiedTerminal) -> "FeedRow":
        """A row whose entry verified."""
        return cls(position, terminal, terminal.entry.terminal_no, None)

    @classmethod
    def refused(cls, position: str, reason: Reason, terminal_no: str | None = None) -> "FeedRow":
        """A row that was refused already."""
        return cls(position, None, terminal_no, reason)


class RefusedRow(NamedTuple):
    """A row that changes nothing, and why. Its terminal keeps the entry in force, if it has one."""

    position: str
    terminal_no: str | None
    reason: Reason
