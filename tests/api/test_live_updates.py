"""Server-sent events: what is sent, never twice, and who may follow."""

from typing import Any

import pytest

from api.routes import updates
from tests.support.followers import Served

REVIEWS = "/v1/reviews/updates"
REJECTED = {"decision": "reject", "reason_code": "other"}


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
        await load.decide(**REJECTED)
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
    await load.decide(**REJECTED)
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
        await load.decide(**REJECTED)
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
