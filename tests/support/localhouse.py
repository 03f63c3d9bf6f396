"""A house on http://localhost, where a real browser's passkeys work, and its people's cookies."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from api.authentication import PLAIN_COOKIE
from ceremony.qr import qr_digest, token_of
from ceremony.verification import Verified
from engine.embedded import free_port
from tests.support.apihouse import House, Load, make_world
from tests.support.authenticator import Passkey
from tests.support.browser import Window
from tests.support.identities import ORIGIN, RP_ID, Administrator, passkey_signer
from tests.support.servedapp import served

HOST: Final = "localhost"
AHEAD: Final = 1000


@dataclass
class LocalHouse:
    """A house behind a real server at `origin`; both administrators have passkeys."""

    house: House
    origin: str

    async def visit(self, window: Window, who: Administrator, path: str) -> None:
        """Open a page as someone who has signed in."""
        token = await self.house.sign_in(who)
        await window.context.add_cookies(
            [{"name": PLAIN_COOKIE, "value": token, "url": self.origin, "httpOnly": True}]
        )
        await window.page.goto(path)

    async def bring_passkey(self, window: Window, who: Administrator) -> Any:
        """Put someone's passkey into the window; gives the virtual authenticator.

        From then on only the window signs as them: its counter is ahead.
        """
        authenticator = await window.authenticator()
        assert isinstance(who.signer, Passkey)
        await authenticator.add(replace(who.signer, count=who.signer.count + AHEAD))
        return authenticator

    async def applied(self, **fields: Any) -> Load:
        """A loading request that awaits review; `fields` are the terminal's request's."""
        load = await self.house.open(self.house.request(**fields))
        session = await self.house.sign_in(self.house.world.first)
        assert (await load.ask_code(session)).status_code == 202
        load.application = self.application(load)
        response = await load.send_application(load.application, session)
        assert response.status_code == 200, response.text
        return load

    def application(self, load: Load) -> Verified[Any]:
        """The application to a request."""
        digest = qr_digest(token_of(load.qr_text, self.origin))
        return self.house.world.application(load.request, qr_digest=digest)


@asynccontextmanager
async def local_house(folder: Path) -> AsyncIterator[LocalHouse]:
    """Make a house and serve it."""
    port = free_port()
    origin = f"http://{HOST}:{port}"
    passkeys = [
        replace(passkey_signer(name), origin=origin, rp_id=HOST) for name in ("first", "second")
    ]
    world = make_world(first=passkeys[0], second=passkeys[1])
    world.trust_file = world.trust_file.replace(ORIGIN, origin).replace(RP_ID, HOST)
    house = House.make(folder, world=world)
    try:
        async with served(house.app, port=port):
            yield LocalHouse(house, origin)
    finally:
        await house.close()
