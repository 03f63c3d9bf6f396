"""Bringing a database to the schema of this release, and telling whether it has it.

The migrations are part of the package, so an installed wheel can migrate without a source tree.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from records.engines import Limits, Use, open_engine, sqlite_path
from records.failures import translated

# Any number that no other program on the same PostgreSQL server locks.
_ADVISORY_LOCK: Final = 0x4B657966

WAIT_MS: Final = 60_000
"""How long to wait for another process that migrates: longer than any other lock is held."""
MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(url: str, revision: str = "head") -> None:
    """Bring the database to a revision; creates an SQLite file (mode 0600), not its folder.

    All or nothing, in one transaction; of two processes that upgrade at once, one waits and then
    finds nothing to do.

    Raises:
        DatabaseUnavailable: if the database is locked, or the folder missing.
    """
    _migrate(url, lambda config: command.upgrade(config, revision))


def downgrade(url: str, revision: str) -> None:
    """Take the database back to a revision (`base` for an empty one).

    Kept is what the former schema has a place for. Lost are tables and columns that came later:
    below 0009 changes that wait (a person's goes back to the officers, a terminal's is to be
    synchronised anew), below 0006 sessions, and which events were operators' (they become the
    system's), below 0005 the exports, below 0004 officers' orders and the times of a key's loss,
    and a compromised or destroyed key is then retired.

    Raises:
        DatabaseUnavailable: if the database is locked, or the folder missing.
    """
    _migrate(url, lambda config: command.downgrade(config, revision))


def current(url: str) -> str | None:
    """The database's revision; None if it was never migrated. Creates no file.

    Raises:
        DatabaseUnavailable: if the database does not answer.
    """
    path = sqlite_path(url)
    if path is not None and not path.exists():
        return None
    engine = open_engine(url, Use.READ)
    try:
        with translated(), engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()


def head() -> str | None:
    """The newest revision of this release."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def is_current(url: str) -> bool:
    """Say whether the database has the schema of this release.

    Raises:
        DatabaseUnavailable: if the database does not answer.
    """
    return current(url) == head()


def draft_revision(url: str, message: str) -> Path:
    """Write a new migration: what the models have and the database has not. For developers.

    The database must be at the head. Returns the file, to be read and corrected by a person.
    """
    config = _config()
    with _connection(url) as connection:
        config.attributes["connection"] = connection
        script = command.revision(config, message=message, autogenerate=True)
    if script is None or isinstance(script, list):
        raise RuntimeError("one revision was asked for")
    return Path(script.path)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def _migrate(url: str, act: Callable[[Config], None]) -> None:
    config = _config()
    with _connection(url) as connection:
        config.attributes["connection"] = connection
        act(config)
        _check_foreign_keys(connection)


@contextmanager
def _connection(url: str) -> Iterator[Connection]:
    engine = open_engine(url, Use.MIGRATE, Limits(lock_ms=WAIT_MS))
    try:
        with translated(), engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(
                    text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK}
                )
            yield connection
    finally:
        engine.dispose()


def _check_foreign_keys(connection: Connection) -> None:
    # They were off, so that a table could be rebuilt; SQLite does not look again by itself.
    if connection.dialect.name != "sqlite":
        return
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if broken is not None:
        cause = ValueError(f"a row of {broken[0]} refers to a missing row of {broken[2]}")
        raise IntegrityError(None, None, cause)
