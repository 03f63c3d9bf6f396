"""The one door to the database: transactions, errors, threads."""

import asyncio
import contextvars
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from records import attempts, audit, migration, projection, submissions
from records.database import Database
from records.engines import Limits
from records.failures import DatabaseUnavailable
from records.tables.audit_event import ActorKind
from records.tables.loading_request import LoadingRequestRow
from records.tables.submission import SubmissionRow

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).with_name("counting_program.py")


def test_two_processes_lose_no_increment(
    database: Database, database_url: str, request_row: Callable[..., LoadingRequestRow]
) -> None:
    """Two processes that read, add one and write 200 times each leave exactly 400 more."""
    with database.write() as session:
        projection.open_request(session, request_row(version=0))
    command = [sys.executable, str(PROGRAM), database_url, "r1", "200"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    processes = [subprocess.Popen(command, env=environment) for _ in range(2)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    with database.read() as session:
        row = projection.find(session, "r1")
        assert row is not None
        assert (row.version, attempts.used(session, "shared")) == (400, 400)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_write_transaction_begins_immediate(database: Database, database_url: str) -> None:
    """From its first moment, before any statement, a write block shuts other writers out."""
    other = Database(database_url, limits=Limits(lock_ms=50))
    with database.write():
        with pytest.raises(DatabaseUnavailable), other.write():
            pass
        with other.read() as session:
            session.connection().execute(text("SELECT count(*) FROM attempts"))
    with other.write() as session:
        attempts.use(session, "s", 1)
    other.close()


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_pragmas_hold_on_every_connection(database: Database) -> None:
    """WAL, foreign keys, a busy timeout and full durability are on for readers and the writer."""
    for opened in (database.read, database.write):
        with opened() as session:
            connection = session.connection()
            values = {
                name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "foreign_keys", "busy_timeout", "synchronous")
            }
        assert values == {
            "journal_mode": "wal",
            "foreign_keys": 1,
            "busy_timeout": 5000,
            "synchronous": 2,
        }


def test_a_reader_cannot_write(database: Database) -> None:
    """A write in a read block is refused by the database itself."""
    with pytest.raises(DatabaseUnavailable), database.read() as session:
        attempts.use(session, "s", 1)
    with database.read() as session:
        assert attempts.used(session, "s") == 0


def test_a_reader_sees_one_snapshot(database: Database) -> None:
    """What another commits during a read block stays unseen until the next one."""
    with database.read() as before:
        assert attempts.used(before, "s") == 0
        with database.write() as session:
            attempts.use(session, "s", 5)
        assert attempts.used(before, "s") == 0
    with database.read() as after:
        assert attempts.used(after, "s") == 1


def test_an_error_rolls_everything_back(database: Database) -> None:
    """If a write block ends in an exception, none of its statements has happened."""
    with pytest.raises(KeyError), database.write() as session:
        attempts.use(session, "s", 5)
        raise KeyError("any")
    with database.write() as session:
        assert attempts.used(session, "s") == 0


def test_rows_stay_readable_after_the_block(
    database: Database, request_row: Callable[..., LoadingRequestRow]
) -> None:
    """A row read or written in a block can be used after it, with what was written."""
    with database.write() as session:
        row, _ = projection.open_request(session, request_row())
        projection.move(session, "r1", 1, reason="why")
    assert (row.version, row.reason) == (2, "why")


def test_no_secret_parameter_in_an_error(
    database: Database, submission_row: Callable[..., SubmissionRow]
) -> None:
    """A value that was bound to a statement appears neither in the error nor in its cause."""
    secret = "planted-secret-31337"
    row = submission_row(statement=secret, code_mac=secret)
    row.received_at = None  # type: ignore[assignment]
    with pytest.raises(IntegrityError) as caught, database.write() as session:
        submissions.receive(session, row)
    assert secret not in str(caught.value) + repr(caught.value) + str(caught.value.orig)
    assert secret not in repr(row) + str(row)
    with pytest.raises(DBAPIError) as missing, database.write() as session:
        session.connection().execute(text("SELECT :x FROM nowhere"), {"x": secret})
    assert secret not in str(missing.value) + repr(missing.value)


def test_no_row_in_an_error(database: Database) -> None:
    """What a server adds to its message below the first line (PostgreSQL: the row) is cut off."""
    with database.write() as session:
        if database.sqlite_path is not None:
            session.connection().exec_driver_sql(
                "CREATE TRIGGER talkative BEFORE INSERT ON attempts BEGIN "
                "SELECT RAISE(ABORT, 'refused\nDETAIL: Failing row contains (planted-secret)'); END"
            )
        else:
            session.connection().exec_driver_sql(
                "ALTER TABLE attempts ADD CONSTRAINT refused CHECK (used <> 1)"
            )
    with pytest.raises(IntegrityError) as caught, database.write() as session:
        attempts.use(session, "planted-secret", 1)
    error = caught.value
    assert "refused" in str(error)
    assert "planted-secret" not in str(error) + repr(error) + str(error.orig) + repr(error.orig)


def test_a_missing_table_is_not_an_outage(database: Database) -> None:
    """A mistake of ours stays what it is and is not reported as a database that is away."""
    with pytest.raises(DBAPIError), database.read() as session:
        session.connection().execute(text("SELECT 1 FROM nowhere"))


def test_a_database_that_is_gone_is_unavailable(tmp_path: Path) -> None:
    """A missing file is an outage, and nothing creates an empty database in its place."""
    path = tmp_path / "gone.db"
    database = Database(f"sqlite:///{path}")
    with pytest.raises(DatabaseUnavailable), database.read() as session:
        session.connection()
    with pytest.raises(DatabaseUnavailable), database.write():
        pass
    with pytest.raises(DatabaseUnavailable):
        database.ping()
    assert not path.exists()
    database.close()


def test_a_broken_file_is_unavailable(tmp_path: Path) -> None:
    """A file that is no database is an outage, not a fault without a name."""
    path = tmp_path / "broken.db"
    path.write_bytes(b"not a database" * 1000)
    database = Database(f"sqlite:///{path}")
    with pytest.raises(DatabaseUnavailable):
        database.ping()
    database.close()


def test_ping_wants_a_migrated_database(database: Database, tmp_path: Path) -> None:
    """Ping is silent on a migrated database and raises on an empty one."""
    database.ping()
    path = tmp_path / "empty.db"
    sqlite3.connect(path).close()
    path.touch()
    empty = Database(f"sqlite:///{path}")
    with pytest.raises(DatabaseUnavailable):
        empty.ping()
    empty.close()


def test_a_memory_database_is_refused() -> None:
    """Two connections could not see one memory database, so it is refused at once."""
    for url in ("sqlite://", "sqlite:///:memory:", "sqlite:///file:x?mode=memory&uri=true"):
        with pytest.raises(ValueError, match="file"):
            Database(url)


def test_nested_writes_are_a_mistake_not_a_deadlock(database: Database) -> None:
    """A write block inside a write block of the same thread raises at once."""
    with database.write(), pytest.raises(RuntimeError), database.write():
        pass
    with database.write() as session:
        attempts.use(session, "s", 1)


def test_threads_take_turns(database: Database) -> None:
    """Many threads of one process write through the one connection and all succeed."""

    def work() -> None:
        for _ in range(10):
            with database.write() as session:
                attempts.use(session, "turns", 1000)

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as session:
        assert attempts.used(session, "turns") == 120


async def test_run_off_loads(database: Database) -> None:
    """`run` leaves the event loop free, passes context variables on, and returns the result."""
    variable = contextvars.ContextVar("variable", default="unset")
    variable.set("set")
    released = threading.Event()

    def work(suffix: str) -> str:
        assert released.wait(5)
        return variable.get() + suffix + threading.current_thread().name

    task = asyncio.create_task(database.run(work, "-on-"))
    await asyncio.sleep(0)
    released.set()
    assert (await task).startswith("set-on-keyfill-records")


async def test_a_closed_database_is_unavailable(database: Database) -> None:
    """After close, every way in says so; closing again is harmless."""
    database.close()
    database.close()
    with pytest.raises(DatabaseUnavailable), database.read():
        pass
    with pytest.raises(DatabaseUnavailable), database.write():
        pass
    with pytest.raises(DatabaseUnavailable):
        await database.run(len, "")


def test_the_file_is_private(tmp_path: Path) -> None:
    """The database and its write-ahead log are readable by their owner only."""
    path = tmp_path / "private.db"
    migration.upgrade(f"sqlite:///{path}")
    database = Database(f"sqlite:///{path}")
    with database.write() as session:
        audit.write(session, "e", at=1, actor_kind=ActorKind.SYSTEM)
    modes = {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.glob("private.db*")}
    database.close()
    assert modes == {0o600}
