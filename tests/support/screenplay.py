"""A whole load on its screens, played by hand: the kiosk's, and two administrators' phones.

Every act is a press or a scan; nothing is asked of the system but what its screens and its SMS
say. A test may do what it likes after each act (`Play.between`), and press in its own way
(`Play.press`).
"""

# ruff: noqa: RUF001 - Chinese has its own punctuation

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Final, Literal

import zxingcpp
from PIL import Image
from playwright.async_api import Browser, Locator, Page, expect

from tests.support.browser import KIOSK, Colours, Window, window
from tests.support.wholehouse import APPROVAL, CODE, LINK, Human, Phone, WholeHouse

PATIENT: Final = 30_000
"""Milliseconds: whole processes on a busy machine."""

Language = Literal["en", "zh-CN"]
LOCALES: Final[dict[Language, str]] = {"en": "en-GB", "zh-CN": "zh-CN"}
TITLES: Final[dict[Language, dict[str, str]]] = {
    "en": {
        "applied": "Waiting for the second administrator",
        "approved": "Approved: go on at the terminal",
        "loaded": "The key is loaded",
        "rejected": "The application was rejected",
        "you-approved": "You approved",
        "you-rejected": "You rejected",
        "kiosk-loaded": "The new key is in",
    },
    "zh-CN": {
        "applied": "等待第二管理员复核",
        "approved": "已批准：请在终端上继续",
        "loaded": "密钥已加载",
        "rejected": "申请已被驳回",
        "you-approved": "您已批准",
        "you-rejected": "您已驳回",
        "kiosk-loaded": "新密钥已加载",
    },
}


async def nothing() -> None:
    """What happens between two acts, if nothing does."""


async def pressed(who: Window, button: Locator) -> None:
    """Press a button."""
    await button.click()


@dataclass
class Play:
    """One load; made by `play`. `between` runs after every act, when each screen shows it."""

    house: WholeHouse
    terminal_no: str
    kiosk: Window
    first: Phone
    second: Phone
    language: Language = "en"
    between: Callable[[], Awaitable[None]] = nothing
    press: Callable[[Window, Locator], Awaitable[None]] = pressed
    qr_text: str = ""

    @property
    def windows(self) -> tuple[Window, Window, Window]:
        """All three."""
        return self.kiosk, self.first, self.second

    def title(self, name: str) -> str:
        """A heading in the language of this play."""
        return TITLES[self.language][name]

    # ---- acts

    async def ask(self) -> None:
        """The technician asks for a key; the QR code is read off the screen as a camera does."""
        await self.kiosk.page.goto("/")
        await self.press(self.kiosk, self.kiosk.page.locator("form[action='/load'] button"))
        await self.qr_shown()
        self.qr_text = await decoded(self.kiosk.page)
        await self.between()

    async def scan(self) -> None:
        """The first administrator opens what the camera read, and signs in."""
        await self.first.page.goto(self.qr_text)
        await self.sign_in(self.first)
        await expect(self.first.page.locator("#terminal-no")).to_be_visible(timeout=PATIENT)
        await self.between()

    async def ask_code(self) -> str:
        """An SMS code is sent; gives it."""
        await self.press(self.first, self.first.page.locator("#send-code"))
        await expect(self.first.page.locator("#code-sent")).not_to_be_empty(timeout=PATIENT)
        await self.between()
        return await self.house.sms(self.first.owner, CODE, self.terminal_no)

    async def apply(self, code: str) -> None:
        """The first administrator types what the machine and the SMS say, and signs."""
        page = self.first.page
        await page.locator("#terminal-no").fill(self.terminal_no)
        await page.locator("#sms-code").fill(code)
        await self.press(self.first, page.locator("#apply button[type=submit]"))
        await self.first_reads("applied")
        await shown(self.kiosk.page, "review")
        await self.between()

    async def open_review(self) -> None:
        """The second administrator follows the link of the SMS to the list, and opens this one."""
        link = await self.house.sms(self.second.owner, LINK, self.terminal_no)
        await self.second.page.goto(link)
        staff_no, entry = self.second.page.locator("#staff-no"), self.review_entry
        await expect(staff_no.or_(entry)).to_be_visible(timeout=PATIENT)
        if await staff_no.is_visible():
            await self.sign_in(self.second)
        await entry.click(timeout=PATIENT)
        await expect(self.approve_button).to_be_visible(timeout=PATIENT)
        await self.between()

    async def approve(self) -> None:
        """The second administrator approves."""
        await self.press(self.second, self.approve_button)
        await self.second_reads("you-approved")
        await self.first_reads("approved")
        await shown(self.kiosk.page, "approval")
        await self.between()

    async def type_approval(self, code: str | None = None) -> None:
        """Number and approval code are typed at the kiosk: those of the SMS unless one is given."""
        typed = code or await self.house.sms(self.first.owner, APPROVAL, self.terminal_no)
        await self.kiosk.page.fill("#administrator", self.first.owner.staff_no)
        await self.kiosk.page.fill("#code", typed)
        await self.press(self.kiosk, self.kiosk.page.locator("form[action='/approval'] .huge"))

    async def loaded(self) -> str:
        """Everybody sees the end; gives the one KCV that all three screens show."""
        await shown(self.kiosk.page, "ended")
        await expect(self.kiosk.page.locator("h1")).to_have_text(self.title("kiosk-loaded"))
        await self.first_reads("loaded")
        await self.second_reads("loaded")
        await self.between()
        on_kiosk = await self.kiosk.page.locator(".kcvs .kcv").all_inner_texts()
        phone = self.first.page.locator("#loaded [data-fill=kcv]")
        review = self.second.page.locator("#review .big")
        assert len(on_kiosk) == 2
        (kcv,) = {*on_kiosk, await phone.inner_text(), await review.inner_text()}
        return kcv

    async def whole(self) -> str:
        """A load from start to end; gives the KCV."""
        await self.ask()
        await self.scan()
        await self.apply(await self.ask_code())
        await self.open_review()
        assert await words(self.kiosk.page) == await words(self.second.page)
        await self.approve()
        await self.type_approval()
        return await self.loaded()

    async def to_review(self) -> None:
        """A load until the second administrator has it open."""
        await self.ask()
        await self.scan()
        await self.apply(await self.ask_code())
        await self.open_review()

    # ---- what is seen

    @property
    def review_entry(self) -> Locator:
        """What waits for the second administrator about this terminal, in the list."""
        return self.second.page.get_by_role("link").filter(has_text=self.terminal_no)

    @property
    def approve_button(self) -> Locator:
        """The second administrator's button."""
        return self.second.page.locator("#approve")

    async def first_reads(self, title: str) -> None:
        """Wait for the first administrator's page to say where it stands."""
        heading = self.first.page.locator("#stage-title")
        await expect(heading).to_have_text(self.title(title), timeout=PATIENT)

    async def second_reads(self, title: str) -> None:
        """Wait for the second administrator's page to say where it stands."""
        heading = self.second.page.locator("h1")
        await expect(heading).to_have_text(self.title(title), timeout=PATIENT)

    async def qr_shown(self) -> None:
        """Wait for the QR code to be drawn."""
        await self.kiosk.page.wait_for_selector("#qr path", timeout=PATIENT)

    async def sign_in(self, phone: Phone) -> None:
        """Sign in with the passkey."""
        await phone.page.locator("#staff-no").fill(phone.owner.staff_no)
        await self.press(phone, phone.page.locator("#sign-in button[type=submit]"))


@asynccontextmanager
async def play(
    house: WholeHouse,
    started: Browser,
    terminal_no: str,
    first: Human,
    second: Human,
    *,
    language: Language = "en",
    colours: Colours = "light",
) -> AsyncIterator[Play]:
    """Register a terminal, switch its kiosk on, and give both administrators their phones."""
    folder = await house.terminal(terminal_no, first.person, second.person)
    locale = LOCALES[language]
    with house.kiosk(folder) as process:
        async with (
            window(
                started, process.url.rstrip("/"), size=KIOSK, locale=locale, colours=colours
            ) as kiosk,
            house.phone(started, first, locale=locale, colours=colours) as one,
            house.phone(started, second, locale=locale, colours=colours) as two,
        ):
            yield Play(house, terminal_no, kiosk, one, two, language)


async def shown(page: Page, screen: str) -> None:
    """Wait for a screen of the kiosk."""
    await page.wait_for_selector(f"main[data-screen={screen}]", timeout=PATIENT)


async def decoded(page: Page) -> str:
    """What a phone's camera reads from a screen."""
    picture = Image.open(BytesIO(await page.screenshot()))
    (code,) = zxingcpp.read_barcodes(picture)
    text: str = code.text
    return text


async def words(page: Page) -> list[str]:
    """The fingerprint words that are shown first."""
    found: list[str] = await page.locator(".words").first.locator("li").all_inner_texts()
    assert len(found) == 6
    return found
