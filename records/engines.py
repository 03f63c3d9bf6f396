"""SQLAlchemy engines, set up so that no transaction is weaker than it looks.

Python's sqlite3 driver by itself begins transactions late and deferred, which silently loses
updates across processes; here the driver's own transaction handling is off and BEGIN is explicit.
"""

import os
import sqlite3
from enum import StrEnum
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, ExceptionContext, make_url
from sqlalchemy.pool import NullPool

from records.failures import hide_details

BUSY_TIMEOUT_MS: Final = 5_000
READ_CONNECTIONS: Final = 16


class Use(StrEnum):
    """What an engine is for."""

    READ = "read"
    WRITE = "write"
    MIGRATE = "migrate"


def sqlite_path(url: str) -> Path | None:
    """The file of an SQLite URL (`sqlite:///<path>`); None for another database.

    Raises:
        ValueError: for a memory database, which a second connection could not see, or parameters.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return None
    name = parsed.database or ""
    if name in ("", ":memory:") or name.startswith("file:") or parsed.query:
        raise ValueError("an SQLite database must be a plain file")
    return Path(name)


def open_engine(url: str, use: Use, *, busy_timeout_ms: int = BUSY_TIMEOUT_MS) -> Engine:
    """Make an engine; nothing is opened yet. Parameters never appear in its errors or logs.

    Reading and writing are separate engines: a reader can then be refused every write, and SQLite
    has room for one writer only. `busy_timeout_ms` is how long to wait for another's lock.
    """
    parsed = make_url(url)
    path = sqlite_path(url)
    if path is None:
        engine = _server_engine(parsed, use, busy_timeout_ms)
    else:
        engine = _sqlite_engine(parsed, path, use, busy_timeout_ms)
    event.listen(engine, "handle_error", _hide_values)
    return engine


def _hide_values(context: ExceptionContext) -> None:
    hide_details(context.original_exception)
    if context.sqlalchemy_exception is not None:
        hide_details(context.sqlalchemy_exception)


def _server_engine(url: URL, use: Use, busy_timeout_ms: int) -> Engine:
    engine = create_engine(
        url,
        hide_parameters=True,
        pool_pre_ping=True,
        pool_size=READ_CONNECTIONS,
        max_overflow=0,
        pool_timeout=busy_timeout_ms / 1000,
    )
    if use is Use.READ and engine.dialect.name == "postgresql":
        return engine.execution_options(postgresql_readonly=True, isolation_level="REPEATABLE READ")
    return engine


def _sqlite_engine(url: URL, path: Path, use: Use, busy_timeout_ms: int) -> Engine:
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
            pool_timeout=busy_timeout_ms / 1000,
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
        cursor.execute(f"PRAGMA busy_timeout={int(busy_timeout_ms)}")
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        # A migration may rebuild a table that others refer to; it checks the keys at its end.
        cursor.execute(f"PRAGMA foreign_keys={'OFF' if use is Use.MIGRATE else 'ON'}")
        # Without it, REPLACE deletes a row and no DELETE trigger hears of it.
        cursor.execute("PRAGMA recursive_triggers=ON")
        if use is Use.READ:
            cursor.execute("PRAGMA query_only=ON")
        cursor.close()

    begin = "BEGIN" if use is Use.READ else "BEGIN IMMEDIATE"

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine
