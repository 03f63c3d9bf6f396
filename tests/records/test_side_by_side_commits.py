"""Commits on PostgreSQL do not wait for one another's disk or standby, notices or not."""

import select
import threading
from collections.abc import Iterator

import psycopg
import pytest

from records import attempts
from records.database import Database
from records.engines import Limits

WITHIN = 20


@pytest.fixture
def engine() -> str:
    """SQLite has one writer at a time."""
    return "postgresql"


@pytest.fixture
def operator(database_url: str) -> Iterator["psycopg.Connection[tuple[object, ...]]"]:
    """Whoever runs the server; what was set is undone at the end."""
    url = database_url.replace("+psycopg", "", 1)
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection
        connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
        connection.execute("SELECT pg_reload_conf()")


def test_a_commit_that_waits_for_its_disk_holds_up_no_other(
    database: Database, database_url: str, operator: "psycopg.Connection[tuple[object, ...]]"
) -> None:
    """While one commit waits for a standby that is away, others commit and tell of it.

    A notice within the writing transaction would make each commit wait for the one before it.
    """
    database.ping()
    operator.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    operator.execute("SELECT pg_reload_conf()")

    def slow() -> None:
        with database.write() as session:
            session.connection().exec_driver_sql("SET LOCAL synchronous_commit = on")
            attempts.use(session, "slow", 5)

    def waits() -> bool:
        sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        return operator.execute(sql).fetchone() == (1,)

    thread = threading.Thread(target=slow)
    thread.start()
    pause = threading.Event()
    for _ in range(WITHIN * 50):
        if waits():
            break
        pause.wait(0.02)
    hasty = Database(database_url, limits=Limits(lock_ms=200, statement_ms=2_000))
    listener = hasty.listen()
    try:
        with hasty.write() as session:
            assert attempts.use(session, "quick", 5) == 1
        assert waits(), "the slow commit still waits"
        assert select.select([listener], [], [], WITHIN)[0]
    finally:
        listener.close()
        hasty.close()
        operator.execute("ALTER SYSTEM RESET synchronous_standby_names")
        operator.execute("SELECT pg_reload_conf()")
        thread.join(WITHIN)
    assert not thread.is_alive()
