"""A provider that is slow or odd, or out of reach by our own settings, and what is made of it."""

import asyncio
import os
from collections.abc import Mapping
from typing import Any

import pytest

from api.oidccalls import ProviderCalls
from api.oidcclient import OidcClient, ProviderFault, read_discovery
from api.oidcprovider import Provider
from tests.support.apihouse import House
from tests.support.openidvisits import house_with_provider

ISSUER = "https://sso.bank.example"
CLIENT = OidcClient(ISSUER, "keyfill", None, "https://keyfill.example/oidc/callback", "staff", {})
DOCUMENT = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/authorize",
    "token_endpoint": f"{ISSUER}/token",
    "jwks_uri": f"{ISSUER}/keys",
}


@pytest.mark.parametrize(
    "url",
    [
        "https://sso.bank.example/\ud800",
        "https://sso.bank.example/ü",
        "https://sso bank.example/",
        "https://sso.bank.example/\r\nSet-Cookie: a=b",
        "https://sso.bank.example\\@evil.example/",
        "https://sso.bank.example:99999/",
        "https://sso.bank.example:x/",
        "https://[sso/",
    ],
)
def test_an_endpoint_that_is_no_address_is_unusable(url: str) -> None:
    """Found while its description is read, not by whoever calls it or is led there."""
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
        with pytest.raises(ProviderFault, match="endpoint-unusable"):
            read_discovery({**DOCUMENT, name: url}, CLIENT)


async def test_a_host_that_has_no_name_is_unreachable() -> None:
    """What only the HTTP client finds out of an address is the provider's fault all the same."""
    with pytest.raises(ProviderFault, match="unreachable"):
        await ProviderCalls(seconds=1).get("https://xn--/keys")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SSL_CERT_FILE", "/nowhere/authorities.pem"),
        ("SSL_CERT_FILE", os.devnull),
        ("HTTPS_PROXY", "ftp://proxy.bank.example"),
        ("HTTPS_PROXY", "socks5://proxy.bank.example"),
    ],
)
async def test_a_proxy_or_authority_that_cannot_be_used_is_told(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """Settings of the way there, documented beside the others, that nothing else reads."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ProviderFault, match="way-unusable"):
        await ProviderCalls(seconds=1).get(f"{ISSUER}/keys")


async def test_who_waits_while_a_call_fails_shares_the_failure() -> None:
    """Of many at once one calls a provider that hangs; nobody waits for everybody's time-outs."""

    class Hanging(ProviderCalls):
        asked = 0

        async def get(self, url: str) -> Mapping[str, Any]:
            self.asked += 1
            await asyncio.sleep(0.01)
            raise ProviderFault("timeout")

    calls = Hanging()
    provider = Provider(CLIENT, calls, lambda: 0.0)
    for times in (1, 2):
        met = await asyncio.gather(
            *(provider.discovered() for _ in range(5)), return_exceptions=True
        )
        assert [f"{one}" for one in met if isinstance(one, ProviderFault)] == ["timeout"] * 5
        assert calls.asked == times


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
async def test_a_client_secret_may_be_any_text(house: House, method: str) -> None:
    """Encoded as a form before it is a user name and password (RFC 6749, section 2.3.1)."""
    secret = "a b+c%2Fd:é€&=" + "x" * 16
    async with house_with_provider(house, client_secret=secret) as bank:
        bank.provider.secret = secret
        bank.provider.document = {"token_endpoint_auth_methods_supported": [method]}
        await bank.session("S7001", "keyfill-auditors")
