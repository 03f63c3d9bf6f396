"""On PostgreSQL, where a call is woken by what concerns it only: a receipt's answer comes last."""

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ceremony.messages import CodeRequest, Opening, Submission
from tests.support.apihouse import House
from tests.support.memoryceremonies import MemoryCeremonies

WAIT_SECONDS = 15


class InBackground:
    """Ceremonies that go on after they were told, as workers of another process do."""

    def __init__(self, inner: MemoryCeremonies) -> None:
        """Bind what goes on."""
        self._inner = inner
        self._running: set[asyncio.Task[None]] = set()

    async def open(self, opening: Opening) -> None:
        """See `api.ceremonies.Ceremonies`."""
        await self._inner.open(opening)

    async def submit(self, signal: str, terminal_no: str, submission: Submission) -> None:
        """See `api.ceremonies.Ceremonies`."""
        task = asyncio.create_task(self._later(signal, terminal_no, submission))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def ask_code(self, terminal_no: str, asked: CodeRequest) -> None:
        """See `api.ceremonies.Ceremonies`."""
        await self._inner.ask_code(terminal_no, asked)

    async def ready(self) -> None:
        """See `api.ceremonies.Ceremonies`."""

    async def key_worker_polls(self) -> bool:
        """See `api.ceremonies.Ceremonies`."""
        return True

    async def _later(self, *told: Any) -> None:
        await asyncio.sleep(0.3)
        await self._inner.submit(*told)


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    """A house on PostgreSQL whose ceremonies go on in the background."""
    monkeypatch.setenv("TEST_DATABASE", "postgresql")
    made = House.make(tmp_path, wait_seconds=WAIT_SECONDS)
    made.parts = dataclasses.replace(made.parts, ceremonies=InBackground(made.ceremonies))
    made.app.state.parts = made.parts
    yield made
    await made.close()


async def test_a_receipt_is_answered_as_soon_as_the_key_is_settled(house: House) -> None:
    """The verdict comes first and says nothing yet; the settlement after it wakes the call."""
    load = await house.open()
    await load.confirm()
    began = time.monotonic()
    await load.receive()
    assert time.monotonic() - began < WAIT_SECONDS - 3
