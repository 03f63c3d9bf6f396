"""Server-sent events: what is sent and never twice, who may follow, and how a stream ends."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import fastapi.routing
import fastapi.sse
import httpx
import pytest
import pytest_asyncio

from api.routes import updates
from api.streams import PER_HOLDER, Streams
from records import credentialentries, sessions
from tests.support.apihouse import House, Load, wire
from tests.support.servedapp import served

REVIEWS = "/v1/reviews/updates"


@dataclass
class Follower:
    """One open stream; reads it as the HTML standard says (section 9.2.6)."""

    response: httpx.Response
    lines: AsyncIterator[str]
    comments: int = 0
    retry: int | None = None
    ids: list[str] = field(default_factory=list)

    async def event(self, within: float = 5) -> tuple[str, Any] | None:
        """The next event's name and data; None at the end of the stream."""
        return await asyncio.wait_for(self._event(), within)

    async def _event(self) -> tuple[str, Any] | None:
        name, data = "message", ""
        async for line in self.lines:
            if not line and data:
                return name, json.loads(data)
            if line.startswith(":"):
                self.comments += 1
            match line.partition(": ")[::2]:
                case ("data", value):
                    data += value
                case ("event", value):
                    name = value
                case ("id", value):
                    self.ids.append(value)
                case ("retry", value):
                    self.retry = int(value)
        return None


@dataclass
class Served:
    """A house behind a real server."""

    house: House
    client: httpx.AsyncClient

    @asynccontextmanager
    async def follow(
        self, path: str, token: str, *, last: str | None = None, **query: Any
    ) -> AsyncIterator[Follower]:
        """Open a stream."""
        headers = {"Authorization": f"Bearer {token}"}
        if last is not None:
            headers["Last-Event-ID"] = last
        async with self.client.stream("GET", path, headers=headers, params=query) as response:
            if response.status_code >= 400:
                await response.aread()
            yield Follower(response, response.aiter_lines())


@pytest_asyncio.fixture
async def at(house: House) -> AsyncIterator[Served]:
    """The house, served."""
    async with (
        served(house.app) as url,
        httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as client,
    ):
        yield Served(house, client)


async def until(true: Any, within: float = 5) -> None:
    """Wait until something is true."""
    ends = time.monotonic() + within
    while not true():
        assert time.monotonic() < ends
        await asyncio.sleep(0.01)


async def reject(house: House, load: Load) -> None:
    """Bring a request from AWAITING_REVIEW to its end."""
    session = await house.sign_in(house.world.second)
    assert load.application is not None
    decision = house.world.decision(load.application, decision="reject", reason_code="other")
    response = await house.post(
        f"/v1/reviews/{load.id}/decision", {"statement": wire(decision)}, session=session
    )
    assert response.status_code == 200, response.text


async def test_each_change_is_sent_once_until_the_end(at: Served) -> None:
    """The present stage at once, every further version once, in order; then `end`, and no more."""
    load = await at.house.open()
    async with at.follow(load.path + "/updates", load.opened["status_token"]) as stream:
        assert stream.response.headers["content-type"].startswith("text/event-stream")
        assert stream.response.headers["cache-control"] == "no-store"
        told = await stream.event()
        status = (await at.house.get(load.path, session=load.opened["status_token"])).json()
        del status["qr"], status["qr_digest"]
        assert told == ("message", status)
        assert (status["stage"], status["version"]) == ("AWAITING_APPLICATION", 1)
        await load.apply()
        told = await stream.event()
        assert told is not None and told[1]["stage"] == "AWAITING_REVIEW"
        await reject(at.house, load)
        told = await stream.event()
        assert told is not None
        assert (told[1]["stage"], told[1]["reason"]) == ("REJECTED", "rejected")
        assert await stream.event() == ("end", {"reason": "final"})
        assert await stream.event() is None
        assert [int(one) for one in stream.ids] == sorted({int(one) for one in stream.ids})
        assert stream.retry == updates.RECONNECT_MS


@pytest.mark.parametrize("by", ["header", "query"])
async def test_a_lost_connection_goes_on_where_it_was(at: Served, by: str) -> None:
    """What the last event's id covers is not sent again; what came meanwhile is, at once."""
    load = await at.house.open()
    token, path = load.opened["status_token"], load.path + "/updates"
    seen: dict[str, Any] = {"last": "1"} if by == "header" else {"after": 1}
    async with at.follow(path, token, **seen) as stream:
        with pytest.raises(TimeoutError):
            await stream.event(within=0.3)
    await load.apply()
    async with at.follow(path, token, **seen) as stream:
        told = await stream.event()
        assert told is not None and told[1]["version"] == 2
    await reject(at.house, load)
    async with at.follow(path, token, last="3") as stream:
        assert await stream.event() == ("end", {"reason": "final"})
        assert await stream.event() is None


async def test_both_administrators_follow_and_never_see_the_qr_code(at: Served) -> None:
    """A session of the request's administrators follows; an auditor's or a stranger's does not."""
    load = await at.house.open()
    world, path = at.house.world, load.path + "/updates"
    for who in (world.first, world.second):
        async with at.follow(path, await at.house.sign_in(who)) as stream:
            told = await stream.event()
            assert told is not None and "qr" not in told[1] and "qr_digest" not in told[1]
    auditor = await at.house.sign_in(world.third)
    answers = []
    for one in (path, path.replace(load.id, "A" * 24), path.replace(load.id, "no-id")):
        async with at.follow(one, auditor) as stream:
            answers.append((stream.response.status_code, stream.response.content))
    assert answers[0][0] == 404
    assert len(set(answers)) == 1


@pytest.mark.parametrize("path", ["{}/updates", REVIEWS, "{}/events/updates"])
async def test_nobody_follows_without_a_token(at: Served, path: str) -> None:
    """No token, and a token of nothing: 401."""
    load = await at.house.open()
    response = await at.client.get(path.format(load.path))
    assert response.status_code == 401
    async with at.follow(path.format(load.path), "A" * 43) as stream:
        assert stream.response.status_code == 401


@pytest.mark.parametrize("last", ["x", "-1", "1.5", str(2**32)])
async def test_a_malformed_last_event_id_is_refused(at: Served, last: str) -> None:
    """An id that no event of ours had: 422, which is not repeated by a browser."""
    load = await at.house.open()
    async with at.follow(load.path + "/updates", load.opened["status_token"], last=last) as stream:
        assert (stream.response.status_code, stream.response.json()["code"]) == (422, "schema")


async def test_the_reviews_are_sent_whenever_they_differ(at: Served) -> None:
    """The list at once, again when a request enters or leaves it, and not when another moves."""
    second = await at.house.sign_in(at.house.world.second)
    async with at.follow(REVIEWS, second) as stream:
        assert await stream.event() == ("message", {"reviews": []})
        load = await at.house.open()
        with pytest.raises(TimeoutError):
            await stream.event(within=0.3)
    async with at.follow(REVIEWS, second, last=stream.ids[-1]) as stream:
        await load.apply()
        told = await stream.event()
        assert told is not None
        [review] = told[1]["reviews"]
        assert review["request_id"] == load.id
        response = await at.house.get("/v1/reviews", session=second)
        assert response.json() == told[1]
        await reject(at.house, load)
        assert await stream.event() == ("message", {"reviews": []})


async def test_an_auditor_follows_a_timeline(at: Served) -> None:
    """Each event of the audit trail once, in order; nobody but an auditor, nothing unknown."""
    load = await at.house.open()
    path = load.path + "/events/updates"
    auditor = await at.house.sign_in(at.house.world.third)
    async with at.follow(path, auditor) as stream:
        told = await stream.event()
        assert told is not None and told[1]["event"] == "request-accepted"
        await load.apply()
        for name in ("sms-code-asked", "application-accepted"):
            told = await stream.event()
            assert told is not None and told[1]["event"] == name
    listed = (await at.house.get(load.path + "/events", session=auditor)).json()["events"]
    assert stream.ids == [str(one["id"]) for one in listed]
    async with at.follow(path, auditor, after=int(stream.ids[1])) as stream:
        told = await stream.event()
        assert told is not None and told[1]["event"] == "application-accepted"
    async with at.follow(path, await at.house.sign_in(at.house.world.first)) as stream:
        assert (stream.response.status_code, stream.response.json()["code"]) == (403, "not-auditor")
    async with at.follow(path.replace(load.id, "A" * 24), auditor) as stream:
        assert stream.response.status_code == 404


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
        cancellation = at.house.world.cancellation(load.request)
        await at.house.post(f"{load.path}/cancellation", {"statement": wire(cancellation)})
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
