"""Sign-in by OpenID Connect: authorization code with PKCE, and who came back with which roles."""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from joserfc.jwk import KeySet

from api.oidcbegun import Begun, BegunSeal, SignInStale
from api.oidccalls import ProviderCalls
from api.oidcclient import OidcClient
from api.oidcprovider import Provider
from api.oidctokens import KeyNotFound, TokenRefused, verified_claims
from api.roles import RoleName

_STAFF_NO: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}\Z")
"""As in the registry's entries."""
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_MAX_NAME_CHARS: Final = 80


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the provider says somebody is; `roles` are those of their groups, maybe none."""

    staff_no: str
    name: str
    roles: tuple[RoleName, ...]


@dataclass(frozen=True, slots=True)
class Returned:
    """What the provider sends back through the browser (RFC 6749 section 4.1.2, RFC 9207)."""

    code: str = field(repr=False)
    issuer: str | None


class OpenIdConnect:
    """Signs people in at one provider. `clock` gives Unix seconds."""

    def __init__(
        self,
        client: OidcClient,
        session_key: bytes,
        *,
        calls: ProviderCalls | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Nothing is called before somebody signs in."""
        self._client = client
        self._seal = BegunSeal(session_key)
        self._clock = clock
        self._provider = Provider(client, calls or ProviderCalls(), clock)

    @property
    def name(self) -> str:
        """The provider's name, for people."""
        return self._client.name

    async def begin(self, wanted: str) -> tuple[str, str]:
        """Begin a sign-in that leads on to an own path: the provider's URL, and the cookie.

        Raises:
            ProviderFault: if the provider is away.
        """
        begun = Begun.new(wanted, int(self._clock()))
        url = await self._provider.sign_in_url(
            state=begun.state, nonce=begun.nonce, verifier=begun.verifier
        )
        return url, self._seal.seal(begun)

    def begun(self, cookie: str | None, state: str | None) -> Begun:
        """The sign-in that this browser began with this state.

        Raises:
            SignInStale: if there is none.
        """
        return self._seal.open(cookie, state, int(self._clock()))

    async def finish(self, begun: Begun, returned: Returned) -> Identity:
        """Who signed in.

        Raises:
            ProviderFault: if the provider is away.
            SignInStale: `foreign-issuer` if another provider's answer came.
            TokenRefused: if what it gave does not prove who it was.
        """
        discovered = await self._provider.discovered()
        named = returned.issuer
        if (named is not None or discovered.names_issuer) and named != self._client.issuer:
            raise SignInStale("foreign-issuer")
        given = await self._provider.exchange(returned.code, begun.verifier)

        def read(keys: KeySet) -> Mapping[str, Any]:
            return verified_claims(
                given.id_token,
                keys,
                self._client,
                nonce=begun.nonce,
                access_token=given.access_token,
                begun_at=begun.at,
                now=int(self._clock()),
            )

        keys = await self._provider.keys()
        try:
            claims = read(keys)
        except KeyNotFound:
            try:
                claims = read(await self._provider.keys_anew(keys))
            except KeyNotFound:
                raise TokenRefused("id-token-key-unknown") from None
        return identity_of(claims, self._client)


def openid_of(client: OidcClient | None, session_key: bytes) -> OpenIdConnect | None:
    """The sign-in of a deployment; None where it has no provider."""
    return None if client is None else OpenIdConnect(client, session_key)


def identity_of(claims: Mapping[str, Any], client: OidcClient) -> Identity:
    """Who verified claims are about.

    Raises:
        TokenRefused: `staff-number-missing`.
    """
    staff_no = claims.get(client.staff_claim)
    if not isinstance(staff_no, str) or not _STAFF_NO.match(staff_no):
        raise TokenRefused("staff-number-missing")
    name = _printable(claims.get("name")) or staff_no
    return Identity(staff_no, name, client.roles_of(_groups(claims, client)))


def _printable(said: object) -> str:
    """A name without what no database or page takes; JSON can spell halves of characters."""
    text = said.encode("utf-8", "ignore").decode() if isinstance(said, str) else ""
    return _CONTROL.sub("", text)[:_MAX_NAME_CHARS].strip()


def _groups(claims: Mapping[str, Any], client: OidcClient) -> frozenset[str]:
    said = claims.get(client.groups_claim)
    listed = said if isinstance(said, list) else [said]
    return frozenset(one for one in listed if isinstance(one, str) and one)
