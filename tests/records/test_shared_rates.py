"""Rates that processes share: exact whoever calls when, on both databases."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func
from sqlmodel import select

from records.database import Database
from records.engines import Limits
from records.failures import DatabaseUnavailable
from records.rates import Charged, SharedRates, charge, digest_of, purge
from records.tables.rate import RateRow

NOW = 1_800_000_000.0
RIVALS = 8


@pytest.fixture
def two(database_url: str) -> Iterator[tuple[Database, Database]]:
    """The same database through two doors, as two processes have it."""
    doors = tuple(Database(database_url, limits=Limits(lock_ms=20_000)) for _ in range(2))
    yield doors[0], doors[1]
    for door in doors:
        door.close()


def call(
    database: Database, *, calls: int = 1, limit: int = 3, seconds: int = 60, now: float = NOW
) -> Charged:
    """Charge one subject."""
    with database.write() as session:
        return charge(session, "who", calls, limit=limit, seconds=seconds, now=now)


def test_as_many_as_the_limit_and_then_one_each_time_a_share_has_passed(
    database: Database,
) -> None:
    """Three at once, none more; after a third of the minute one, after an hour three again."""
    assert [call(database).room for _ in range(3)] == [2, 1, 0]
    refused = call(database)
    assert refused == Charged(0, NOW + 20)
    assert call(database, now=NOW + 19.9).retry_at is not None
    assert call(database, now=NOW + 20).retry_at is None
    assert call(database, now=NOW + 20).retry_at is not None
    assert [call(database, now=NOW + 3600).room for _ in range(3)] == [2, 1, 0]


def test_calls_are_counted_together_or_not_at_all(database: Database) -> None:
    """What has no room for all of a batch counts none of it, and says when it will have."""
    assert call(database, calls=2) == Charged(1)
    assert call(database, calls=2) == Charged(1, NOW + 20)
    assert call(database) == Charged(0)
    for bad in (0, 4):
        with pytest.raises(ValueError, match="between one call"):
            call(database, calls=bad)


def test_a_clock_that_was_far_ahead_locks_nobody_out(database: Database) -> None:
    """A row of a time that no nearly right clock has is as none; a slightly fast one's counts."""
    for _ in range(3):
        call(database, now=NOW + 30)
    assert call(database).retry_at is not None
    for _ in range(3):
        call(database, now=NOW + 86_400)
    assert call(database).retry_at is None


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    limit=st.integers(1, 50),
    waits=st.lists(st.floats(0, 30, allow_nan=False), min_size=1, max_size=60),
)
def test_no_period_holds_twice_the_limit(
    database: Database, limit: int, waits: list[float]
) -> None:
    """However calls are timed: at most the limit at once, fewer than twice it in any period."""
    now, taken = NOW, []
    with database.write() as session:
        for wait in waits:
            now += wait
            if charge(session, f"{limit} {waits}", 1, limit=limit, seconds=60, now=now).retry_at:
                continue
            taken.append(now)
    for start in taken:
        assert sum(start <= one < start + 60 for one in taken) <= max(1, 2 * limit - 1)
        assert sum(one == start for one in taken) <= limit


def test_of_many_at_once_as_many_pass_as_there_is_room_for(
    two: tuple[Database, Database],
) -> None:
    """Eight threads of two processes, ten calls each: exactly the limit of 25 pass."""
    start = threading.Barrier(RIVALS)

    def run(n: int) -> int:
        start.wait(30)
        got = [call(two[n % 2], limit=25, seconds=3600) for _ in range(10)]
        return sum(one.retry_at is None for one in got)

    with ThreadPoolExecutor(RIVALS) as pool:
        assert sum(pool.map(run, range(RIVALS))) == 25


async def test_old_rows_are_deleted_and_nobody_is_named(database: Database) -> None:
    """A process deletes, once a minute, what means nothing any more; subjects are digests."""
    clock = [NOW]
    rates = SharedRates(database, lambda: clock[0])
    for n in range(3):
        await rates.charge(f"api/address/192.0.2.{n}", 1, limit=3, seconds=60)
    assert _rows(database) == 3
    with database.read() as session:
        subjects = session.exec(select(RateRow.subject)).all()
    assert set(subjects) == {digest_of(f"api/address/192.0.2.{n}") for n in range(3)}
    assert not any("192" in one and "." in one for one in subjects)
    clock[0] += 61
    await rates.charge("api/address/198.51.100.1", 1, limit=3, seconds=60)
    assert _rows(database) == 1
    with database.write() as session:
        assert purge(session, now=clock[0] + 61) == 1


def _rows(database: Database) -> int:
    with database.read() as session:
        return session.exec(select(func.count()).select_from(RateRow)).one()


async def test_who_was_counted_is_not_told_that_nothing_was(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deleting old rows waits for others, in vain perhaps: the call that it came with stands."""
    clock = [NOW]
    rates = SharedRates(database, lambda: clock[0])

    def busy(*_: object, **__: object) -> int:
        raise DatabaseUnavailable("busy")

    monkeypatch.setattr("records.rates.purge", busy)
    clock[0] += 61
    assert await rates.charge("who", 1, limit=3, seconds=60) == Charged(2)
    assert await rates.charge("who", 1, limit=3, seconds=60) == Charged(1)
