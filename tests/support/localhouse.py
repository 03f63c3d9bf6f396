"""A house on http://localhost, where a real browser's passkeys work, and its people's cookies."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from api.authentication import PLAIN_COOKIE
from ceremony.approvalkeys import ApprovalKeys
from ceremony.enrolment import EnrolmentDraft, link_token_digest, new_link_token, seal_draft
from ceremony.qr import qr_digest, token_of
from ceremony.verification import Verified
from engine.embedded import free_port
from records import enrolments
from records.tables.enrolment_link import EnrolmentLinkRow
from tests.support.apihouse import House, Load, make_world
from tests.support.authenticator import Passkey
from tests.support.browser import Window
from tests.support.identities import ORIGIN, RP_ID, Administrator, passkey_signer
from tests.support.servedapp import served

HOST: Final = "localhost"
AHEAD: Final = 1000
NEW_NUMBER: Final = "+8613800138000"
LINK_SECONDS: Final = 600


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
        await self.apply(load)
        return load

    async def apply(self, load: Load) -> None:
        """Let the first administrator apply, on a device of their own."""
        session = await self.house.sign_in(self.house.world.first)
        assert (await load.ask_code(session)).status_code == 202
        load.application = self.application(load)
        response = await load.send_application(load.application, session)
        assert response.status_code == 200, response.text

    def enrolment_link(self, **fields: Any) -> str:
        """Make a one-time link as `keyfill administrators link` does; gives its URL."""
        said = {
            "person": "person-9",
            "staff_no": "A1009",
            "name": "王小明",
            "roles": ("administrator",),
            "number": NEW_NUMBER,
            "seq": 1,
            "valid_until": self.house.world.now + 86_400,
        }
        token, draft = new_link_token(), EnrolmentDraft(**{**said, **fields})
        row = EnrolmentLinkRow(
            token_digest=link_token_digest(token),
            person=draft.person,
            sealed_draft=seal_draft(token, draft),
            expires_at=self.house.world.now + LINK_SECONDS,
        )
        with self.house.backstage.database.write() as session:
            enrolments.create(session, row)
        return f"{self.origin}/e#{token}"

    def application(self, load: Load) -> Verified[Any]:
        """The application to a request."""
        digest = qr_digest(token_of(load.qr_text, self.origin))
        return self.house.world.application(load.request, qr_digest=digest)


@asynccontextmanager
async def local_house(
    folder: Path, *, approvals: ApprovalKeys = ApprovalKeys.ANY
) -> AsyncIterator[LocalHouse]:
    """Make a house, whose API demands such keys of approvals, and serve it."""
    port = free_port()
    origin = f"http://{HOST}:{port}"
    passkeys = [
        replace(passkey_signer(name), origin=origin, rp_id=HOST) for name in ("first", "second")
    ]
    world = make_world(first=passkeys[0], second=passkeys[1])
    world.trust_file = world.trust_file.replace(ORIGIN, origin).replace(RP_ID, HOST)
    house = House.make(folder, world=world, approvals=approvals)
    try:
        async with served(house.app, port=port):
            yield LocalHouse(house, origin)
    finally:
        await house.close()
