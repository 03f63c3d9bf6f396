"""Watching a loading request: long polls, who may look, and what a stranger is told."""

import asyncio

import pytest

from tests.support.acts import Act
from tests.support.apihouse import House


async def test_a_long_poll_answers_with_the_next_change(house: House) -> None:
    """A GET with `after` waits until the version is newer, and not longer."""
    load = await house.open()
    token = load.opened["status_token"]
    now = (await house.get(load.path, session=token)).json()
    poll = asyncio.create_task(house.get(load.path, session=token, after=now["version"], wait=20))
    await asyncio.sleep(0.1)
    assert not poll.done()
    await load.apply()
    later = (await asyncio.wait_for(poll, 5)).json()
    assert later["version"] > now["version"]
    assert later["stage"] == "AWAITING_REVIEW"


async def test_a_long_poll_that_sees_no_change_answers_with_what_there_is(house: House) -> None:
    """When the time is up the answer is the present one, with the code to show now."""
    load = await house.open()
    token = load.opened["status_token"]
    response = await house.get(load.path, session=token, after=99, wait=0.1)
    assert response.json()["stage"] == "AWAITING_APPLICATION"
    assert response.json()["qr"]["expires_at"] == load.opened["qr"]["expires_at"]


@pytest.mark.parametrize("query", [{"wait": 31}, {"wait": -1}, {"after": -1}, {"after": "x"}])
async def test_a_poll_has_bounds(house: House, query: dict[str, object]) -> None:
    """A wait over thirty seconds, or no number: 422."""
    load = await house.open()
    token = load.opened["status_token"]
    response = await house.get(load.path, session=token, **query)
    assert (response.status_code, response.json()["code"]) == (422, "schema")


async def test_both_administrators_watch_without_the_qr_code(house: House) -> None:
    """A session of the request's administrators sees stage, version and reason; never the code."""
    load = await house.open()
    for who in (house.world.first, house.world.second):
        session = await house.sign_in(who)
        response = await house.get(load.path, session=session)
        seen = response.json()
        assert (seen["request_id"], seen["stage"]) == (load.id, "AWAITING_APPLICATION")
        assert (seen["version"], seen["reason"]) == (1, None)
        assert not {"qr", "qr_digest"} & set(seen)


async def test_unknown_and_foreign_requests_look_the_same(house: House) -> None:
    """Whoever has no part in a request is answered as if it did not exist, in every call."""
    act = await Act.ready(house, "decision")
    auditor = await house.sign_in(house.world.third)
    first = await house.sign_in(house.world.first)
    pairs = [
        (f"/v1/loading-requests/{act.load.id}", auditor),
        (f"/v1/reviews/{act.load.id}", first),
    ]
    for path, session in pairs:
        foreign = await house.get(path, session=session)
        unknown = await house.get(path.replace(act.load.id, "A" * 24), session=session)
        odd = await house.get(path.replace(act.load.id, "no-id"), session=session)
        assert foreign.status_code == 404
        assert foreign.content == unknown.content == odd.content


async def test_a_status_token_reads_its_own_request_only(house: House) -> None:
    """The status token of one request is nothing to another, nor to any other call."""
    load = await house.open()
    other = await house.open(house.request(about=house.world.other))
    response = await house.get(other.path, session=load.opened["status_token"])
    assert response.status_code == 401
    response = await house.get("/v1/reviews", session=load.opened["status_token"])
    assert response.status_code == 401
