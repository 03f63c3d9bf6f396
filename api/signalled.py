"""Which statements Temporal has taken lately: who repeats one meanwhile signals nothing twice.

A signal is durable once Temporal has acknowledged it. A caller who got 202 repeats the statement
every few seconds, and each further signal would cost the workflow's history some four events.
"""

from collections import OrderedDict
from typing import Final

AGAIN_AFTER: Final = 15
"""Seconds after which a statement without a verdict is signalled again: a workflow may want to hear
it once more (`token-unknown`), and a Temporal that was restored has forgotten it."""
AT_MOST: Final = 10_000
"""Statements remembered by one process, some 2 MB; the oldest are forgotten first."""


class Signalled:
    """Remembers digests of statements; one per process. What is forgotten is signalled again."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._at: OrderedDict[str, int] = OrderedDict()

    def lately(self, digest: str, now: int) -> bool:
        """Whether Temporal took this statement less than `AGAIN_AFTER` seconds before `now`."""
        at = self._at.get(digest)
        return at is not None and 0 <= now - at < AGAIN_AFTER

    def note(self, digest: str, now: int) -> None:
        """Remember that Temporal has acknowledged the signal of this statement."""
        self._at[digest] = now
        self._at.move_to_end(digest)
        if len(self._at) > AT_MOST:
            self._at.popitem(last=False)
