"""Streams of server-sent events: how they end, how many there may be, and what they cost."""

import asyncio
import time
from typing import Any

import fastapi.routing
import fastapi.sse
import httpx
import pytest

from api.routes import updates
from api.streams import PER_HOLDER, Streams
from records import credentialentries, sessions
from records.entryrows import pending_credential_row
from tests.support.apihouse import House
from tests.support.followers import Follower, Served
from tests.support.servedapp import served


async def until(true: Any, within: float = 5) -> None:
    """Wait until something is true."""
    ends = time.monotonic() + within
    while not true():
        assert time.monotonic() < ends
        await asyncio.sleep(0.01)


async def test_signing_out_ends_the_stream(at: Served) -> None:
    """The stream of a session that was ended says so at once, and nothing after it."""
    load = await at.house.open()
    session = await at.house.sign_in(at.house.world.first)
    async with at.follow(load.path + "/updates", session) as stream:
        await stream.event()
        await at.house.client.delete("/v1/sessions", headers={"Authorization": f"Bearer {session}"})
        assert await stream.event() == ("end", {"reason": "signed-out"})
        assert await stream.event() is None


async def test_an_expired_session_ends_the_stream(
    at: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if nothing changes in the database: the session is looked at again in a while."""
    monkeypatch.setattr(updates, "RECHECK_SECONDS", 0.1)
    load = await at.house.open()
    session = await at.house.sign_in(at.house.world.first)
    async with at.follow(load.path + "/updates", session) as stream:
        await stream.event()
        at.house.world.pass_time(1_801)
        assert await stream.event() == ("end", {"reason": "signed-out"})


async def test_a_revoked_administrator_is_sent_nothing_more(at: Served) -> None:
    """A credential that is no longer in force sees no further change, though its session stands."""
    load = await at.house.open()
    session = await at.house.sign_in(at.house.world.first)
    async with at.follow(load.path + "/updates", session) as stream:
        await stream.event()
        with at.house.backstage.database.write() as database:
            digest = at.house.world.standing().first.digest
            credentialentries.revoke_credential(database, digest, now=at.house.world.now)
        await load.cancel()
        assert await stream.event() == ("end", {"reason": "signed-out"})


async def test_who_is_no_auditor_any_more_is_sent_nothing_more(at: Served) -> None:
    """A new entry of the same key takes the role away, though credential and session stand."""
    house, world = at.house, at.house.world
    load = await house.open()
    session = await house.sign_in(world.third)
    async with at.follow(load.path + "/events/updates", session) as stream:
        await stream.event()
        envelope = world.credential_entry(world.third, roles=("administrator",), seq=world.seq + 1)
        entry = pending_credential_row(world.read_credential(envelope), now=world.now)
        with house.backstage.database.write() as database:
            credentialentries.put_credential_entry(database, entry)
            assert credentialentries.activate_credential(database, entry.digest)
        await load.cancel()
        assert await stream.event() == ("end", {"reason": "signed-out"})


async def test_streams_at_once_are_capped(at: Served) -> None:
    """One more than a person may have: 429 with Retry-After; a closed one makes room."""
    load = await at.house.open()
    first = await at.house.sign_in(at.house.world.first)
    second = await at.house.sign_in(at.house.world.second)
    path = load.path + "/updates"
    opened = [at.follow(path, first) for _ in range(PER_HOLDER)]
    kept = [await one.__aenter__() for one in opened]
    for follower in kept:
        await follower.event()
    async with at.follow(path, first) as stream:
        refused = stream.response
        assert (refused.status_code, refused.json()["code"]) == (429, "too-many-requests")
        assert int(refused.headers["retry-after"]) >= 1
    for token in (second, load.opened["status_token"]):
        async with at.follow(path, token) as stream:
            assert stream.response.status_code == 200
    await opened.pop().__aexit__(None, None, None)
    await until(lambda: at.house.parts.streams.count() < PER_HOLDER)
    async with at.follow(path, first) as stream:
        assert stream.response.status_code == 200
    for one in opened:
        await one.__aexit__(None, None, None)


async def test_a_stream_that_nobody_reads_is_given_up(at: Served) -> None:
    """When the client goes, its place and its wait go too."""
    load = await at.house.open()
    async with at.follow(load.path + "/updates", load.opened["status_token"]) as stream:
        await stream.event()
        assert at.house.parts.streams.count() == 1
    await until(lambda: at.house.parts.streams.count() == 0)


async def test_an_idle_stream_is_kept_alive(at: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Comments go out while nothing happens, so that no proxy takes the connection for dead."""
    assert fastapi.sse._PING_INTERVAL == updates.RECHECK_SECONDS
    monkeypatch.setattr(fastapi.routing, "_PING_INTERVAL", 0.05)
    load = await at.house.open()
    async with at.follow(load.path + "/updates", load.opened["status_token"]) as stream:
        await stream.event()
        with pytest.raises(TimeoutError):
            await stream.event(within=0.5)
        assert stream.comments >= 3


async def test_a_server_that_stops_ends_its_streams(house: House) -> None:
    """Stopping takes moments with streams open; the client sees an end without a reason."""
    load = await house.open()
    async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
        async with served(house.app) as url:
            stream = client.stream(
                "GET",
                f"{url}{load.path}/updates",
                headers={"Authorization": f"Bearer {load.opened['status_token']}"},
            )
            response = await stream.__aenter__()
            follower = Follower(response, response.aiter_lines())
            await follower.event()
            began = time.monotonic()
        assert time.monotonic() - began < 3
        assert await follower.event() is None
        await stream.__aexit__(None, None, None)


async def test_a_database_that_goes_ends_the_stream(
    at: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client is cut off cleanly, and finds out by its next call what is away."""
    monkeypatch.setattr(updates, "RECHECK_SECONDS", 0.2)
    load = await at.house.open()
    async with at.follow(load.path + "/updates", load.opened["status_token"]) as stream:
        await stream.event()
        await asyncio.to_thread(at.house.parts.database.close)
        assert await stream.event() is None


async def test_one_change_asks_the_database_once_for_all(
    at: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Watchers share one look: the number of transactions does not grow with them."""
    load = await at.house.open()
    looks: list[int] = []
    plain = at.house.parts.watcher._evaluate_all

    def counted(fns: Any) -> Any:
        looks.append(len(fns))
        return plain(fns)

    token = load.opened["status_token"]
    opened = [at.follow(load.path + "/updates", token) for _ in range(6)]
    streams = [await one.__aenter__() for one in opened]
    for one in streams:
        await one.event()
    await asyncio.sleep(0.2)
    monkeypatch.setattr(at.house.parts.watcher, "_evaluate_all", counted)
    await asyncio.sleep(0.3)
    assert looks == []
    with at.house.backstage.database.write() as database:
        sessions.purge_expired(database, at.house.world.now)
    await asyncio.sleep(0.3)
    assert looks == [] or looks == [6]
    for entered in opened:
        await entered.__aexit__(None, None, None)


async def test_stopped_streams_admit_and_end() -> None:
    """A wait ends when streams should stop, and its own task is not left behind."""
    streams = Streams()
    waiting = asyncio.create_task(streams.unless_stopping(asyncio.sleep(60, "late")))
    await asyncio.sleep(0)
    streams.stop()
    assert await asyncio.wait_for(waiting, 1) is None
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == 1
