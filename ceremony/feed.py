"""The ATM back office's feed as it crosses from a source to its reader: items and readings."""

from collections.abc import Iterator
from dataclasses import dataclass

from ceremony.reasons import Reason


class FeedError(Exception):
    """The source cannot be read as a whole; `code` is kebab-case, and the message holds no more."""

    def __init__(self, code: str) -> None:
        """Keep the code."""
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class FeedItem:
    """One entry of a feed: an envelope, unverified, or the problem that it has instead.

    `position` is for people: `line 17`, `page 2 entry 5`.
    """

    position: str
    envelope: str | None
    problem: Reason | None


@dataclass(frozen=True, slots=True)
class FeedReading:
    """A reading to go through once. `tag` names its content, None where the source has no name.

    Give a tag to the next reading only if this one was planned, applied and refused nothing:
    otherwise a row that was refused for what the registry said would not be looked at again.
    """

    tag: str | None
    items: Iterator[FeedItem]


@dataclass(frozen=True, slots=True)
class NotModified:
    """The source is as it was when it gave `tag`: nothing to plan."""

    tag: str
