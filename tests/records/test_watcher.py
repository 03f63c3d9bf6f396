"""Waiting for changes: wake-ups within a process and across processes, none lost."""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session

from records import attempts
from records.database import Database
from records.failures import DatabaseUnavailable
from records.watcher import ChangeWatcher

ROOT = Path(__file__).parents[2]
OTHER_PROCESS = """
import sys
from records import attempts
from records.database import Database
database = Database(sys.argv[1])
database.ping()
print("ready", flush=True)
sys.stdin.readline()
with database.write() as session:
    attempts.use(session, "s", 1)
database.close()
"""


@pytest.fixture
async def watcher(database: Database) -> AsyncIterator[ChangeWatcher]:
    """A watcher of the test's database."""
    watcher = ChangeWatcher(database)
    yield watcher
    await watcher.close()


def used_at_least(scope: str, count: int) -> Callable[[Session], int | None]:
    """A condition: so many attempts of a scope are used."""

    def condition(session: Session) -> int | None:
        used = attempts.used(session, scope)
        return used if used >= count else None

    return condition


def use(database: Database, scope: str = "s") -> None:
    """Commit a change."""
    with database.write() as session:
        attempts.use(session, scope, 1_000_000)


async def test_what_holds_already_is_returned_at_once(
    database: Database, watcher: ChangeWatcher
) -> None:
    """A condition that holds needs no change, even with no time to wait."""
    use(database)
    assert await watcher.wait_for(used_at_least("s", 1), 0) == 1


async def test_a_commit_of_this_process_wakes(database: Database, watcher: ChangeWatcher) -> None:
    """The process's own writer is another connection, so its commits wake the waiter soon."""
    task = asyncio.create_task(watcher.wait_for(used_at_least("s", 1), 10))
    await asyncio.sleep(0.1)
    began = time.monotonic()
    await database.run(use, database)
    assert await task == 1
    assert time.monotonic() - began < 2


async def test_a_commit_of_another_process_wakes(database_url: str, watcher: ChangeWatcher) -> None:
    """A row that another process commits wakes the waiter soon."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        OTHER_PROCESS,
        database_url,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    task = asyncio.create_task(watcher.wait_for(used_at_least("s", 1), 20))
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    began = time.monotonic()
    await process.communicate(b"go\n")
    assert await task == 1
    assert time.monotonic() - began < 5
    assert process.returncode == 0


async def test_a_commit_between_check_and_wait_is_not_lost(
    database: Database, watcher: ChangeWatcher
) -> None:
    """A change committed right after the condition was evaluated still wakes the waiter."""
    calls = 0

    def condition(session: Session) -> int | None:
        nonlocal calls
        calls += 1
        value = used_at_least("s", 1)(session)
        if calls == 1:
            use(database)
        return value

    began = time.monotonic()
    assert await watcher.wait_for(condition, 20) == 1
    assert calls == 2
    assert time.monotonic() - began < 5


async def test_nothing_is_evaluated_while_nothing_changes(watcher: ChangeWatcher) -> None:
    """Without a commit the condition is evaluated at the beginning and at the end only."""
    calls = 0

    def condition(_: Session) -> int | None:
        nonlocal calls
        calls += 1
        return None

    assert await watcher.wait_for(condition, 0.3) is None
    assert calls == 2


async def test_the_task_runs_only_while_somebody_waits(
    database: Database, watcher: ChangeWatcher
) -> None:
    """No polling goes on after the last waiter has its answer."""
    task = asyncio.create_task(watcher.wait_for(used_at_least("s", 1), 10))
    await asyncio.sleep(0.05)
    await database.run(use, database)
    await task
    await asyncio.sleep(0.1)
    assert not [t for t in asyncio.all_tasks() if t.get_name() == "keyfill-change-watcher"]


async def test_many_waiters_each_get_their_own_answer(
    database: Database, watcher: ChangeWatcher
) -> None:
    """A hundred waiters on different counts, among a hundred commits, are all answered."""
    tasks = [
        asyncio.create_task(watcher.wait_for(used_at_least("s", count), 30))
        for count in range(1, 101)
    ]
    for _ in range(100):
        await database.run(use, database)
    answers = await asyncio.gather(*tasks)
    assert all(answer is not None and answer >= count for count, answer in enumerate(answers, 1))


async def test_one_waiters_error_is_its_own(database: Database, watcher: ChangeWatcher) -> None:
    """A condition that raises, even a timeout error, ends its own wait and no other's."""
    calls = 0

    def broken(_: Session) -> Any:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise TimeoutError("mine")
        return None

    bad = asyncio.create_task(watcher.wait_for(broken, 10))
    good = asyncio.create_task(watcher.wait_for(used_at_least("s", 1), 10))
    await asyncio.sleep(0.1)
    await database.run(use, database)
    assert await good == 1
    with pytest.raises(TimeoutError, match="mine"):
        await bad


async def test_a_cancelled_waiter_is_forgotten(database: Database, watcher: ChangeWatcher) -> None:
    """A waiter that goes away is no longer evaluated."""
    calls = 0
    evaluated = threading.Event()

    def condition(_: Session) -> int | None:
        nonlocal calls
        calls += 1
        evaluated.set()
        return None

    task = asyncio.create_task(watcher.wait_for(condition, 10))
    assert await asyncio.to_thread(evaluated.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await database.run(use, database)
    await asyncio.sleep(0.1)
    assert calls == 1


async def test_closing_ends_every_wait(watcher: ChangeWatcher) -> None:
    """Close answers waiters with None at once, so that a server can stop."""
    task = asyncio.create_task(watcher.wait_for(used_at_least("s", 1), 30))
    await asyncio.sleep(0.1)
    await watcher.close()
    assert await asyncio.wait_for(task, 1) is None


async def test_a_closed_database_ends_waits_with_its_error(
    database: Database, watcher: ChangeWatcher
) -> None:
    """Waiting on a database that is away raises `DatabaseUnavailable`."""
    database.close()
    with pytest.raises(DatabaseUnavailable):
        await watcher.wait_for(used_at_least("s", 1), 1)
