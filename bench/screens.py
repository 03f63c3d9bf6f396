"""The pictures of docs/screens.md: a whole load on its real screens, photographed on the way.

    python -m bench.screens

Starts the whole system on a temporary home with sample people and sample terminals, plays one load
in English and one in Chinese (dark), and writes a small PNG of each screen into docs/screens. It
needs Chromium (`python -m tests.support.chromium`) and takes about a minute. Everything that a
picture shows, the QR codes too, ended with that home.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Final

from PIL import Image
from playwright.async_api import Browser, Page, expect

from tests.support.browser import DESK, browser
from tests.support.screenplay import Play, play
from tests.support.wholehouse import APPROVAL, Human, WholeHouse, whole_house

FOLDER: Final = Path(__file__).parents[1] / "docs" / "screens"
COLOURS: Final = 128
"""Of a picture's palette: flat screens need few."""
MOST_BYTES: Final = 40_000
PATIENT: Final = 30_000

ANA: Final = Human("ana", "A1001", "Ana Sample", "+4915112345671")
BEN: Final = Human("ben", "A1002", "Ben Sample", "+4915112345672")
CHEN: Final = Human("chen", "A1003", "Chen Sample", "+4915112345673", roles=("auditor",))


class PictureTooLarge(Exception):
    """A picture would not be small; the message names it."""


class Album:
    """Where the pictures go."""

    def __init__(self, folder: Path) -> None:
        """Take pictures into a folder."""
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    async def take(self, page: Page, name: str, *, whole: bool = False) -> None:
        """Write what a window shows, or the whole page, as `name`.png in few colours.

        Raises:
            PictureTooLarge: if it takes more than MOST_BYTES.
        """
        await page.mouse.move(0, 0)
        shot = Image.open(BytesIO(await page.screenshot(animations="disabled", full_page=whole)))
        small = BytesIO()
        few = shot.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
        few.save(small, "PNG", optimize=True)
        if small.tell() > MOST_BYTES:
            raise PictureTooLarge(f"{name}: {small.tell()} bytes")
        (self._folder / f"{name}.png").write_bytes(small.getvalue())


def main(arguments: Sequence[str]) -> int:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description="The pictures of docs/screens.md.")
    parser.add_argument("--out", type=Path, default=FOLDER)
    chosen = parser.parse_args(arguments)
    asyncio.run(_photograph(Album(chosen.out)))
    return 0


async def _photograph(album: Album) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with browser() as chromium, whole_house(Path(folder)) as house:
            for who in (ANA, BEN, CHEN):
                await _enrol(house, chromium, who, album if who is ANA else None)
            await house.keyfill("officers", "sign", "--all")
            async with play(house, chromium, "ATM-0101", ANA, BEN) as load:
                await _english(load, album)
            async with play(
                house, chromium, "ATM-0102", ANA, BEN, language="zh-CN", colours="dark"
            ) as load:
                await _chinese(load, album)
            await _auditor(house, chromium, album)


async def _enrol(house: WholeHouse, chromium: Browser, who: Human, album: Album | None) -> None:
    async with house.phone(chromium, who) as phone:
        await phone.page.goto(await house.enrolment_link(who))
        make = phone.page.get_by_role("button", name="Yes, make my passkey")
        await make.wait_for()
        if album is not None:
            await album.take(phone.page, "enrolment", whole=True)
        await make.click()
        await phone.page.get_by_role("button", name="Sign my entry now").click()
        await expect(phone.page.locator("[data-step=done]")).to_be_visible(timeout=PATIENT)


async def _english(load: Play, album: Album) -> None:
    kiosk, first, second = (one.page for one in load.windows)
    await kiosk.goto("/")
    await album.take(kiosk, "kiosk-start")
    await load.ask()
    await album.take(kiosk, "kiosk-code")
    await first.goto(load.qr_text)
    await first.locator("#staff-no").wait_for()
    await album.take(first, "application-sign-in")
    await load.scan()
    code = await load.ask_code()
    await first.locator("#terminal-no").fill(load.terminal_no)
    await first.evaluate("() => scrollTo(0, 0)")
    await album.take(first, "application-code")
    await load.apply(code)
    await album.take(first, "application-progress")
    await album.take(kiosk, "kiosk-waiting")
    await load.open_review()
    await album.take(second, "review", whole=True)
    await load.approve()
    await album.take(first, "application-approved")
    await kiosk.fill("#administrator", ANA.staff_no)
    await kiosk.locator("#code").focus()
    await album.take(kiosk, "kiosk-approval")
    await load.type_approval(await load.house.sms(ANA, APPROVAL, load.terminal_no))
    await load.loaded()
    await album.take(kiosk, "kiosk-loaded")


async def _chinese(load: Play, album: Album) -> None:
    await load.to_review()
    await album.take(load.kiosk.page, "kiosk-waiting-chinese-dark")
    await album.take(load.second.page, "review-chinese-dark", whole=True)


async def _auditor(house: WholeHouse, chromium: Browser, album: Album) -> None:
    async with house.phone(chromium, CHEN, size=DESK) as desk:
        page = desk.page
        await page.goto("/s?next=/requests")
        await page.locator("#staff-no").fill(CHEN.staff_no)
        await page.locator("#sign-in button[type=submit]").click()
        loaded = page.get_by_role("link", name="ATM-0101")
        await loaded.wait_for(timeout=PATIENT)
        await album.take(page, "requests")
        await loaded.click()
        await page.locator("#timeline").evaluate("(one) => one.scrollIntoView()")
        await album.take(page, "request")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
