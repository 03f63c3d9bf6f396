"""The OpenID provider: its own description, its keys and its token endpoint.

Nothing is called before somebody signs in, and what was fetched is kept for an hour. A token that
names an unknown key has the keys fetched once more, at most once a minute, so that a rotation at
the provider is followed and nobody can make us call it as often as they like. One fetches at a
time; who waited while that failed shares the failure, so that many before a provider that hangs
are all told after one time-out.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote_plus

import httpx
from authlib.oauth2.auth import ClientAuth  # type: ignore[import-untyped]
from authlib.oauth2.rfc6749.parameters import (  # type: ignore[import-untyped]
    prepare_grant_uri,
    prepare_token_request,
)
from authlib.oauth2.rfc7636 import create_s256_code_challenge  # type: ignore[import-untyped]
from joserfc.jwk import KeySet

from api.oidccalls import ProviderCalls
from api.oidcclient import BASIC, Discovered, OidcClient, ProviderFault, read_discovery
from api.oidctokens import TokenRefused, read_keys

KEPT_SECONDS: Final = 3_600
ANEW_SECONDS: Final = 60
_MAX_TOKEN_CHARS: Final = 32_768


@dataclass(frozen=True, slots=True)
class Exchanged:
    """What the provider gave for a code."""

    id_token: str = field(repr=False)
    access_token: str | None = field(repr=False)


class Provider:
    """One provider, as one client of it sees it. `clock` gives Unix seconds."""

    def __init__(
        self, client: OidcClient, calls: ProviderCalls, clock: Callable[[], float]
    ) -> None:
        """Nothing is called yet."""
        self._client = client
        self._calls = calls
        self._clock = clock
        self._turn = asyncio.Lock()
        self._document: tuple[float, Discovered] | None = None
        self._keys: tuple[float, KeySet] | None = None
        self._anew_at = float("-inf")
        self._fault: ProviderFault | None = None

    async def discovered(self) -> Discovered:
        """What it says of itself.

        Raises:
            ProviderFault: if it is away, or says what cannot be used.
        """
        last = self._fault
        async with self._turn:
            if self._document is None or self._is_old(self._document[0]):
                document = await self._fetch(self._client.discovery_url, last)
                self._document = self._clock(), read_discovery(document, self._client)
            return self._document[1]

    async def keys(self) -> KeySet:
        """Its keys.

        Raises:
            ProviderFault: if it is away, or has none that can be used.
        """
        uri, last = (await self.discovered()).jwks_uri, self._fault
        async with self._turn:
            if self._keys is None or self._is_old(self._keys[0]):
                await self._fetch_keys(uri, last)
            return self._known_keys()

    async def keys_anew(self, known: KeySet) -> KeySet:
        """Its keys once more, as a token named one that is not in `known`.

        Raises:
            ProviderFault: as `keys`.
            TokenRefused: `id-token-key-unknown` if they were fetched anew a moment ago.
        """
        uri = (await self.discovered()).jwks_uri
        async with self._turn:
            held = self._known_keys()
            if held is not known:
                return held
            if self._clock() - self._anew_at < ANEW_SECONDS:
                raise TokenRefused("id-token-key-unknown")
            self._anew_at = self._clock()
            await self._fetch_keys(uri, self._fault)
            return self._known_keys()

    async def sign_in_url(self, *, state: str, nonce: str, verifier: str) -> str:
        """Where a browser goes to sign in (RFC 6749 section 4.1.1, RFC 7636 section 4.3).

        Raises:
            ProviderFault: as `discovered`.
        """
        client = self._client
        url: str = prepare_grant_uri(
            (await self.discovered()).authorization_endpoint,
            client_id=client.client_id,
            response_type="code",
            redirect_uri=client.redirect_uri,
            scope=client.scopes,
            state=state,
            nonce=nonce,
            code_challenge=create_s256_code_challenge(verifier),
            code_challenge_method="S256",
        )
        return url

    async def exchange(self, code: str, verifier: str) -> Exchanged:
        """Give the code and its verifier for tokens (RFC 6749 section 4.1.3).

        Raises:
            ProviderFault: if the provider is away.
            TokenRefused: `code-refused`, or `id-token-missing`.
        """
        client, discovered = self._client, await self.discovered()
        named, secret = client.client_id, client.client_secret
        if secret is not None and discovered.token_auth == BASIC:
            # Authlib leaves out that both are form-encoded first (RFC 6749 section 2.3.1).
            named, secret = quote_plus(named), quote_plus(secret)
        auth = ClientAuth(named, secret, discovered.token_auth)
        url, headers, body = auth.prepare(
            "POST",
            discovered.token_endpoint,
            {"Content-Type": "application/x-www-form-urlencoded"},
            prepare_token_request(
                "authorization_code",
                redirect_uri=client.redirect_uri,
                code=code,
                code_verifier=verifier,
            ),
        )
        status, answer = await self._calls.post(url, headers, body)
        if status != httpx.codes.OK or "error" in answer:
            raise TokenRefused("code-refused")
        return _exchanged(answer)

    async def _fetch(self, url: str, last: ProviderFault | None) -> Mapping[str, Any]:
        """Fetch in one's turn; `last` is the last fault of which one knew before waiting for it."""
        if self._fault is not None and self._fault is not last:
            raise ProviderFault(f"{self._fault}")
        try:
            return await self._calls.get(url)
        except ProviderFault as fault:
            self._fault = ProviderFault(f"{fault}")
            raise

    async def _fetch_keys(self, uri: str, last: ProviderFault | None) -> None:
        self._keys = self._clock(), read_keys(await self._fetch(uri, last))

    def _known_keys(self) -> KeySet:
        if self._keys is None:
            raise ProviderFault("keys-unusable")
        return self._keys[1]

    def _is_old(self, fetched_at: float) -> bool:
        return self._clock() - fetched_at > KEPT_SECONDS


def _exchanged(answer: Mapping[str, Any]) -> Exchanged:
    id_token, access_token = answer.get("id_token"), answer.get("access_token")
    if not isinstance(id_token, str) or len(id_token) > _MAX_TOKEN_CHARS:
        raise TokenRefused("id-token-missing")
    return Exchanged(id_token, access_token if isinstance(access_token, str) else None)
