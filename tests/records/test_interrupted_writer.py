"""Threads that are interrupted while they wait to write, as Temporal does at a passed timeout."""

import ctypes
import threading
import time
from collections.abc import Callable

import pytest

from records.database import Database
from records.engines import Limits
from records.failures import DatabaseUnavailable


class Interrupted(Exception):
    """What the waiting thread is interrupted by."""


def interrupt(thread: threading.Thread) -> None:
    """Raise `Interrupted` in a thread, as soon as it runs Python again."""
    assert thread.ident is not None
    raised = ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread.ident), ctypes.py_object(Interrupted)
    )
    assert raised == 1


def waiting(write: Callable[[], None]) -> tuple[threading.Thread, list[type[Exception]]]:
    """Start a thread that waits to write; what it ends by comes into the list."""
    ended: list[type[Exception]] = []

    def run() -> None:
        try:
            write()
        except (Interrupted, DatabaseUnavailable) as error:
            ended.append(type(error))

    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(0.2)
    return thread, ended


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_writer_interrupted_as_it_gets_its_turn_does_not_keep_it(database: Database) -> None:
    """The next one writes: a timeout at a bad moment must not stop all writing for ever."""

    def write() -> None:
        with database.write():
            raise AssertionError("interrupted before")

    with database.write():
        thread, ended = waiting(write)
        interrupt(thread)
    thread.join()
    assert ended == [Interrupted]
    with database.write() as session:
        assert session.in_transaction()


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_writer_that_waited_in_vain_does_not_end_anothers_turn(database_url: str) -> None:
    """Too late is too late for itself alone: whoever writes still writes alone."""
    database = Database(database_url, limits=Limits(lock_ms=50))

    def write() -> None:
        with database.write():
            raise AssertionError("two writers at once")

    with database.write():
        for _ in range(2):
            thread, ended = waiting(write)
            thread.join()
            assert ended == [DatabaseUnavailable]
    database.close()


def test_writing_within_writing_is_still_a_fault(database: Database) -> None:
    """The same thread's second `write` would wait for itself: RuntimeError at once."""
    with database.write(), pytest.raises(RuntimeError), database.write():
        raise AssertionError("nested")
    with database.write() as session:
        assert session.in_transaction()
