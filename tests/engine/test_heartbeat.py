"""A worker's sign of life: fresh while all is well, old as soon as it is not."""

import asyncio
import os
from pathlib import Path

import pytest

from engine.client import TemporalTarget, TemporalUnavailable, Unavailability
from engine.heartbeat import beating

SOON = 0.02
AWAY = TemporalUnavailable(TemporalTarget("nowhere:1"), Unavailability.UNREACHABLE)


class Health:
    """A check with a state."""

    def __init__(self) -> None:
        """All is well."""
        self.well = True
        self.checks = 0

    async def check(self) -> None:
        """Say how it is."""
        self.checks += 1
        if not self.well:
            raise AWAY

    async def checked(self, more: int = 2) -> None:
        """Wait for further checks."""
        enough = self.checks + more
        async with asyncio.timeout(5):
            while self.checks < enough:  # noqa: ASYNC110
                await asyncio.sleep(SOON)


def _age(file: Path) -> None:
    os.utime(file, (0, 0))


async def test_the_file_is_touched_while_all_is_well(tmp_path: Path) -> None:
    """It comes at once, is renewed, and stays old while Temporal is away, until it is back."""
    file, health = tmp_path / "alive", Health()
    async with beating(file, health.check, SOON):
        await health.checked()
        _age(file)
        await health.checked()
        assert file.stat().st_mtime > 0
        health.well = False
        await health.checked()
        _age(file)
        await health.checked()
        assert file.stat().st_mtime == 0
        health.well = True
        await health.checked()
        assert file.stat().st_mtime > 0


async def test_it_ends_with_what_it_tells_of(tmp_path: Path) -> None:
    """After the worker has gone nothing is touched any more."""
    file, health = tmp_path / "alive", Health()
    async with beating(file, health.check, SOON):
        await health.checked()
    _age(file)
    await asyncio.sleep(5 * SOON)
    assert file.stat().st_mtime == 0


async def test_a_file_that_cannot_be_touched_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A wrong path does not stop the worker; the log names it."""
    health = Health()
    async with beating(tmp_path / "missing" / "alive", health.check, SOON):
        await health.checked()
    assert "missing/alive" in caplog.text


async def test_without_a_file_nothing_is_checked() -> None:
    """Where nobody looks, nothing runs."""
    health = Health()
    async with beating(None, health.check, SOON):
        await asyncio.sleep(3 * SOON)
    assert health.checks == 0
