"""People with browsers who sign in to a house by OpenID Connect."""

import dataclasses
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import httpx

from api.authentication import SECURE_COOKIE
from api.oidc import OpenIdConnect
from api.oidccalls import ProviderCalls
from api.oidcclient import CALLBACK_PATH, OidcClient
from api.roles import RoleName
from api.routes.oidc import LOGIN_PATH
from api.routes.oidc import SECURE_COOKIE as BEGUN_COOKIE
from tests.support.apihouse import SESSION_KEY, House
from tests.support.identities import ORIGIN
from tests.support.openidprovider import CLIENT_ID, CLIENT_SECRET, OpenIdProvider, provided
from tests.support.visits import HTML

AUDITORS: Final = "keyfill-auditors"
OPERATORS: Final = "keyfill-operators"
ADMINISTRATORS: Final = "keyfill-administrators"
GROUPS: Final[dict[RoleName, frozenset[str]]] = {
    "administrator": frozenset({ADMINISTRATORS}),
    "operator": frozenset({OPERATORS, "CN=Operations,OU=ATM"}),
    "auditor": frozenset({AUDITORS}),
}
BROWSER: Final = {**HTML, "Sec-Fetch-Site": "same-origin"}


@dataclass(frozen=True)
class Begun:
    """A sign-in under way: the browser's cookie, and where the provider waits for it."""

    cookie: str
    location: str

    @property
    def asked(self) -> dict[str, str]:
        """What the provider is asked."""
        return {name: said[0] for name, said in parse_qs(urlsplit(self.location).query).items()}


@dataclass
class OpenIdHouse:
    """A house with a provider."""

    house: House
    provider: OpenIdProvider

    @classmethod
    def of(
        cls,
        house: House,
        provider: OpenIdProvider,
        *,
        seconds: float = 10.0,
        **client: Any,
    ) -> "OpenIdHouse":
        """Let a house know a provider; `client` is what differs of the client."""
        agreed = OidcClient(
            **{
                "issuer": provider.issuer,
                "client_id": CLIENT_ID,
                "client_secret": CLIENT_SECRET,
                "redirect_uri": f"{ORIGIN}{CALLBACK_PATH}",
                "staff_claim": "staff_no",
                "groups": GROUPS,
                "name": "Bank Sign-in",
                "allow_http": True,
                **client,
            }
        )
        openid = OpenIdConnect(
            agreed,
            SESSION_KEY,
            calls=ProviderCalls(seconds=seconds),
            clock=lambda: house.world.now,
        )
        house.parts = dataclasses.replace(house.parts, openid=openid)
        house.app.state.parts = house.parts
        return cls(house, provider)

    def are(self, staff_no: str, *groups: str, **claims: Any) -> None:
        """Say who sits at the browser."""
        self.provider.who = {"staff_no": staff_no, "groups": [*groups], **claims}

    async def login(self, **query: str) -> httpx.Response:
        """Press the button of the sign-in page."""
        response = await self.house.client.get(LOGIN_PATH, params=query, headers=BROWSER)
        self.house.client.cookies.clear()
        return response

    async def begin(self, **query: str) -> Begun:
        """Press the button, and be led to the provider."""
        response = await self.login(**query)
        assert response.status_code == 303, response.text
        cookie = response.headers["set-cookie"].partition(";")[0].partition("=")[2]
        return Begun(cookie, response.headers["location"])

    def signed_in_there(self, begun: Begun) -> dict[str, str]:
        """Sign in at the provider; gives what it sends back."""
        location = self.provider.authorize(begun.asked)
        assert location.startswith(f"{ORIGIN}{CALLBACK_PATH}?")
        return {name: said[0] for name, said in parse_qs(urlsplit(location).query).items()}

    async def back(self, answer: Mapping[str, str] | str, cookie: str | None) -> httpx.Response:
        """Come back from the provider, as a browser is sent."""
        headers = {**HTML, "Sec-Fetch-Site": "cross-site"}
        if cookie is not None:
            headers["Cookie"] = f"{BEGUN_COOKIE}={cookie}"
        response = await self.house.client.get(CALLBACK_PATH, params=answer, headers=headers)
        self.house.client.cookies.clear()
        return response

    async def whole_way(self, **query: str) -> httpx.Response:
        """Begin, sign in, come back."""
        begun = await self.begin(**query)
        return await self.back(self.signed_in_there(begun), begun.cookie)

    async def session(self, staff_no: str, *groups: str, **claims: Any) -> str:
        """Sign someone in; gives the session token."""
        self.are(staff_no, *groups, **claims)
        response = await self.whole_way()
        assert response.status_code == 200, response.text
        return session_of(response)

    def refusals(self) -> list[tuple[str | None, str | None]]:
        """Who was refused and why, by the audit trail."""
        return [(one.actor, one.reason) for one in self.house.events("sign-in-refused")]


def session_of(response: httpx.Response) -> str:
    """The session that came as a cookie."""
    cookies = response.headers.get_list("set-cookie")
    [token] = [
        one.partition(";")[0].partition("=")[2] for one in cookies if one.startswith(SECURE_COOKIE)
    ]
    return str(token)


@asynccontextmanager
async def house_with_provider(house: House, **client: Any) -> AsyncIterator[OpenIdHouse]:
    """A house whose provider is a real server."""
    async with provided(lambda: house.world.now) as provider:
        yield OpenIdHouse.of(house, provider, **client)
