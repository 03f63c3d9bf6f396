"""What holds for every call: nothing echoed, too large or too often, and all documented."""

import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from api.authentication import AUTHENTICATORS
from api.bodies import MAX_BODY_BYTES
from api.limits import Scope, network_of
from tests.support.acts import Act
from tests.support.apihouse import House, wire
from tests.support.approutes import dependencies_of, routes_of
from tests.support.identities import jwk_signer

PLANTED = "planted-secret-824193"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/sessions", {"statement": 5, PLANTED: PLANTED}),
        ("/v1/sessions", {"statement": {"typ": PLANTED, "payload": PLANTED + "!"}}),
        ("/v1/sessions", {"statement": PLANTED * 2000}),
        ("/v1/sessions", [PLANTED]),
        ("/v1/applications", {"statement": "a.b.c", "qr_text": "q", "sms_code": PLANTED}),
        ("/v1/applications/document", {"qr_text": PLANTED * 100}),
        (
            "/v1/loading-requests/" + "A" * 24 + "/confirmation",
            {"statement": "a.b.c", "approval_code": PLANTED},
        ),
        ("/v1/enrolments", {"token": PLANTED, "statement": "a.b.c"}),
        ("/v1/enrolments/draft", {"token": PLANTED}),
    ],
)
async def test_a_422_repeats_nothing(
    house: House, caplog: pytest.LogCaptureFixture, path: str, body: Any
) -> None:
    """A body of the wrong form is refused by field and rule; no value reaches answer or log."""
    caplog.set_level(logging.DEBUG)
    session = await house.sign_in(house.world.first)
    response = await house.post(path, body, session=session)
    assert (response.status_code, response.json()["code"]) == (422, "schema")
    assert response.json()["fields"]
    assert PLANTED not in response.text
    assert PLANTED not in caplog.text


@pytest.mark.parametrize(
    "content",
    [b"{", b"\xff\xfe", b'{"statement": ' + b"[" * 30_000, b'{"statement": ' + b"9" * 5000 + b"}"],
)
async def test_what_is_no_json_is_malformed(house: House, content: bytes) -> None:
    """Broken, wrongly encoded, endlessly nested or endless numbers: 400, not a fault."""
    response = await house.client.post(
        "/v1/sessions", content=content, headers={"Content-Type": "application/json"}
    )
    assert (response.status_code, response.json()["code"]) == (400, "malformed")


async def test_a_body_of_another_media_type_is_refused(house: House) -> None:
    """JSON that does not say so is not read: another site's form cannot send it."""
    response = await house.client.post(
        "/v1/sessions", content=b'{"statement": "a.b.c"}', headers={"Content-Type": "text/plain"}
    )
    assert response.status_code == 422


async def in_chunks(total: int) -> AsyncIterator[bytes]:
    """A body that does not say how long it is."""
    yield b'{"statement": "'
    for _ in range(total // 1000):
        yield b"A" * 1000


@pytest.mark.parametrize("path", ["/v1/sessions", "/v1/sms/status", "/v1/enrolments"])
async def test_a_large_body_is_refused_however_it_comes(tmp_path: Path, path: str) -> None:
    """Over 64 KiB: 413, by its announced length or by what was counted."""

    class Nobody:
        """A provider that reads nothing."""

        def read(self, fields: object, signature: str | None) -> Any:
            raise AssertionError

    house = House.make(tmp_path, sms_callbacks=Nobody())
    announced = await house.client.post(path, content=b"A" * (MAX_BODY_BYTES + 1))
    chunked = await house.client.post(
        path,
        content=in_chunks(MAX_BODY_BYTES + 5000),
        headers={"Content-Type": "application/json"},
    )
    for response in (announced, chunked):
        assert (response.status_code, response.json()["code"]) == (413, "body-too-large")
    await house.close()


async def test_a_body_of_the_largest_size_is_read(house: House) -> None:
    """Exactly 64 KiB are still taken in (and here refused for what they say)."""
    body = json.dumps({"statement": "A" * 100}).encode()
    response = await house.client.post(
        "/v1/sessions",
        content=body + b" " * (MAX_BODY_BYTES - len(body)),
        headers={"Content-Type": "application/json"},
    )
    assert response.json()["code"] == "malformed"


async def test_an_unforeseen_error_says_and_logs_nothing_of_the_caller(
    house: House, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of ours is a bare 500; the log names its type and place, not its message."""

    async def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError(PLANTED)

    monkeypatch.setattr(house.ceremonies, "open", fail)
    response = await house.post("/v1/loading-requests", {"statement": house.request().text})
    assert response.status_code == 500
    assert response.json() == {
        "type": "urn:keyfill:problem:internal-error",
        "title": "Internal error",
        "status": 500,
        "code": "internal-error",
    }
    assert "RuntimeError" in caplog.text and "statements.py" in caplog.text
    assert PLANTED not in caplog.text


@pytest.mark.parametrize(("path", "status"), [("/nowhere", 404), ("/v1/challenges/", 404)])
async def test_an_unknown_path_is_a_problem_document(house: House, path: str, status: int) -> None:
    """The framework's own refusals are problem documents too."""
    response = await house.client.post(path)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    wrong = await house.client.put("/v1/challenges")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method-not-allowed")
    assert wrong.headers["allow"] == "POST"


# rate limits


@pytest_asyncio.fixture
async def strict_house(tmp_path: Path) -> AsyncIterator[Callable[[Scope, int], House]]:
    """Makes a house in which one scope allows so many calls a minute."""
    made: list[House] = []

    def make(scope: Scope, calls: int) -> House:
        rates = dict.fromkeys(Scope, "100000 per minute") | {scope: f"{calls} per minute"}
        made.append(House.make(tmp_path, rates=rates))
        return made[-1]

    yield make
    for house in made:
        await house.close()


def assert_limited(response: Any) -> None:
    """429 with a Retry-After of at most a minute."""
    assert (response.status_code, response.json()["code"]) == (429, "too-many-requests")
    assert 1 <= int(response.headers["retry-after"]) <= 60


async def test_an_address_is_limited(strict_house: Callable[[Scope, int], House]) -> None:
    """Too many calls from one address, of whatever kind: 429."""
    house = strict_house(Scope.ADDRESS, 3)
    for _ in range(3):
        assert (await house.post("/v1/challenges", None)).status_code == 200
    assert_limited(await house.post("/v1/challenges", None))
    assert_limited(await house.get("/a"))


async def test_a_terminal_is_limited(strict_house: Callable[[Scope, int], House]) -> None:
    """Too many statements of one terminal: 429 for it, and not for another."""
    house = strict_house(Scope.TERMINAL, 1)
    await house.open()
    assert_limited(await house.post("/v1/loading-requests", {"statement": house.request().text}))
    await house.open(house.request(about=house.world.other))


@pytest.mark.parametrize(("scope", "calls"), [(Scope.CREDENTIAL, 1), (Scope.LOGINS, 1)])
async def test_a_credential_is_limited(
    strict_house: Callable[[Scope, int], House], scope: Scope, calls: int
) -> None:
    """Too many logins or calls of one credential: 429 for it, and not for another."""
    house = strict_house(scope, calls)
    await house.sign_in(house.world.first)
    login = house.world.login(challenge=house.challenge())
    assert_limited(await house.post("/v1/sessions", {"statement": wire(login)}))
    await house.sign_in(house.world.second)


async def test_asking_for_codes_is_limited(strict_house: Callable[[Scope, int], House]) -> None:
    """Too many requests for SMS codes by one credential: 429 before anything is looked at."""
    house = strict_house(Scope.SMS_CODES, 2)
    load = await house.open()
    session = await house.sign_in(house.world.first)
    assert [(await load.ask_code(session)).status_code for _ in range(2)] == [202, 202]
    assert_limited(await load.ask_code(session))


@pytest.mark.parametrize("scope", [Scope.AUDITED, Scope.AUDITED_ALL])
async def test_strangers_cannot_fill_the_audit_trail(
    strict_house: Callable[[Scope, int], House], scope: Scope
) -> None:
    """Refusals over the audited rate are counted, no longer written; the honest still get by."""
    house = strict_house(scope, 2)
    act = await Act.ready(house, "cancellation")
    forged = act.statement(signer=jwk_signer("stranger"))
    assert [(await act.send(forged)).status_code for _ in range(4)] == [401] * 4
    assert len(house.events("statement-refused")) == 2
    assert "keyfill_refusals_unaudited_total 2.0" in (await house.get("/metrics")).text
    assert (await act.send(act.statement())).status_code == 200


@pytest.mark.parametrize("scope", [Scope.AUDITED, Scope.AUDITED_ALL])
async def test_strangers_do_not_hide_what_an_enrolled_key_was_refused(
    strict_house: Callable[[Scope, int], House], scope: Scope
) -> None:
    """However much junk came before from the same address: a refused signer is in the trail."""
    house = strict_house(scope, 2)
    act = await Act.ready(house, "login")
    forged = act.statement(signer=jwk_signer("stranger"))
    for _ in range(4):
        await act.send(forged)
    login = act.statement()
    assert [(await act.send(login)).status_code for _ in range(2)] == [201, 401]
    assert [one.reason for one in house.events("statement-refused")][2:] == ["replayed"]


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("testclient", "unknown"),
        (None, "unknown"),
    ],
)
def test_an_ipv6_network_counts_as_one_address(host: str | None, network: str) -> None:
    """Whoever has an IPv6 network has 2^64 addresses: they count as one."""
    assert network_of(host) == network


# metrics and OpenAPI


async def test_metrics_name_routes_and_never_ids(house: House) -> None:
    """Calls are counted by route template; no id, person or terminal becomes a label."""
    load = await house.open()
    await house.get(load.path, session=load.opened["status_token"])
    await house.client.get(f"/{PLANTED}")
    text = (await house.get("/metrics")).text
    counted = 'keyfill_http_requests_total{method="GET",route="/v1/loading-requests/{request_id}"'
    assert counted in text
    assert 'keyfill_statements_total{kind="request",outcome="answered"} 1.0' in text
    assert load.id not in text and "ATM-0001" not in text and PLANTED not in text


async def test_every_route_names_its_authenticator(house: House) -> None:
    """No route is without one of the authenticators, whatever else it depends on."""
    found = list(routes_of(house.app))
    assert len(found) > 20
    for route in found:
        assert dependencies_of(route) & AUTHENTICATORS, route.path


async def test_the_openapi_document_is_complete(house: House) -> None:
    """Every call has summary, description, tag and problems with examples; every field a type."""
    document = (await house.client.get("/openapi.json")).json()
    schemes = set(document["components"]["securitySchemes"])
    assert schemes == {"session", "sessionCookie", "statusToken"}
    tags = {tag["name"] for tag in document["tags"]}
    operations = [
        (f"{method} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    assert len({operation["operationId"] for _, operation in operations}) == len(operations)
    for name, operation in operations:
        assert operation["summary"] and operation["description"], name
        assert set(operation["tags"]) <= tags, name
        assert {"429", "500"} <= set(operation["responses"]), name
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                [(media_type, content)] = response["content"].items()
                assert media_type == "application/problem+json", (name, status)
                assert content["examples"], (name, status)
    assert "Problem" in document["components"]["schemas"]


async def test_every_reference_in_the_openapi_document_resolves(house: House) -> None:
    """No `$ref` points at a schema that is not there."""
    document = (await house.client.get("/openapi.json")).json()

    def references(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                yield value["$ref"]
            for inner in value.values():
                yield from references(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from references(inner)

    for reference in set(references(document)):
        target: Any = document
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]
