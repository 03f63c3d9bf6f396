"""ID tokens that prove nothing, and keys that are none of the provider's: nobody is signed in."""

import json
from collections.abc import Callable
from typing import Any

from joserfc import jws

from api.oidcprovider import ANEW_SECONDS
from ceremony.encoding import b64url, from_b64url
from tests.support.openidprovider import ec_key, rsa_key, under_public_key, unsigned
from tests.support.openidvisits import (
    ADMINISTRATORS,
    AUDITORS,
    OpenIdHouse,
)


def _turned(token: str) -> str:
    """The token with one bit of its signature turned."""
    head, _, signature = token.rpartition(".")
    return f"{head}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"


def _swapped(token: str) -> str:
    """The token's signature over other claims."""
    head, claims, signature = token.split(".")
    said = json.loads(from_b64url(claims)) | {"groups": [AUDITORS, ADMINISTRATORS]}
    return f"{head}.{b64url(json.dumps(said).encode())}.{signature}"


def _headed(header: str) -> Callable[[str], str]:
    """The same claims under another header."""
    return lambda token: f"{b64url(header.encode())}.{token.partition('.')[2]}"


def _twofold(token: str) -> str:
    """Signed, and with two lists of groups: readers may differ about which counts."""
    said = from_b64url(token.split(".")[1])[:-1] + b',"groups":[]}'
    return jws.serialize_compact({"alg": "ES256", "kid": "first"}, said, ec_key("first"))


TOKENS: list[tuple[str, dict[str, Any]]] = [
    ("id-token-iss", {"claims": {"iss": "https://evil.example"}}),
    ("id-token-iss", {"claims": {"iss": None}}),
    ("id-token-aud", {"claims": {"aud": "another"}}),
    ("id-token-aud", {"claims": {"aud": None}}),
    ("id-token-azp", {"claims": {"aud": ["keyfill", "another"]}}),
    ("id-token-azp", {"claims": {"azp": "another"}}),
    ("id-token-nonce", {"claims": {"nonce": "another"}}),
    ("id-token-nonce", {"claims": {"nonce": None}}),
    ("id-token-exp", {"claims": {"exp": None}}),
    ("id-token-exp", {"claims": {"exp": "9999999999"}}),
    ("id-token-iat", {"claims": {"iat": None}}),
    ("id-token-sub", {"claims": {"sub": None}}),
    ("id-token-at-hash", {"claims": {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}}),
    ("id-token-key-unknown", {"header": {"kid": "nobodys"}}),
    ("id-token-signature", {"spoil": _turned}),
    ("id-token-signature", {"spoil": _swapped}),
    ("id-token-signature", {"spoil": lambda _: "no token"}),
    ("id-token-algorithm", {"spoil": unsigned}),
    ("id-token-signature", {"spoil": _headed('"alg"')}),
    ("id-token-signature", {"spoil": _headed('["alg"]')}),
    ("id-token-signature", {"spoil": _headed('{"alg": "ES256", "kid": "first", "crit": 5}')}),
    ("id-token-malformed", {"spoil": _twofold}),
    ("id-token-malformed", {"claims": {"deep": [[[[[[[[1]]]]]]]]}}),
    ("id-token-malformed", {"claims": {"at_hash": {"a": 1}}}),
    ("id-token-missing", {"answer": {"id_token": None}}),
    ("staff-number-missing", {"claims": {"staff_no": None}}),
    ("staff-number-missing", {"claims": {"staff_no": "A 1"}}),
    ("staff-number-missing", {"claims": {"staff_no": ["S7001"]}}),
    ("code-refused", {"answer": {"error": "invalid_grant"}}),
]


async def test_what_proves_nothing_signs_nobody_in(bank: OpenIdHouse) -> None:
    """Issuer, audience, azp, nonce, times, key, signature, algorithm, staff number: each refused.

    The page says no more than that; the audit trail says why.
    """
    bank.are("S7001", AUDITORS)
    plain = {"claims": {}, "header": {}, "answer": {}, "spoil": lambda token: token}
    for reason, changed in TOKENS:
        for name, value in {**plain, **changed}.items():
            setattr(bank.provider, name, value)
        response = await bank.whole_way()
        assert response.status_code == 403, (reason, changed)
        assert bank.refusals()[-1] == (None, reason), changed
        assert "The sign-in was not accepted." in response.text
        assert reason not in response.text
        assert "set-cookie" not in response.headers
    assert bank.house.events("session-opened") == []
    for name, value in plain.items():
        setattr(bank.provider, name, value)
    assert (await bank.whole_way()).status_code == 200


async def test_the_times_of_a_token_are_bounded(bank: OpenIdHouse) -> None:
    """Expired, not yet issued, or older than the sign-in: refused beyond a minute's difference."""
    bank.are("S7001", AUDITORS)
    now = bank.house.world.now
    for claims, reason in (
        ({"exp": now - 61}, "id-token-exp"),
        ({"iat": now + 62}, "id-token-iat"),
        ({"nbf": now + 62}, "id-token-nbf"),
        ({"iat": now - 61}, "id-token-iat"),
    ):
        bank.provider.claims = claims
        assert (await bank.whole_way()).status_code == 403, claims
        assert bank.refusals()[-1] == (None, reason)
    for claims in ({"exp": now - 59}, {"iat": now + 60}, {"iat": now - 60}):
        bank.provider.claims = claims
        assert (await bank.whole_way()).status_code == 200, claims


async def test_a_public_key_is_no_shared_secret(bank: OpenIdHouse) -> None:
    """HS256 with the provider's public RSA key as the secret, the classic confusion: refused."""
    bank.provider.keys, bank.provider.algorithm = [rsa_key("rsa")], "RS256"
    bank.provider.spoil = under_public_key(rsa_key("rsa"))
    bank.are("S7001", AUDITORS)
    assert (await bank.whole_way()).status_code == 403
    assert bank.refusals() == [(None, "id-token-algorithm")]


async def test_a_key_of_another_kind_or_set_does_not_sign(bank: OpenIdHouse) -> None:
    """Another key under a known key's id, and an algorithm that is not the key's: refused."""
    await bank.session("S7001", AUDITORS)
    bank.provider.keys = [ec_key("foreign")]
    bank.provider.header = {"kid": "first"}
    assert (await bank.whole_way()).status_code == 403
    assert bank.refusals()[-1] == (None, "id-token-signature")
    bank.provider.keys, bank.provider.algorithm = [rsa_key("rsa")], "RS256"
    assert (await bank.whole_way()).status_code == 403
    assert bank.refusals()[-1] == (None, "id-token-signature")


async def test_a_rotation_at_the_provider_is_followed_and_not_at_anyones_pace(
    bank: OpenIdHouse,
) -> None:
    """An unknown key id has the keys fetched once more, and again only after a minute."""

    def fetched() -> int:
        return bank.provider.calls.count("/keys")

    await bank.session("S7001", AUDITORS)
    await bank.session("S7001", AUDITORS)
    assert fetched() == 1
    bank.provider.keys = [ec_key("second"), ec_key("first")]
    await bank.session("S7001", AUDITORS)
    assert fetched() == 2
    bank.provider.header = {"kid": "nobodys"}
    for _ in range(3):
        assert (await bank.whole_way()).status_code == 403
    assert fetched() == 2
    bank.house.world.pass_time(ANEW_SECONDS)
    for _ in range(3):
        assert (await bank.whole_way()).status_code == 403
    assert fetched() == 3
    bank.provider.header = {}
    await bank.session("S7001", AUDITORS)
    assert bank.provider.calls.count("/.well-known/openid-configuration") == 1
