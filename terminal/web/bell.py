"""A bell between threads and coroutines: whoever listens wakes when something changed."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock


class Listener:
    """One coroutine's ear; it hears what was rung since it last woke, too."""

    def __init__(self) -> None:
        """Belong to the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()

    def wake(self) -> None:
        """Wake the coroutine; from any thread."""
        self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self, seconds: float) -> None:
        """Sleep until the bell rings, or for so many seconds."""
        try:
            await asyncio.wait_for(self._event.wait(), seconds)
        except TimeoutError:
            return
        self._event.clear()


class Bell:
    """Rung by any thread, heard by coroutines of any loop that still runs."""

    def __init__(self) -> None:
        """Nobody listens yet."""
        self._lock = Lock()
        self._listeners: set[Listener] = set()
        self.closed = False

    def ring(self) -> None:
        """Wake everybody who listens."""
        with self._lock:
            for listener in self._listeners:
                listener.wake()

    def close(self) -> None:
        """Say that there will be nothing more to hear, and wake everybody."""
        self.closed = True
        self.ring()

    @contextmanager
    def listening(self) -> Iterator[Listener]:
        """Listen for a block; nothing that rings meanwhile is missed."""
        listener = Listener()
        with self._lock:
            self._listeners.add(listener)
        try:
            yield listener
        finally:
            with self._lock:
                self._listeners.discard(listener)
