"""The first administrator at the application page, and what the house sees of it."""

from dataclasses import dataclass
from typing import Any, Final

from playwright.async_api import Locator, Page, expect

from ceremony.statements import ApplicationPayload, Kind
from ceremony.verification import verify
from records import submissions
from records.tables.submission import SubmissionRow
from tests.support.apihouse import Load
from tests.support.browser import Authenticator, Window
from tests.support.localhouse import LocalHouse

STAFF_NO: Final = "A1001"
TERMINAL_NO: Final = "ATM-0001"
IN_REVIEW: Final = "Waiting for the second administrator"
APPROVED: Final = "Approved: go on at the terminal"


@dataclass
class Applicant:
    """Somebody whose phone holds the first administrator's passkey, and what a terminal shows.

    The page is the phone's first tab unless another one is given.
    """

    local: LocalHouse
    phone: Window
    key: Authenticator
    load: Load

    @property
    def page(self) -> Page:
        """The phone's first tab."""
        return self.phone.page

    # ---- what a person does

    async def scan(self, page: Page | None = None) -> None:
        """Open what the camera read, as a camera does: anew."""
        page = page or self.page
        await page.goto("about:blank")
        await page.goto(self.load.qr_text)

    async def sign_in(self, staff_no: str | None = STAFF_NO) -> None:
        """Sign in with the passkey; the staff number may be remembered."""
        if staff_no is not None:
            await self.page.get_by_label("Staff number").fill(staff_no)
        await self.press_sign_in()
        await expect(self.page.get_by_label("Terminal number")).to_be_visible()

    async def press_sign_in(self) -> None:
        """Press the button, whatever comes of it."""
        await self.page.get_by_role("button", name="Sign in with passkey").click()

    async def ask_code(self) -> None:
        """Ask for the SMS code."""
        await self.page.get_by_role("button", name="Send code").click()
        await expect(self.page.get_by_text("was sent to")).to_be_visible()

    async def fill(
        self,
        code: str | None = None,
        terminal_no: str = TERMINAL_NO,
        page: Page | None = None,
    ) -> None:
        """Type both numbers, the first SMS code unless another is given; sign nothing yet."""
        page = page or self.page
        await page.get_by_label("Terminal number").fill(terminal_no)
        await page.get_by_label("SMS code", exact=True).fill(code or self.load.sms_code())

    async def sign(self, page: Page | None = None) -> None:
        """Sign what was typed."""
        await (page or self.page).locator("#apply button[type=submit]").click()

    async def submit(
        self,
        code: str | None = None,
        terminal_no: str = TERMINAL_NO,
        page: Page | None = None,
    ) -> None:
        """Type both numbers, and sign."""
        await self.fill(code, terminal_no, page)
        await self.sign(page)

    # ---- how far a person comes

    async def reach_form(self) -> None:
        """Scan, and sign in."""
        await self.scan()
        await self.sign_in()

    async def reach_code(self) -> None:
        """Go on until the SMS code is there."""
        await self.reach_form()
        await self.ask_code()

    async def reach_review(self) -> None:
        """Bring the request to AWAITING_REVIEW by the page."""
        await self.reach_code()
        await self.submit()
        await self.stands(IN_REVIEW)

    # ---- what a person sees

    def seen(self, selector: str) -> Locator:
        """A part of the page."""
        return self.page.locator(selector)

    async def stands(self, title: str, page: Page | None = None) -> None:
        """Wait for the page to say where the request stands."""
        await expect((page or self.page).locator("#stage-title")).to_have_text(title)

    async def reads(self, selector: str, text: str) -> None:
        """Wait for a part of the page to hold a text."""
        await expect(self.seen(selector)).to_contain_text(text)

    # ---- what the house sees, and what another does

    @property
    def applications(self) -> list[SubmissionRow]:
        """Every application that arrived."""
        with self.local.house.backstage.database.read() as session:
            rows = submissions.of_request(session, self.load.id)
            return [row for row in rows if row.kind is Kind.APPLICATION]

    async def decide(self, **fields: Any) -> None:
        """Let the second administrator decide about what the page submitted."""
        world = self.local.house.world
        self.load.application = verify(
            self.applications[-1].statement,
            ApplicationPayload,
            [world.first.signer.enrolled],
            audience=world.trust.audience,
            passkeys=world.trust.passkeys,
        )
        await self.load.decide(**fields)
