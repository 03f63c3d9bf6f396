"""The codec server: opens for auditors, for pages of the Temporal UI, and tells of every call."""

import dataclasses
import json
import logging
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from google.protobuf.json_format import MessageToDict
from temporalio.api.common.v1 import Payload

from api.codecaccess import CodecDesk, origin_of
from api.codecserver import MAX_BODY_BYTES, MAX_PAYLOADS, MAX_WORKFLOWS, build_codec_app
from api.limits import RateLimits, Scope
from api.sessionseal import SessionSeal
from engine.keyring import KeyRing
from engine.payloadcodec import Place, seal
from records import audit
from tests.support.apihouse import GENEROUS, House
from tests.support.openidvisits import house_with_provider

UI = "https://temporal.bank.example:8443"
NAMESPACE = "keyfill"
RING = KeyRing.read("k1:" + "00112233445566778899aabbccddeeff" * 2)
FOREIGN = KeyRing.read("k1:" + "ffeeddccbbaa99887766554433221100" * 2)
PLACE = Place.of(NAMESPACE, "loading-request/ATM-0001")
SECRET = Payload(metadata={"encoding": b"json/plain"}, data=b'"what nobody else reads"')


def desk_of(house: House, **changes: Any) -> CodecDesk:
    """The codec server of a house."""
    desk = CodecDesk(
        ring=RING,
        namespace=NAMESPACE,
        database=house.parts.database,
        trust=house.world.trust,
        session_seal=house.parts.session_seal,
        ui_origin=UI,
        limits=RateLimits(GENEROUS),
        clock=lambda: house.world.now,
    )
    return dataclasses.replace(desk, **changes)


@asynccontextmanager
async def codec(desk: CodecDesk, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
    """A page's way to the codec server, by default one of the Temporal UI's."""
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(build_codec_app(desk)),
        base_url="https://codec.bank.example",
        headers={"origin": UI, "x-namespace": NAMESPACE, **headers},
    ) as client:
        yield client


def body(*payloads: Payload) -> dict[str, Any]:
    """What the Temporal UI sends."""
    return {"payloads": [MessageToDict(one) for one in payloads]}


def texts(response: httpx.Response) -> list[str]:
    """The values of the payloads in an answer."""
    return [b64decode(one["data"]).decode() for one in response.json()["payloads"]]


def calls(house: House) -> list[tuple[str | None, dict[str, Any]]]:
    """Who read what, by the audit trail."""
    with house.parts.database.read() as session:
        rows = [row for row in audit.since(session) if row.event == "payloads-read"]
        return [(row.actor, json.loads(row.detail)) for row in rows]


async def test_an_auditor_reads_and_it_is_recorded(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """By bearer token and by cookie; the trail and the log say who read what of which workflow."""
    token = await house.sign_in(house.world.third)
    plain = Payload(metadata={"encoding": b"json/plain"}, data=b'"in clear"')
    sent = body(seal(RING, PLACE, SECRET), plain, seal(FOREIGN, PLACE, SECRET))
    ways = ({"authorization": f"Bearer {token}"}, {"cookie": f"__Host-keyfill_session={token}"})
    for headers in ways:
        with caplog.at_level(logging.INFO, "keyfill.codec"):
            async with codec(desk_of(house), **headers) as client:
                response = await client.post("/decode", json=sent)
        assert response.status_code == 200
        assert response.headers["access-control-allow-origin"] == UI
        assert texts(response) == [
            '"what nobody else reads"',
            '"in clear"',
            '"refused: payload-key-unknown"',
        ]
    detail = {"workflows": [PLACE.workflow_id], "payloads": 3, "refused": 1}
    staff_no = house.world.third.staff_no
    assert calls(house) == [(staff_no, detail)] * 2
    assert caplog.records[0].args == {"reader": staff_no, **detail}
    assert staff_no in caplog.messages[0] and PLACE.workflow_id in caplog.messages[0]
    assert "nobody else" not in caplog.text


async def test_nobody_else_reads(house: House) -> None:
    """Strangers, administrators, ended sessions, other origins, other namespaces: refused."""
    auditor = await house.sign_in(house.world.third)
    administrator = await house.sign_in(house.world.first)
    right = {"authorization": f"Bearer {auditor}"}
    refusals = [
        ({}, 401, "not-authenticated"),
        ({"authorization": "Bearer nonsense"}, 401, "not-authenticated"),
        ({"authorization": "Bearer " + "a" * 200}, 401, "not-authenticated"),
        ({"authorization": f"Bearer {administrator}"}, 403, "not-auditor"),
        ({**right, "origin": "https://temporal.bank.example"}, 403, "wrong-origin"),
        ({**right, "origin": UI.replace("https", "http")}, 403, "wrong-origin"),
        ({**right, "origin": "null"}, 403, "wrong-origin"),
        ({**right, "x-namespace": "default"}, 403, "wrong-namespace"),
    ]
    sent = body(seal(RING, PLACE, SECRET))
    for headers, status, code in refusals:
        async with codec(desk_of(house), **headers) as client:
            response = await client.post("/decode", json=sent)
        assert (response.status_code, response.json()["code"]) == (status, code)
        allowed = response.headers.get("access-control-allow-origin")
        assert allowed == (None if code == "wrong-origin" else UI)
    house.world.pass_time(3600)
    async with codec(desk_of(house), **right) as client:
        assert (await client.post("/decode", json=sent)).status_code == 401
    assert calls(house) == []


async def test_it_only_opens(house: House) -> None:
    """There is no way to have anything sealed, and none to ask with a plain GET."""
    token = await house.sign_in(house.world.third)
    async with codec(desk_of(house), authorization=f"Bearer {token}") as client:
        assert (await client.post("/encode", json=body(SECRET))).status_code == 404
        assert (await client.get("/decode")).status_code == 405


async def test_a_browser_may_ask_before_it_asks(house: House) -> None:
    """The preflight of the UI's pages is answered, that of others is not."""
    async with codec(desk_of(house)) as client:
        allowed = await client.options("/decode")
        other = await client.options("/decode", headers={"origin": "https://evil.example"})
    assert allowed.status_code == 204
    assert allowed.headers["access-control-allow-origin"] == UI
    assert allowed.headers["access-control-allow-credentials"] == "true"
    assert "x-namespace" in allowed.headers["access-control-allow-headers"]
    assert other.status_code == 403
    assert "access-control-allow-origin" not in other.headers


async def test_another_namespace_or_workflow_does_not_open(house: House) -> None:
    """A payload sealed elsewhere is refused by name, even if it claims to be from here."""
    token = await house.sign_in(house.world.third)
    elsewhere = seal(RING, Place.of("default", PLACE.workflow_id), SECRET)
    relabelled = seal(RING, PLACE, SECRET)
    relabelled.metadata["keyfill-workflow"] = b"loading-request/ATM-0002"
    async with codec(desk_of(house), authorization=f"Bearer {token}") as client:
        response = await client.post("/decode", json=body(elsewhere, relabelled))
    assert texts(response) == ['"refused: payload-not-authentic"'] * 2


async def test_bad_bodies_are_refused(house: House) -> None:
    """What is no JSON, no payloads, too many or too much: 400 or 413, and nothing is recorded."""
    token = await house.sign_in(house.world.third)
    many = body(*[Payload(data=b"x")] * (MAX_PAYLOADS + 1))
    bad: list[tuple[bytes, int]] = [
        (b"", 400),
        (b"\xff", 400),
        (b'"text"', 400),
        (b'{"payloads": 1}', 400),
        (b'{"payloads": [{"data": 1}]}', 400),
        (b'{"others": []}', 400),
        (b"[" * 100_000, 400),
        (json.dumps(many).encode(), 413),
        (b" " * (MAX_BODY_BYTES + 1), 413),
    ]
    async with codec(desk_of(house), authorization=f"Bearer {token}") as client:
        for content, status in bad:
            response = await client.post("/decode", content=content)
            assert response.status_code == status, content[:40]
    assert calls(house) == []


async def test_the_trail_names_every_workflow_that_was_read(house: House) -> None:
    """As many as a call may have; a call about more shows nothing of any."""
    token = await house.sign_in(house.world.third)
    places = [Place.of(NAMESPACE, f"workflow-{n:02}") for n in range(MAX_WORKFLOWS + 1)]
    sent = [seal(RING, place, SECRET) for place in places]
    async with codec(desk_of(house), authorization=f"Bearer {token}") as client:
        shown = await client.post("/decode", json=body(*sent[:-1], *sent[:-1]))
        refused = await client.post("/decode", json=body(*sent))
    assert shown.status_code == 200
    assert (refused.status_code, refused.json()["code"]) == (400, "too-many-workflows")
    ((_, detail),) = calls(house)
    assert detail["workflows"] == [place.workflow_id for place in places[:-1]]


async def test_the_rate_is_limited(house: House) -> None:
    """An auditor who reads too fast is told when to go on."""
    token = await house.sign_in(house.world.third)
    limits = RateLimits({**GENEROUS, Scope.CREDENTIAL: "2 per minute"})
    async with codec(desk_of(house, limits=limits), authorization=f"Bearer {token}") as client:
        answers = [await client.post("/decode", json=body()) for _ in range(3)]
    assert [one.status_code for one in answers] == [200, 200, 429]
    assert int(answers[-1].headers["retry-after"]) >= 1


async def test_nothing_is_shown_that_cannot_be_recorded(house: House) -> None:
    """With the audit trail out of reach there is no answer but 503."""
    desk = desk_of(house, readers="anyone")
    house.backstage.database.close()
    async with codec(desk) as client:
        response = await client.post("/decode", json=body(seal(RING, PLACE, SECRET)))
    assert (response.status_code, response.json()["code"]) == (503, "database-unavailable")
    assert "nobody else" not in response.text


async def test_in_development_anyone_reads_and_it_is_recorded(house: House) -> None:
    """The embedded UI signs nobody in: its pages read without a session, others do not."""
    desk = desk_of(house, readers="anyone")
    async with codec(desk) as client:
        shown = await client.post("/decode", json=body(seal(RING, PLACE, SECRET)))
        other = await client.post("/decode", json=body(), headers={"origin": "http://evil.example"})
    assert texts(shown) == ['"what nobody else reads"']
    assert other.status_code == 403
    assert [actor for actor, _ in calls(house)] == [None]


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://127.0.0.1:8233", "http://127.0.0.1:8233"),
        ("https://Temporal.Bank.example/ui/", "https://temporal.bank.example"),
    ],
)
def test_the_origin_is_as_a_browser_names_it(url: str, origin: str) -> None:
    """Scheme, host in lower case and port of the UI's address; its path is no part of it."""
    assert origin_of(url) == origin


@pytest.mark.parametrize("url", ["", "temporal.example", "ftp://temporal.example", "https://"])
def test_what_has_no_origin_is_refused(url: str) -> None:
    """An address that no browser page can have."""
    with pytest.raises(ValueError, match="not a web address"):
        origin_of(url)


async def test_an_auditor_by_openid_connect_reads_too(house: House) -> None:
    """Their session opens it as one by passkey does; an operator's or administrator's does not."""
    sent = body(seal(RING, PLACE, SECRET))
    async with house_with_provider(house) as bank:
        auditor = await bank.session("S7001", "keyfill-auditors")
        others = [
            await bank.session("S7002", "keyfill-operators"),
            await bank.session(house.world.first.staff_no, "keyfill-administrators"),
        ]
    async with codec(desk_of(house), authorization=f"Bearer {auditor}") as client:
        assert texts(await client.post("/decode", json=sent)) == ['"what nobody else reads"']
    for token in others:
        async with codec(desk_of(house), authorization=f"Bearer {token}") as client:
            response = await client.post("/decode", json=sent)
        assert (response.status_code, response.json()["code"]) == (403, "not-auditor")
    foreign = SessionSeal((b"another key, which the API lacks",))
    desk = desk_of(house, session_seal=foreign)
    async with codec(desk, authorization=f"Bearer {auditor}") as client:
        assert (await client.post("/decode", json=sent)).status_code == 401
    assert [actor for actor, _ in calls(house)] == ["S7001"]
