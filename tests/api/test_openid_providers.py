"""A provider that is away, slow or wrong: 503, and passkeys go on."""

from collections.abc import Callable
from typing import Any

from starlette.responses import PlainTextResponse, RedirectResponse, Response

from api.oidcclient import MAX_ANSWER_BYTES
from tests.support.apihouse import House
from tests.support.markup import Markup
from tests.support.openidvisits import (
    AUDITORS,
    OpenIdHouse,
    house_with_provider,
)


async def unavailable(bank: OpenIdHouse) -> None:
    """Beginning is a 503 with a page; passkeys go on."""
    response = await bank.login()
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) >= 1
    assert "or use a passkey" in response.text
    assert Markup(response.text).faults == []
    await bank.house.sign_in(bank.house.world.second)


DISCOVERY = "/.well-known/openid-configuration"
DOCUMENTS: list[dict[str, Any]] = [
    {"issuer": "https://evil.example"},
    {"issuer": None},
    {"authorization_endpoint": "http://evil.example/authorize"},
    {"token_endpoint": "http://10.0.0.1/token"},
    {"jwks_uri": "file:///etc/passwd"},
    {"jwks_uri": None},
    {"response_types_supported": ["id_token"]},
    {"code_challenge_methods_supported": ["plain"]},
    {"id_token_signing_alg_values_supported": ["HS256", "none"]},
    {"token_endpoint_auth_methods_supported": ["private_key_jwt"]},
]


async def test_a_provider_that_says_what_cannot_be_used_is_not_used(bank: OpenIdHouse) -> None:
    """Another issuer, endpoints without TLS, no code flow, no PKCE, symmetric algorithms only."""
    for document in DOCUMENTS:
        bank.provider.document = document
        assert (await bank.login()).status_code == 503, document
    await unavailable(bank)
    bank.provider.document = {}
    assert (await bank.login()).status_code == 303


BAD_ANSWERS: list[Callable[[], Response]] = [
    lambda: PlainTextResponse("x" * (MAX_ANSWER_BYTES + 1)),
    lambda: PlainTextResponse("no JSON"),
    lambda: PlainTextResponse("[]"),
    lambda: PlainTextResponse('{"issuer": "a", "issuer": "b"}'),
    lambda: PlainTextResponse("fault", 500),
    lambda: PlainTextResponse("gone", 404),
    lambda: RedirectResponse("/elsewhere"),
]


async def test_a_provider_that_answers_wrongly_is_away(bank: OpenIdHouse) -> None:
    """Too large, no JSON, ambiguous, a fault, a redirect: 503 at each of its three places."""
    for answer in BAD_ANSWERS:
        bank.provider.fails = {DISCOVERY: answer()}
        assert (await bank.login()).status_code == 503
    await unavailable(bank)
    bank.provider.fails = {}
    bank.are("S7001", AUDITORS)
    for path in ("/token", "/keys"):
        bank.provider.fails = {path: BAD_ANSWERS[0]()}
        assert (await bank.whole_way()).status_code == 503
        bank.provider.fails = {path: BAD_ANSWERS[4]()}
        response = await bank.whole_way()
        assert response.status_code == 503
        assert "code-" not in response.text
    bank.provider.fails = {}
    assert (await bank.whole_way()).status_code == 200
    assert bank.refusals() == []


async def test_a_slow_provider_holds_nobody_up(house: House) -> None:
    """The whole call is bounded, and others are served meanwhile."""
    async with house_with_provider(house, seconds=0.2) as bank:
        bank.provider.sleeps = {DISCOVERY: 5}
        await unavailable(bank)


async def test_a_provider_that_is_away_leaves_passkeys_alone(house: House) -> None:
    """Nobody listens there any more."""
    async with house_with_provider(house) as bank:
        pass
    await unavailable(bank)
