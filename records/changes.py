"""Whether anything was committed since the last look, by this process or another."""

import asyncio
import contextlib
import sqlite3
from collections import OrderedDict
from pathlib import Path
from typing import Final, Protocol

from records.database import Database
from records.failures import DatabaseUnavailable
from records.notices import ANYTHING, Listener, ListenerLost

INTERVAL: Final = 0.02
DEAF_INTERVAL: Final = 0.2
"""Seconds between two looks: at SQLite's number; while PostgreSQL cannot be listened to."""
REMEMBERED: Final = 4096
"""Of so many things it is known when they last changed; of others, that they may have."""


class ChangeProbe(Protocol):
    """Tells cheaply, on the event loop, whether anything was committed since the last look."""

    def look(self) -> int:
        """A number that differs from the last one if anybody committed in between.

        Trouble counts as a change, so that waiters look for themselves and meet the real cause.
        """
        ...

    def concerns(self, topics: tuple[str, ...], seen: int) -> bool:
        """Whether what was committed since a look that gave `seen` may be about one of the topics.

        None are about everything. To be called after `look`.
        """
        ...

    async def pause(self) -> None:
        """Wait until another look is worthwhile."""
        ...

    def nudge(self) -> None:
        """End a pause: somebody new wants to look, or nobody any more."""
        ...

    async def close(self) -> None:
        """Release what the probe holds."""
        ...


async def open_probe(database: Database) -> ChangeProbe:
    """Make the probe that suits the database.

    Raises:
        DatabaseUnavailable: if it does not answer.
    """
    # The file exists, migrated or not, once a connection of the database was made.
    await database.run(database.ping)
    if database.sqlite_path is not None:
        return SqliteProbe(database.sqlite_path)
    probe = NoticeProbe(database)
    await probe.listen()
    return probe


class SqliteProbe:
    """`PRAGMA data_version`: changes when any *other* connection, of any process, commits.

    Hence a connection of its own, which never writes: this process's writer is another one.
    It takes microseconds and no table is read, so it may run on the event loop.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, which must exist."""
        self._connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=0,
            isolation_level=None,
            check_same_thread=False,
        )
        self._failures = 0
        self._version = 0

    def look(self) -> int:
        """See the protocol."""
        try:
            [(version,)] = self._connection.execute("PRAGMA data_version").fetchall()
        except sqlite3.Error:
            self._failures += 1
            version = -self._failures
        self._version = int(version)
        return self._version

    def concerns(self, topics: tuple[str, ...], seen: int) -> bool:
        """See the protocol; the file does not tell what a change was about."""
        del topics
        return seen != self._version

    async def pause(self) -> None:
        """See the protocol."""
        await asyncio.sleep(INTERVAL)

    def nudge(self) -> None:
        """See the protocol; the pause is short."""

    async def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _close_unused(opening: "asyncio.Future[Listener]") -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


class NoticeProbe:
    """PostgreSQL's notices, counted as they arrive; listens anew when the connection was lost.

    Notices are taken even while nobody waits: left with the server they would fill its queue.
    """

    def __init__(self, database: Database) -> None:
        """Bind the database; `listen` before the first look."""
        self._database = database
        self._listener: Listener | None = None
        self._again: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._socket = -1
        self._count = 0
        self._heard: OrderedDict[str, int] = OrderedDict()
        self._unknown = 0

    async def listen(self) -> None:
        """Begin to listen; what was committed before may be unheard, so this counts as a change.

        Raises:
            DatabaseUnavailable: if the database does not answer.
        """
        opening = asyncio.ensure_future(self._database.run(self._database.listen))
        try:
            self._listener = await asyncio.shield(opening)
        except asyncio.CancelledError:
            # The thread goes on and opens a connection that nobody waits for any more.
            opening.add_done_callback(_close_unused)
            raise
        self._socket = self._listener.fileno()
        asyncio.get_running_loop().add_reader(self._socket, self._take)
        self._note(ANYTHING)

    def look(self) -> int:
        """See the protocol."""
        self._take()
        if self._listener is None:
            self._note(ANYTHING)
        return self._count

    def concerns(self, topics: tuple[str, ...], seen: int) -> bool:
        """See the protocol."""
        if not topics:
            return seen != self._count
        return any(seen < heard for heard in (self._unknown, *map(self._last_heard, topics)))

    async def pause(self) -> None:
        """See the protocol: until a notice comes, or for a moment while it cannot come."""
        if self._listener is None:
            await asyncio.sleep(DEAF_INTERVAL)
            return
        await self._changed.wait()
        self._changed.clear()

    def nudge(self) -> None:
        """See the protocol."""
        self._changed.set()

    async def close(self) -> None:
        """Stop listening."""
        if self._again is not None:
            self._again.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._again
        self._drop()

    def _take(self) -> None:
        if self._listener is None:
            return
        try:
            heard = self._listener.take()
        except ListenerLost:
            self._drop()
            self._note(ANYTHING)
            self._again = asyncio.get_running_loop().create_task(
                self._listen_again(), name="keyfill-listen-again"
            )
            return
        if heard:
            self._note(*heard)

    def _last_heard(self, topic: str) -> int:
        return self._heard.get(topic, 0)

    def _note(self, *topics: str) -> None:
        self._count += 1
        for topic in topics:
            if topic == ANYTHING:
                self._unknown = self._count
            else:
                self._heard[topic] = self._count
                self._heard.move_to_end(topic)
        while len(self._heard) > REMEMBERED:
            # Who looked before this may have missed it.
            self._unknown = max(self._unknown, self._heard.popitem(last=False)[1])
        self._changed.set()

    def _drop(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._listener.close()
            self._listener = None

    async def _listen_again(self) -> None:
        while self._listener is None:
            await asyncio.sleep(DEAF_INTERVAL)
            with contextlib.suppress(DatabaseUnavailable):
                await self.listen()
