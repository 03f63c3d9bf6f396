"""What is PostgreSQL's alone: its sessions' rules, lost connections, errors that are outages."""

import asyncio
import select
import threading
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from sqlalchemy import text
from sqlmodel import Session

from records import attempts, migration
from records.database import Database
from records.engines import Limits, Use, open_engine
from records.failures import DatabaseUnavailable, Unstorable
from records.notices import NOTHING_AWAITED
from records.watcher import ChangeWatcher
from tests.support.postgresql import server


@pytest.fixture
def engine() -> str:
    """These tests are about one kind of database only."""
    return "postgresql"


@pytest.fixture
def hasty(database_url: str) -> Iterator[Database]:
    """The same database, by a process that waits a tenth of a second for locks."""
    database = Database(database_url, limits=Limits(lock_ms=100, statement_ms=300))
    yield database
    database.close()


@pytest.fixture
async def watcher(database: Database) -> AsyncIterator[ChangeWatcher]:
    """A watcher of the test's database."""
    watcher = ChangeWatcher(database)
    yield watcher
    await watcher.close()


def shown(database: Database, *, write: bool) -> dict[str, str]:
    """The session's rules as the server has them."""
    names = (
        "transaction_isolation",
        "transaction_read_only",
        "statement_timeout",
        "lock_timeout",
        "idle_in_transaction_session_timeout",
    )
    with database.write() if write else database.read() as session:
        connection = session.connection()
        return {name: str(connection.exec_driver_sql(f"SHOW {name}").scalar()) for name in names}


def test_the_rules_hold_on_every_connection(database: Database) -> None:
    """Readers have one snapshot and may not write; nobody waits, or idles, for ever."""
    bounded = {
        "statement_timeout": "10s",
        "lock_timeout": "5s",
        "idle_in_transaction_session_timeout": "30s",
    }
    reading = {"transaction_isolation": "repeatable read", "transaction_read_only": "on"}
    writing = {"transaction_isolation": "read committed", "transaction_read_only": "off"}
    assert shown(database, write=False) == reading | bounded
    assert shown(database, write=True) == writing | bounded


def test_a_connection_lost_in_a_transaction_is_an_outage(
    database: Database, database_url: str
) -> None:
    """Nothing of it is written, and the next transaction has a connection that works."""
    with pytest.raises(DatabaseUnavailable), database.write() as session:
        attempts.use(session, "s", 5)
        assert server().end_sessions(database_url) == 1
        attempts.use(session, "s", 5)
    with database.read() as session:
        assert attempts.used(session, "s") == 0


def test_a_connection_lost_while_it_idled_is_nobodys_concern(
    database: Database, database_url: str
) -> None:
    """A server that restarted meanwhile costs no transaction."""
    with database.write() as session:
        attempts.use(session, "s", 5)
    assert server().end_sessions(database_url) == 1
    with database.write() as session:
        assert attempts.use(session, "s", 5) == 2


def test_a_server_that_lets_nobody_in_is_an_outage(database: Database, database_url: str) -> None:
    """Reading, writing and ping say so; afterwards they work again."""
    with server().closed(database_url):
        with pytest.raises(DatabaseUnavailable):
            database.ping()
        with pytest.raises(DatabaseUnavailable), database.write():
            pass
    database.ping()


def test_no_server_is_an_outage() -> None:
    """Nobody listens: the typed error, which names neither host nor password."""
    database = Database("postgresql+psycopg://keyfill:planted-secret@127.0.0.1:1/keyfill")
    with pytest.raises(DatabaseUnavailable) as caught:
        database.ping()
    assert "planted-secret" not in f"{caught.value!r} {caught.value} {caught.value.__cause__}"
    database.close()


def test_another_database_is_refused_without_quoting_it() -> None:
    """An unknown driver, or no URL at all, is refused at once; a password is not repeated."""
    for url in (
        "postgresql://u:planted-secret@h/d",
        "mysql://u:planted-secret@h/d",
        "planted-secret",
    ):
        with pytest.raises(ValueError, match="database") as caught:
            Database(url)
        assert "planted-secret" not in str(caught.value)
        assert caught.value.__cause__ is None


def test_the_loser_of_a_deadlock_may_try_again(two_rows: tuple[Database, str]) -> None:
    """One of two writers who wait for each other gets the outage, the other its commit."""
    database, _ = two_rows
    met = threading.Barrier(2)
    outcomes: list[str] = []

    def write(first: str, second: str) -> None:
        try:
            with database.write() as session:
                attempts.use(session, first, 100)
                met.wait(10)
                attempts.use(session, second, 100)
            outcomes.append("written")
        except DatabaseUnavailable:
            outcomes.append("unavailable")

    threads = [threading.Thread(target=write, args=pair) for pair in (("a", "b"), ("b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["unavailable", "written"]
    with database.read() as session:
        assert (attempts.used(session, "a"), attempts.used(session, "b")) == (2, 2)


@pytest.fixture
def two_rows(database: Database, database_url: str) -> tuple[Database, str]:
    """A database with two counters."""
    with database.write() as session:
        attempts.use(session, "a", 100)
        attempts.use(session, "b", 100)
    return database, database_url


def test_a_lock_held_too_long_is_an_outage(two_rows: tuple[Database, str], hasty: Database) -> None:
    """Who waits in vain for another's row is told so, and the other is not disturbed."""
    database, _ = two_rows
    with database.write() as session:
        attempts.use(session, "a", 100)
        with pytest.raises(DatabaseUnavailable), hasty.write() as late:
            attempts.use(late, "a", 100)
    with database.read() as session:
        assert attempts.used(session, "a") == 2


def test_a_statement_that_runs_too_long_is_an_outage(hasty: Database) -> None:
    """The server ends it."""
    with pytest.raises(DatabaseUnavailable), hasty.read() as session:
        session.connection().execute(text("SELECT pg_sleep(5)"))


def test_a_used_up_pool_is_an_outage(database_url: str) -> None:
    """With one connection a second writer waits as long as for a lock, then is told so."""
    database = Database(database_url, limits=Limits(lock_ms=100, connections=1))
    with database.write(), pytest.raises(DatabaseUnavailable):
        asyncio.run(database.run(_write, database))
    database.close()


def _write(database: Database) -> None:
    with database.write():
        raise AssertionError("two connections")


def test_what_no_column_holds_is_no_outage(database: Database) -> None:
    """A NUL in a text, or a number that is too large, is the caller's, whatever it is asked for."""
    with pytest.raises(Unstorable), database.read() as session:
        attempts.used(session, "\x00planted-secret")
    with pytest.raises(Unstorable) as caught, database.write() as session:
        session.connection().execute(text("SELECT CAST(:n AS INTEGER)"), {"n": 2**40})
    assert "planted-secret" not in str(caught.value)


def test_a_search_merges_in_the_order_of_the_bytes(database: Database) -> None:
    """The column by which a search merges rows outside the database is ordered as Python orders."""
    query = (
        "SELECT collation_name FROM information_schema.columns "
        "WHERE table_name = 'loading_requests' AND column_name = 'request_id'"
    )
    with database.read() as session:
        assert session.connection().exec_driver_sql(query).scalar() == "C"


def test_a_migration_waits_for_the_lock_and_not_for_ever(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While another process migrates it waits; if that lasts too long it is an outage."""
    monkeypatch.setattr(migration, "WAIT_MS", 200)
    holder = open_engine(empty_url, Use.MIGRATE)
    lock = text("SELECT pg_advisory_xact_lock(:key)")
    with holder.begin() as connection:
        connection.execute(lock, {"key": migration._ADVISORY_LOCK})
        with pytest.raises(DatabaseUnavailable):
            migration.upgrade(empty_url)
    migration.upgrade(empty_url)
    assert migration.is_current(empty_url)


def used_at_least(count: int) -> Callable[[Session], int | None]:
    """A condition: so many attempts are used."""

    def condition(session: Session) -> int | None:
        used = attempts.used(session, "s")
        return used if used >= count else None

    return condition


def use(database: Database) -> None:
    """Commit a change."""
    with database.write() as session:
        attempts.use(session, "s", 100)


async def test_a_watcher_listens_again(
    database: Database, database_url: str, watcher: ChangeWatcher
) -> None:
    """A waiter survives the loss of the listening connection, and later commits wake it."""
    waiting = asyncio.create_task(watcher.wait_for(used_at_least(2), 20))
    await asyncio.sleep(0.2)
    server().end_sessions(database_url)
    await asyncio.to_thread(use, database)
    await asyncio.sleep(1)
    assert not waiting.done()
    await asyncio.to_thread(use, database)
    assert await asyncio.wait_for(waiting, 2) == 2


async def test_a_waiter_meets_an_outage(
    database: Database, database_url: str, watcher: ChangeWatcher
) -> None:
    """While nobody gets in, waiting raises the typed error; afterwards waiting works again."""
    waiting = asyncio.create_task(watcher.wait_for(used_at_least(1), 20))
    await asyncio.sleep(0.2)
    with server().closed(database_url), pytest.raises(DatabaseUnavailable):
        await waiting
    again = asyncio.create_task(watcher.wait_for(used_at_least(1), 20))
    await asyncio.sleep(0.2)
    await asyncio.to_thread(use, database)
    assert await asyncio.wait_for(again, 5) == 1


async def test_a_wait_cancelled_as_it_begins_leaves_no_connection(
    database: Database, database_url: str, watcher: ChangeWatcher
) -> None:
    """Whoever goes away while the listening connection is being made leaves none behind."""
    for pause in (0, 0.001, 0.005, 0.01):
        task = asyncio.create_task(watcher.wait_for(used_at_least(1), 10))
        await asyncio.sleep(pause)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await watcher.close()
    database.close()
    await asyncio.sleep(0.2)
    assert server().end_sessions(database_url) == 0


async def test_notices_are_taken_while_nobody_waits(
    database: Database, watcher: ChangeWatcher
) -> None:
    """Left alone for a while, the server's queue of notices does not grow."""
    assert await watcher.wait_for(used_at_least(1), 0) is None
    for _ in range(20):
        await asyncio.to_thread(use, database)
    await asyncio.sleep(0.2)
    with database.read() as session:
        usage = session.connection().exec_driver_sql("SELECT pg_notification_queue_usage()")
        assert usage.scalar() == 0


def test_who_wrote_nothing_tells_nothing(database: Database) -> None:
    """A write block that only read, or was rolled back, wakes nobody."""
    listener = database.listen()
    with database.write() as session:
        attempts.used(session, "s")
    with pytest.raises(KeyError), database.write() as session:
        attempts.use(session, "s", 5)
        raise KeyError("any")
    with database.read() as session:
        attempts.used(session, "s")
    assert listener.take() == []
    use(database)
    assert select.select([listener], [], [], 10)[0]
    assert listener.take() == [NOTHING_AWAITED]
    listener.close()
