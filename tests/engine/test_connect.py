"""Connecting waits for a server that comes up, and says plainly what is wrong."""

import asyncio
import time
from datetime import timedelta
from pathlib import Path

import pytest

from engine.client import TemporalTarget, TemporalUnavailable, Unavailability, check, connect
from engine.embedded import LOOPBACK, EmbeddedOptions, EmbeddedServer, free_port


async def test_connect_waits_for_a_server_that_comes_up(tmp_path: Path) -> None:
    """A connection asked for before the server runs is made as soon as it does."""
    port = free_port()
    connecting = asyncio.create_task(connect(TemporalTarget(f"{LOOPBACK}:{port}")))
    await asyncio.sleep(0.2)
    assert not connecting.done()
    options = EmbeddedOptions(log_file=tmp_path / "log", port=port, headless=True)
    async with await EmbeddedServer.start(options):
        client = await connecting
        await check(client)


async def test_connect_gives_up_with_a_typed_error() -> None:
    """Nothing listens: the error names address and reason, and comes when the time is over."""
    target = TemporalTarget(f"{LOOPBACK}:{free_port()}")
    started = time.monotonic()
    with pytest.raises(TemporalUnavailable) as error:
        await connect(target, wait=timedelta(seconds=0.5))
    assert error.value.reason is Unavailability.UNREACHABLE
    assert error.value.target == target
    assert target.address in str(error.value)
    assert time.monotonic() - started < 5


async def test_unknown_namespace_is_its_own_reason(server: EmbeddedServer) -> None:
    """A server without the namespace is not called unreachable."""
    target = TemporalTarget(server.target.address, "elsewhere")
    with pytest.raises(TemporalUnavailable) as error:
        await connect(target, wait=timedelta(0))
    assert error.value.reason is Unavailability.NAMESPACE_UNKNOWN


async def test_check_notices_that_the_server_is_gone(server: EmbeddedServer) -> None:
    """The readiness probe of a connected client fails, in its time, once the server has ended."""
    client = await connect(server.target, identity="probe")
    await check(client)
    await server.stop()
    started = time.monotonic()
    with pytest.raises(TemporalUnavailable) as error:
        await check(client, timeout=timedelta(seconds=1))
    assert error.value.reason is Unavailability.UNREACHABLE
    assert time.monotonic() - started < 3
