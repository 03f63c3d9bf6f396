"""The database that a test runs on: an SQLite file, or one on a PostgreSQL server.

`TEST_DATABASE=postgresql` runs every test that asks here on PostgreSQL; nothing, or `sqlite`, on
SQLite. The tests of the records themselves run on both whatever it says.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final

from commands.homefolder import HomeFolder
from holdings import HELD_BY
from records import migration
from records.engines import sqlite_path
from tests.support.twice import Engine, chosen, in_rings

FILE: Final = "keyfill.db"

Maker = Callable[[Path], str]
"""Makes a database of the kind that the run is about, and gives its URL."""


def make_database(folder: Path, engine: Engine | None = None) -> str:
    """Make a migrated database without rows, a file in `folder` or none, and give its URL."""
    if _engine(engine) == "postgresql":
        from tests.support.postgresql import server

        return server().make()
    path = folder / FILE
    path.write_bytes(_migrated_file())
    return f"sqlite:///{path}"


def drop_database(url: str) -> None:
    """Give back what a database takes of the disk, once nothing asks for it any more.

    An SQLite file goes with its folder; one of PostgreSQL's takes 8 MB until its server stops.
    """
    if sqlite_path(url) is None:
        from tests.support.postgresql import server

        server().drop(url)


def make_empty_database(folder: Path, engine: Engine | None = None) -> str:
    """The URL of a database that was never migrated; an SQLite file is not there yet."""
    if _engine(engine) == "postgresql":
        from tests.support.postgresql import server

        return server().make_empty()
    return f"sqlite:///{folder / FILE}"


def furnish(home: HomeFolder, *, migrated: bool = True) -> str:
    """Give a home that `keyfill init` made a database of its own, and give its URL.

    Its processes and commands find the URL among their role's secrets, as in production.
    """
    (home.path / FILE).unlink(missing_ok=True)
    url = make_database(home.path) if migrated else make_empty_database(home.path)
    if not url.startswith("sqlite"):
        for role in HELD_BY:
            folder = home.path / "secrets" / role
            if folder.is_dir():
                secret = folder / "keyfill_database_url"
                secret.touch(mode=0o600)
                secret.write_text(url)
    return url


@contextmanager
def taken_away(url: str) -> Iterator[None]:
    """Take a database away and bring it back: its file, or the way into it."""
    path = sqlite_path(url)
    if path is None:
        from tests.support.postgresql import server

        with server().closed(url):
            yield
        return
    away = path.with_name("away")
    away.mkdir()
    for part in list(path.parent.glob(f"{path.name}*")):
        part.rename(away / part.name)
    yield
    for part in list(away.iterdir()):
        part.rename(path.with_name(part.name))
    away.rmdir()


def _engine(named: Engine | None) -> Engine:
    if named is not None:
        return named
    test = os.environ.get("PYTEST_CURRENT_TEST", "")
    known = in_rings(test) or not test.startswith("tests/")
    assert known, f"{test}: name this ring in tests/support/twice.py, or it runs on SQLite only"
    return chosen()


@cache
def _migrated_file() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FILE
        migration.upgrade(f"sqlite:///{path}")
        return path.read_bytes()
