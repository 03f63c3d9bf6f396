"""SQLAlchemy engines, set up so that no transaction is weaker than it looks.

Python's sqlite3 driver by itself begins transactions late and deferred, which silently loses
updates across processes; here the driver's own transaction handling is off and BEGIN is explicit.
PostgreSQL is given its rules as session defaults, so they hold from a connection's first statement.
"""

import os
import sqlite3
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, ExceptionContext, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import NullPool

from records.failures import hide_details

BUSY_TIMEOUT_MS: Final = 5_000
READ_CONNECTIONS: Final = 16
POSTGRESQL_DRIVER: Final = "postgresql+psycopg"
_CONNECT_SECONDS: Final = 5
# A transaction of ours never waits for anything but the database; one that idles has been left.
_IDLE_MS: Final = 30_000
# A peer that vanished without a word is noticed after about 10 + 3 * 5 seconds.
_KEEPALIVES: Final = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}


class Use(StrEnum):
    """What an engine is for."""

    READ = "read"
    WRITE = "write"
    MIGRATE = "migrate"


class LimitSettings(Protocol):
    """What a deployment configures of its database's limits, in seconds."""

    @property
    def database_connections(self) -> int: ...  # noqa: D102 - as in `Limits`
    @property
    def database_lock_seconds(self) -> float: ...  # noqa: D102
    @property
    def database_statement_seconds(self) -> float: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Limits:
    """How long, and through how many connections, a process uses its database.

    `lock_ms` is how long to wait for another's lock, or for a free connection. The rest concerns
    PostgreSQL only: `statement_ms` ends any statement that runs longer, `connections` is the most
    for reading and again for writing, so a process holds twice that and one for notifications.
    """

    lock_ms: int = BUSY_TIMEOUT_MS
    statement_ms: int = 10_000
    connections: int = 8

    @classmethod
    def of(cls, settings: LimitSettings) -> "Limits":
        """The limits that a deployment's settings give."""
        return cls(
            lock_ms=round(settings.database_lock_seconds * 1000),
            statement_ms=round(settings.database_statement_seconds * 1000),
            connections=settings.database_connections,
        )


DEFAULT_LIMITS: Final = Limits()


def sqlite_path(url: str) -> Path | None:
    """The file of an SQLite URL (`sqlite:///<path>`); None for a PostgreSQL one.

    Raises:
        ValueError: for a memory database, which a second connection could not see, parameters,
            or another database or driver; the text does not quote the URL.
    """
    parsed = _parsed(url)
    if parsed.drivername == POSTGRESQL_DRIVER:
        return None
    name = parsed.database or ""
    if name in ("", ":memory:") or name.startswith("file:") or parsed.query:
        raise ValueError("an SQLite database must be a plain file")
    return Path(name)


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        # SQLAlchemy's own text quotes what may hold a password.
        raise ValueError("not the URL of a database") from None
    if parsed.drivername not in ("sqlite", POSTGRESQL_DRIVER):
        raise ValueError(f"a database is sqlite:///<path> or {POSTGRESQL_DRIVER}://…")
    return parsed


def open_engine(url: str, use: Use, limits: Limits = DEFAULT_LIMITS) -> Engine:
    """Make an engine; nothing is opened yet. Parameters never appear in its errors or logs.

    Reading and writing are separate engines: a reader can then be refused every write, and SQLite
    has room for one writer only.

    Raises:
        ValueError: for a URL that `sqlite_path` refuses.
    """
    path = sqlite_path(url)
    if path is None:
        engine = _postgresql_engine(_parsed(url), use, limits)
    else:
        engine = _sqlite_engine(_parsed(url), path, use, limits)
    event.listen(engine, "handle_error", _hide_values)
    return engine


def _hide_values(context: ExceptionContext) -> None:
    hide_details(context.original_exception)
    if context.sqlalchemy_exception is not None:
        hide_details(context.sqlalchemy_exception)


def _postgresql_engine(url: URL, use: Use, limits: Limits) -> Engine:
    rules = {
        "lock_timeout": str(limits.lock_ms),
        "statement_timeout": "0" if use is Use.MIGRATE else str(limits.statement_ms),
        "idle_in_transaction_session_timeout": str(_IDLE_MS),
        # A writer must see what others committed while it waited for a lock.
        "default_transaction_isolation": r"read\ committed",
    }
    if use is Use.READ:
        rules["default_transaction_isolation"] = r"repeatable\ read"
        rules["default_transaction_read_only"] = "on"
    given = url.query.get("options", "")
    options = " ".join([str(given), *(f"-c {name}={value}" for name, value in rules.items())])
    connect_args = {
        "options": options.strip(),
        "connect_timeout": _CONNECT_SECONDS,
        "application_name": f"keyfill-{use}",
        **_KEEPALIVES,
    }
    # What the operator says in the URL is meant; the rules above are not for the URL to weaken.
    for name in url.query:
        if name != "options":
            connect_args.pop(name, None)
    if use is Use.MIGRATE:
        return create_engine(
            url, hide_parameters=True, poolclass=NullPool, connect_args=connect_args
        )
    return create_engine(
        url,
        hide_parameters=True,
        # A connection that the server closed meanwhile is replaced, not met in a transaction.
        pool_pre_ping=True,
        pool_size=limits.connections,
        max_overflow=0,
        pool_timeout=limits.lock_ms / 1000,
        connect_args=connect_args,
    )


def _sqlite_engine(url: URL, path: Path, use: Use, limits: Limits) -> Engine:
    # Only a migration may create the file: a service whose file is gone must say so.
    mode = "rwc" if use is Use.MIGRATE else "rw"
    url = url.set(database=path.absolute().as_uri(), query={"mode": mode, "uri": "true"})
    if use is Use.MIGRATE:
        engine = create_engine(url, hide_parameters=True, poolclass=NullPool)
    else:
        engine = create_engine(
            url,
            hide_parameters=True,
            pool_size=READ_CONNECTIONS if use is Use.READ else 1,
            max_overflow=0,
            pool_timeout=limits.lock_ms / 1000,
            connect_args={"check_same_thread": False},
        )

    @event.listens_for(engine, "do_connect")
    def _private_file(*_: object) -> None:
        # SQLite gives its -wal and -shm files the mode of the database file.
        if use is Use.MIGRATE and path.parent.is_dir() and not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))

    @event.listens_for(engine, "connect")
    def _prepare(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={int(limits.lock_ms)}")
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        # A migration may rebuild a table that others refer to; it checks the keys at its end.
        cursor.execute(f"PRAGMA foreign_keys={'OFF' if use is Use.MIGRATE else 'ON'}")
        # Without it, REPLACE deletes a row and no DELETE trigger hears of it.
        cursor.execute("PRAGMA recursive_triggers=ON")
        # What is erased is overwritten in the file: a destroyed key's block is not to be found.
        cursor.execute("PRAGMA secure_delete=ON")
        if use is Use.READ:
            cursor.execute("PRAGMA query_only=ON")
        cursor.close()

    begin = "BEGIN" if use is Use.READ else "BEGIN IMMEDIATE"

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine
