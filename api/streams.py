"""Streams: how many run at once, and how they end when the process does.

The counts are this process's own, unlike those of `api.limits`. A server that stops waits for the
answers that it is giving; a stream has no end of its own, so it has to be told.
"""

import asyncio
from collections import Counter
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from api.problems import TooMany

T = TypeVar("T")

PER_HOLDER: Final = 8
"""Streams at once of one person, or of one loading request's terminal: some tabs, two devices."""
IN_ALL: Final = 2000
"""Streams at once of a process: one costs a socket and some 50 KiB."""
RETRY_AFTER: Final = 15
"""Seconds after which a stream more may be asked for; callers poll meanwhile."""


class Streams:
    """Counts streams by holder; one per process and event loop."""

    def __init__(self, *, per_holder: int = PER_HOLDER, in_all: int = IN_ALL) -> None:
        """Set the caps."""
        self._per_holder = per_holder
        self._in_all = in_all
        self._running: Counter[str] = Counter()
        self._stopping = asyncio.Event()

    @property
    def stopping(self) -> bool:
        """Whether every stream should end now."""
        return self._stopping.is_set()

    def count(self) -> int:
        """How many streams run."""
        return self._running.total()

    def stop(self) -> None:
        """Have every stream end, and every later one end at once. May be called twice."""
        self._stopping.set()

    @contextmanager
    def admitted(self, holder: str) -> Iterator[None]:
        """Count one stream of this holder while the block runs.

        Raises:
            TooMany: if the holder, or everybody together, has as many as allowed.
        """
        if self._running[holder] >= self._per_holder or self.count() >= self._in_all:
            raise TooMany(RETRY_AFTER)
        self._running[holder] += 1
        try:
            yield
        finally:
            self._running[holder] -= 1
            if not self._running[holder]:
                del self._running[holder]

    async def unless_stopping(self, wait: Coroutine[Any, Any, T | None]) -> T | None:
        """Await a result, or give None as soon as streams should end."""
        waiting = asyncio.ensure_future(wait)
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait((waiting, stopping), return_when=asyncio.FIRST_COMPLETED)
            return waiting.result() if waiting.done() else None
        finally:
            waiting.cancel()
            stopping.cancel()
