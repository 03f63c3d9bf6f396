"""The second administrator at the review page, and what the house sees of it."""

import re
from dataclasses import dataclass
from typing import Final

from playwright.async_api import Page, expect

from ceremony.stages import Stage
from ceremony.statements import Kind
from records import submissions
from records.tables.submission import SubmissionRow
from tests.support.apihouse import Load
from tests.support.browser import Authenticator, Window
from tests.support.localhouse import LocalHouse

QUESTION: Final = "Load a new key into ATM-0001?"
DECISION: Final = re.compile(r"/v1/reviews/[^/]+/decision$")
"""Where the page sends what was signed."""
WITHOUT_NETWORK: Final = "There is no connection."


@dataclass
class Reviewer:
    """The second administrator with a phone, before an application that awaits review."""

    local: LocalHouse
    phone: Window
    key: Authenticator
    load: Load

    @classmethod
    async def open(cls, local: LocalHouse, phone: Window) -> "Reviewer":
        """Let somebody apply, open the document on the phone, and bring the passkey."""
        load = await local.applied()
        await local.visit(phone, local.house.world.second, f"/r/{load.id}")
        key: Authenticator = await local.bring_passkey(phone, local.house.world.second)
        reviewer = cls(local, phone, key, load)
        await reviewer.is_told(QUESTION)
        return reviewer

    @property
    def page(self) -> Page:
        """The phone's first tab."""
        return self.phone.page

    @property
    def decisions(self) -> list[SubmissionRow]:
        """The decisions on record about the request."""
        with self.local.house.backstage.database.read() as session:
            received = submissions.of_request(session, self.load.id)
        return [one for one in received if one.kind is Kind.DECISION]

    @property
    def stage(self) -> Stage:
        """Where the request stands."""
        return self.local.house.backstage.row(self.load.id).stage

    async def approve(self) -> None:
        """Press the button."""
        await self.page.get_by_role("button", name="Approve and sign").click()

    async def reject(self, reason: str, words: str = "") -> None:
        """Reject with a reason."""
        await self.page.get_by_role("button", name="Reject …").click()
        await self.page.get_by_label("Why do you reject?").select_option(label=reason)
        await self.page.get_by_label("In your own words").fill(words)
        await self.page.get_by_role("button", name="Sign and reject").click()

    async def is_told(self, heading: str, *, within: float | None = None) -> None:
        """Wait for a heading, milliseconds if not as long as Playwright waits by itself."""
        await expect(self.page.get_by_role("heading", name=heading)).to_be_visible(timeout=within)

    async def reads(self, text: str, *, within: float | None = None) -> None:
        """Wait for a text, milliseconds if not as long as Playwright waits by itself."""
        await expect(self.page.get_by_text(text)).to_be_visible(timeout=within)
