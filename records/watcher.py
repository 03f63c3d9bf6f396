"""Waiting for the database to change, without polling tables."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlmodel import Session

from records.changes import ChangeProbe, open_probe
from records.database import Database
from records.failures import translated

T = TypeVar("T")


@dataclass(eq=False)
class _Waiter:
    evaluate: Callable[[Session], Any]
    about: tuple[str, ...]
    seen: int
    answer: "asyncio.Future[Any]" = field(repr=False)


class ChangeWatcher:
    """One per process and event loop; evaluates conditions only when something was committed."""

    def __init__(self, database: Database) -> None:
        """Watch `database`; nothing is opened until the first wait."""
        self._database = database
        self._probe: ChangeProbe | None = None
        self._waiters: set[_Waiter] = set()
        self._task: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()
        self._closed = False

    async def wait_for(
        self, fn: Callable[[Session], T | None], timeout: float, *, about: tuple[str, ...] = ()
    ) -> T | None:
        """Return the first result of `fn` that is not None, or None after `timeout` seconds.

        `fn` gets a read session in a worker thread; it is evaluated at once, after every change
        (by this process or another), and once more at the end. It must be quick and may be called
        any number of times. Several waiters share one transaction. `about` names what alone can
        change the result, as whoever changes it says (`records.notices.about`): of other changes
        it is not woken, where the database can tell.

        Raises:
            DatabaseUnavailable: if the database is locked, gone or closed.
            Exception: whatever `fn` raises.
        """
        deadline = asyncio.get_running_loop().time() + timeout
        # The look comes before the evaluation: a commit in between counts as unseen.
        seen = await self._look()
        value: T | None = await self._evaluate(fn)
        remaining = deadline - asyncio.get_running_loop().time()
        if value is not None or remaining <= 0 or self._closed:
            return value
        waiter = _Waiter(fn, about, seen, asyncio.get_running_loop().create_future())
        self._waiters.add(waiter)
        self._start()
        try:
            await asyncio.wait((waiter.answer,), timeout=remaining)
        finally:
            self._waiters.discard(waiter)
            self._nudge()
        if waiter.answer.done():
            answer: T | None = waiter.answer.result()
            return answer
        return await self._evaluate(fn)

    async def close(self) -> None:
        """End every wait with None and stop looking. May be called twice."""
        self._closed = True
        for waiter in self._waiters:
            _settle(waiter, None)
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        if self._probe is not None:
            await self._probe.close()
            self._probe = None

    async def _look(self) -> int:
        if self._probe is None:
            async with self._opening:
                if self._probe is None:
                    self._probe = await open_probe(self._database)
        return self._probe.look()

    async def _evaluate(self, fn: Callable[[Session], T | None]) -> T | None:
        [outcome] = await self._database.run(self._evaluate_all, [fn])
        if isinstance(outcome, _Raised):
            raise outcome.error
        answer: T | None = outcome
        return answer

    def _evaluate_all(self, fns: Sequence[Callable[[Session], Any]]) -> list[Any]:
        outcomes: list[Any] = []
        with self._database.read() as session:
            for fn in fns:
                try:
                    with translated():
                        outcomes.append(fn(session))
                except Exception as error:  # noqa: BLE001 - it is raised in the waiter
                    # One waiter's mistake must not end the others' wait; closing, unlike rolling
                    # back, leaves the rows readable that they were given.
                    session.close()
                    outcomes.append(_Raised(error))
        return outcomes

    def _start(self) -> None:
        self._nudge()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._watch(), name="keyfill-change-watcher")

    def _nudge(self) -> None:
        if self._probe is not None:
            self._probe.nudge()

    async def _watch(self) -> None:
        while self._waiters and self._probe is not None:
            version = self._probe.look()
            stale = [one for one in self._waiters if self._probe.concerns(one.about, one.seen)]
            for waiter in self._waiters:
                waiter.seen = version
            if stale:
                await self._tell(stale)
            await self._probe.pause()

    async def _tell(self, waiters: Sequence[_Waiter]) -> None:
        try:
            outcomes = await self._database.run(
                self._evaluate_all, [waiter.evaluate for waiter in waiters]
            )
        except Exception as error:  # noqa: BLE001 - it is raised in every waiter
            outcomes = [_Raised(error)] * len(waiters)
        for waiter, outcome in zip(waiters, outcomes, strict=True):
            if outcome is not None:
                _settle(waiter, outcome)


@dataclass(frozen=True)
class _Raised:
    error: Exception


def _settle(waiter: _Waiter, outcome: object) -> None:
    if waiter.answer.done():
        return
    if isinstance(outcome, _Raised):
        waiter.answer.set_exception(outcome.error)
    else:
        waiter.answer.set_result(outcome)
