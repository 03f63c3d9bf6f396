"""The one door to the database for a process: read, write, off-load, ping, close."""

import asyncio
import contextvars
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import ParamSpec, TypeVar

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from records import notices
from records.engines import DEFAULT_LIMITS, Limits, Use, open_engine, sqlite_path
from records.failures import DatabaseUnavailable, translated
from records.schema import METADATA

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 8


class Database:
    """A database with a read side and a write side, safe to share between threads.

    On SQLite every write transaction is BEGIN IMMEDIATE on the process's one writer connection,
    behind a lock; other processes' writers wait up to `limits.lock_ms`. On PostgreSQL writers run
    side by side (READ COMMITTED): conditional updates and unique keys decide between them, and who
    decides on more than one row takes a turn first (`records.turns`). The schema is made by
    `records.migration`, not here.
    """

    metadata = METADATA

    def __init__(
        self,
        url: str,
        *,
        limits: Limits = DEFAULT_LIMITS,
        threads: int = THREADS,
    ) -> None:
        """Prepare engines for `url`; nothing is opened until first used.

        Raises:
            ValueError: for an SQLite memory database, or a URL of something else.
        """
        self.sqlite_path = sqlite_path(url)
        self._readers = open_engine(url, Use.READ, limits)
        self._writer = open_engine(url, Use.WRITE, limits)
        self._one_writer = self.sqlite_path is not None
        self._write_lock = threading.RLock()
        self._lock_timeout = limits.lock_ms / 1000
        self._inside = threading.local()
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="keyfill-records")
        self._closed = False

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a session on one consistent snapshot; a write in it is refused by the database.

        Rows stay readable after the block.

        Raises:
            DatabaseUnavailable: if the database is locked, gone or closed.
        """
        self._require_open()
        with translated(), Session(self._readers, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self, *, quiet: bool = False) -> Iterator[Session]:
        """Open a write transaction; it commits at the block's end and rolls back on any error.

        `quiet` is for what nobody waits for: on PostgreSQL its commit wakes no watcher. Never call
        anything outside the process within the block: others wait for its lock. Blocks the thread;
        in a coroutine go through `run`. Rows stay readable after the block.

        Raises:
            DatabaseUnavailable: if the database is locked, gone or closed. Nothing was written,
                unless the connection was lost during the commit: repeat find-or-create.
            RuntimeError: if this thread is already inside `write`.
        """
        self._require_open()
        with self._sole_writer(), translated(), self._writer.connect() as connection:
            topics: list[str] = []
            with Session(connection, expire_on_commit=False) as session, session.begin():
                # The session begins lazily; what is decided on must be read under the lock.
                session.connection()
                yield session
                if not (self._one_writer or quiet):
                    session.flush()
                    topics = notices.due(session)
            if topics:
                notices.send(connection, topics)

    def listen(self) -> notices.Listener:
        """Open a connection of its own on which the commits of every process are heard.

        PostgreSQL only; blocks the thread. The caller closes it.

        Raises:
            DatabaseUnavailable: if the database does not answer.
        """
        self._require_open()
        with translated():
            return notices.listen(self._readers)

    async def run(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a synchronous function on this database's own bounded threads, and return its result.

        Context variables go along. Cancelling the caller does not stop the function: a transaction
        that has begun still commits or rolls back.

        Raises:
            DatabaseUnavailable: if the database is closed.
        """
        self._require_open()
        context = contextvars.copy_context()
        call = partial(context.run, partial(fn, *args, **kwargs))
        return await asyncio.get_running_loop().run_in_executor(self._executor, call)

    def ping(self) -> None:
        """Check that the database answers and has been migrated.

        Raises:
            DatabaseUnavailable: if it does not or has not.
        """
        try:
            with self.read() as session:
                session.connection().execute(text("SELECT version_num FROM alembic_version"))
        except SQLAlchemyError as error:
            raise DatabaseUnavailable("not migrated") from error

    def scrub(self) -> None:
        """On SQLite, write the log back and empty it, so that nothing erased stays in it.

        A reader may hold it up; the log is then emptied by a later call, or as it wraps.

        Raises:
            DatabaseUnavailable: if the database is locked, gone or closed.
        """
        self._require_open()
        if not self._one_writer:
            return
        with self._sole_writer(), translated():
            connection = self._writer.raw_connection()
            try:
                connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                connection.close()

    def close(self) -> None:
        """Let running work finish, then close every connection. May be called twice."""
        self._closed = True
        self._executor.shutdown(wait=True)
        self._readers.dispose()
        self._writer.dispose()

    def _require_open(self) -> None:
        if self._closed:
            raise DatabaseUnavailable("closed")

    @contextmanager
    def _sole_writer(self) -> Iterator[None]:
        if getattr(self._inside, "write", False):
            raise RuntimeError("write() inside write() of the same thread")
        try:
            if self._one_writer and not self._write_lock.acquire(timeout=self._lock_timeout):
                raise DatabaseUnavailable("the writer is busy")
            self._inside.write = True
            yield
        finally:
            self._inside.write = False
            # A thread may be interrupted the moment it has the lock (Temporal raises a passed
            # timeout in it), before it could note so: the lock itself knows whether it is ours.
            with suppress(RuntimeError):
                self._write_lock.release()
