"""Waiting for one thing among many that change: woken by what concerns it, and by nothing else."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable

import pytest
from sqlmodel import Session

from ceremony.stages import Stage
from records import attempts, changes, notices, projection, verdicts
from records.database import Database
from records.tables.loading_request import LoadingRequestRow
from records.tables.verdict import VerdictRow
from records.watcher import ChangeWatcher


@pytest.fixture
def engine() -> str:
    """Only PostgreSQL tells what a commit was about."""
    return "postgresql"


@pytest.fixture
async def watcher(database: Database) -> AsyncIterator[ChangeWatcher]:
    """A watcher of the test's database."""
    watcher = ChangeWatcher(database)
    yield watcher
    await watcher.close()


def change(database: Database, *topics: str) -> None:
    """Commit a change about some topics."""
    with database.write() as session:
        attempts.use(session, "s", 1_000_000)
        for one in topics:
            notices.about(session, one)


class Condition:
    """Counts how often it is evaluated; holds from the `enough`th time on."""

    def __init__(self, enough: int) -> None:
        """Have been evaluated never."""
        self.evaluated = 0
        self.begun = threading.Event()
        self._enough = enough

    def __call__(self, session: Session) -> int | None:
        """Evaluate it."""
        del session
        self.evaluated += 1
        self.begun.set()
        return self.evaluated if self.evaluated >= self._enough else None


async def waiting(watcher: ChangeWatcher, condition: Condition, about: str) -> "asyncio.Task[None]":
    """Begin to wait, and give the wait once it listens."""

    async def wait() -> None:
        assert await watcher.wait_for(condition, 20, about=("also mine", about)) is not None

    task = asyncio.create_task(wait())
    assert await asyncio.to_thread(condition.begun.wait, 10)
    await asyncio.sleep(0.1)
    return task


async def test_only_what_it_is_about_wakes_a_waiter(
    database: Database, watcher: ChangeWatcher
) -> None:
    """Of thirty commits about others or nothing none is looked at; the one that counts is."""
    condition = Condition(2)
    task = await waiting(watcher, condition, "mine")
    for topics in ((), ("theirs",), ("another", "theirs")) * 10:
        await asyncio.to_thread(change, database, *topics)
    await asyncio.sleep(0.2)
    assert condition.evaluated == 1
    await asyncio.to_thread(change, database, "theirs", "mine")
    await task


async def test_a_notice_that_does_not_say_wakes_everybody(
    database: Database, watcher: ChangeWatcher
) -> None:
    """A process of a former version, or a hand in the database, is heard as before."""
    task = await waiting(watcher, Condition(2), "mine")
    with database.write() as session:
        session.connection().exec_driver_sql(f"NOTIFY {notices.CHANNEL}")
    await task


async def test_what_was_heard_before_the_wait_began_is_not_lost(
    database: Database, watcher: ChangeWatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit between check and wait wakes, even if so many followed that it is forgotten."""
    monkeypatch.setattr(changes, "REMEMBERED", 2)
    condition = Condition(2)

    def at_first(session: Session) -> int | None:
        found = condition(session)
        if condition.evaluated == 1:
            change(database, "mine")
            for n in range(5):
                change(database, f"other {n}")
        return found

    async with asyncio.timeout(10):
        assert await watcher.wait_for(at_first, 20, about=("mine",)) == 2


def test_who_changes_what_is_waited_for_says_so(
    database: Database,
    request_row: Callable[..., LoadingRequestRow],
    verdict_row: Callable[..., VerdictRow],
) -> None:
    """A request's opening and its moves are about the request, a verdict about its statement."""
    listener = database.listen()
    heard: list[list[str]] = []
    acts: tuple[Callable[[Session], object], ...] = (
        lambda session: projection.open_request(session, request_row("r1")),
        lambda session: projection.move(session, "r1", 1, stage=Stage.AWAITING_REVIEW),
        lambda session: verdicts.add(session, verdict_row("d1")),
    )
    for act in acts:
        with database.write() as session:
            act(session)
        with database.read() as session:
            # A round trip, by which the notice has come.
            session.connection().exec_driver_sql("SELECT 1")
        heard.append(listener.take())
    listener.close()
    assert heard == [["r1"], ["r1"], [verdict_row("d1").digest]]
