"""The embedded server starts, keeps its data, stops, and is never somebody else's."""

import asyncio
import contextlib
import socket
import stat
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from engine.client import TemporalUnavailable, connect
from engine.embedded import LOOPBACK, EmbeddedOptions, EmbeddedServer, PortTaken, free_port
from engine.processes import ProcessEnded, ProcessNotReady
from engine.searchattributes import register_missing


def _executable(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o700)
    return path


async def test_server_with_web_ui_answers_and_stops_cleanly(tmp_path: Path) -> None:
    """Started on free ports, server and Web UI answer; stopped, it ends with 0 and is gone."""
    server = await EmbeddedServer.start(EmbeddedOptions(log_file=tmp_path / "log"))
    try:
        client = await connect(server.target, wait=timedelta(0))
        assert await client.service_client.check_health()
        assert server.ui_url is not None
        async with httpx.AsyncClient() as http:
            assert (await http.get(server.ui_url)).status_code == 200
    finally:
        ended = await server.stop()
    assert ended.code == 0
    with pytest.raises(TemporalUnavailable):
        await connect(server.target, wait=timedelta(0))


async def test_search_attributes_are_there_from_the_start(server: EmbeddedServer) -> None:
    """Nothing is missing on a fresh embedded server."""
    assert await register_missing(await connect(server.target)) == []


async def test_workflows_survive_a_restart_on_other_ports(tmp_path: Path) -> None:
    """A database file keeps workflows over a stop and a kill, and only its owner can read it."""
    options = EmbeddedOptions(
        log_file=tmp_path / "log", database=tmp_path / "temporal.db", headless=True
    )
    async with await EmbeddedServer.start(options) as server:
        client = await connect(server.target)
        await client.start_workflow("Nobody", id="kept", task_queue="none")
    async with await EmbeddedServer.start(options) as server:
        client = await connect(server.target)
        assert (await client.get_workflow_handle("kept").describe()).id == "kept"
        await server.stop(grace=timedelta(0))
    async with await EmbeddedServer.start(options) as server:
        client = await connect(server.target)
        assert (await client.get_workflow_handle("kept").describe()).id == "kept"
        assert await register_missing(client) == []
    assert stat.S_IMODE((tmp_path / "temporal.db").stat().st_mode) == 0o600


async def test_namespace_is_made(tmp_path: Path) -> None:
    """Another namespace than the default one exists, with the search attributes, when it starts."""
    options = EmbeddedOptions(log_file=tmp_path / "log", headless=True, namespace="keyfill-test")
    async with await EmbeddedServer.start(options) as server:
        client = await connect(server.target, wait=timedelta(0))
        assert client.namespace == "keyfill-test"
        assert await register_missing(client) == []


async def test_given_port_that_is_taken_is_refused(server: EmbeddedServer, tmp_path: Path) -> None:
    """A server that runs already on the wanted port is not taken for ours."""
    port = int(server.target.address.rpartition(":")[2])
    with pytest.raises(PortTaken) as refused:
        await EmbeddedServer.start(EmbeddedOptions(log_file=tmp_path / "log", port=port))
    assert refused.value.port == port


async def test_foreign_server_that_takes_the_port_is_not_ours(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    """If a real server answers on the port but our child never said it serves, we do not start."""
    port = int(server.target.address.rpartition(":")[2])
    silent = _executable(tmp_path / "silent", "exec sleep 60")
    options = EmbeddedOptions(
        log_file=tmp_path / "log",
        port=port,
        executable=silent,
        ready_within=timedelta(seconds=0.3),
    )
    with pytest.MonkeyPatch.context() as patch, pytest.raises(ProcessNotReady):
        # The window between our look at the port and the child's bind.
        patch.setattr("engine.embedded._is_free", lambda _: True)
        await EmbeddedServer.start(options)


async def test_lost_race_for_a_given_port_is_an_error(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    """The real program ends if it cannot have the port, and its own words are kept."""
    port = int(server.target.address.rpartition(":")[2])
    with pytest.MonkeyPatch.context() as patch, pytest.raises(ProcessEnded) as error:
        patch.setattr("engine.embedded._is_free", lambda _: True)
        await EmbeddedServer.start(
            EmbeddedOptions(log_file=tmp_path / "log", headless=True, port=port)
        )
    assert "address already in use" in error.value.log_tail


async def test_lost_race_for_a_free_port_is_tried_again(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    """If a port that was free is taken when the child binds it, another one is chosen."""
    choices = [int(server.target.address.rpartition(":")[2]), free_port()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("engine.embedded.free_port", lambda but=None: choices.pop(0))
        options = EmbeddedOptions(log_file=tmp_path / "log", headless=True, ui_port=1)
        patch.setattr("engine.embedded._is_free", lambda _: True)
        async with await EmbeddedServer.start(options) as other:
            assert other.target.address != server.target.address
    assert choices == []


async def test_dead_child_is_told_at_once_with_its_words(tmp_path: Path) -> None:
    """A program that ends at once is an error with its exit code and output, not a timeout."""
    broken = _executable(tmp_path / "broken", "echo no such flag >&2; exit 3")
    with pytest.raises(ProcessEnded) as error:
        await EmbeddedServer.start(EmbeddedOptions(log_file=tmp_path / "log", executable=broken))
    assert error.value.ended.code == 3
    assert "no such flag" in error.value.log_tail


async def test_cancelled_start_leaves_nothing_running(tmp_path: Path) -> None:
    """Cancelling a start (Ctrl-C) stops the child before the cancellation goes on."""
    mark = tmp_path / "ended"
    slow = _executable(
        tmp_path / "slow",
        f"trap 'touch {mark}; exit 0' TERM; echo up; while :; do sleep 0.05; done",
    )
    log = tmp_path / "log"
    start = asyncio.create_task(
        EmbeddedServer.start(EmbeddedOptions(log_file=log, executable=slow))
    )
    while not log.exists() or "up" not in log.read_text():  # noqa: ASYNC110 -- another process
        await asyncio.sleep(0.02)
    start.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await start
    assert mark.exists()


def test_free_port_avoids_the_reserved_one() -> None:
    """A chosen port can be bound."""
    port = free_port()
    with socket.socket() as bound:
        bound.bind((LOOPBACK, port))
        assert free_port(but=port) != port
