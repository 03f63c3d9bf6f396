"""Axe-core and the narrowest phone on what the other tests of the screens do not look at."""

import pytest
from playwright.async_api import Browser, expect

from ceremony.reasons import Reason
from ceremony.stages import Stage
from tests.support import kioskbench
from tests.support.accessibility import violations
from tests.support.browser import KIOSK, NARROW, Window, window
from tests.support.kioskbench import KioskProcess
from tests.support.localhouse import LocalHouse
from tests.support.terminalbench import TerminalBench

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.once("how a page looks does not depend on the database"),
]

bench, kiosk = kioskbench.bench, kioskbench.kiosk

LOCALES = ["en-GB", "zh-CN"]
PATIENT = 20_000
WIDEST_WORD = """() => [...document.querySelectorAll(".words li")].map((one) => {
  const range = document.createRange();
  one.textContent = "mushroom";
  range.selectNodeContents(one);
  return range.getClientRects().length;
})"""
"""On how many lines the widest word of the English list stands, in each place."""
ENDINGS = {
    Stage.REJECTED: None,
    Stage.EXPIRED: None,
    Stage.CANCELLED: Reason.CANCELLED_BY_ADMINISTRATOR,
    Stage.FAILED: Reason.CONFIRMATION_TRIES_EXHAUSTED,
}


async def fine(narrow: Window, heading: str = "h1:visible") -> None:
    """See that the page is there, and that nothing is wrong with it."""
    await expect(narrow.page.locator(heading).first).to_be_visible()
    assert await violations(narrow) == [], await narrow.page.inner_text("main")


@pytest.mark.parametrize("locale", LOCALES)
async def test_entrances_enrolment_and_errors(
    chromium: Browser, local: LocalHouse, locale: str
) -> None:
    """The ways in, a link that is broken, an enrolment, what officers sign, and error pages."""
    async with window(chromium, local.origin, size=NARROW, locale=locale) as narrow:
        page = narrow.page
        for path in ("/a", "/s?next=/r", "/e#short"):
            await page.goto("about:blank")
            await page.goto(path)
            await fine(narrow)
        await narrow.authenticator()
        await page.goto("about:blank")
        await page.goto(local.enrolment_link())
        await fine(narrow, "[data-step=enrol] h1")
        for _ in range(2):
            await page.locator("#enrol:not([aria-disabled=true])").click()
        await fine(narrow, "[data-step=done] h1")
        await local.visit(narrow, local.house.world.third, "/o")
        await fine(narrow)
        with narrow.expect(403, 404):
            for path in ("/r", "/requests/nothing", "/nothing"):
                await page.goto(path)
                await fine(narrow)


@pytest.mark.parametrize("locale", LOCALES)
async def test_every_state_of_the_application_page(
    chromium: Browser, local: LocalHouse, locale: str
) -> None:
    """Sign-in, form, mistakes, each stage on the way to the KCV, and a rejection."""
    load = await local.house.open()
    async with window(chromium, local.origin, size=NARROW, locale=locale) as narrow:
        page = narrow.page
        await page.goto(load.qr_text)
        await fine(narrow, "[data-step=sign-in] h1")
        await local.visit(narrow, local.house.world.first, "/a")
        await fine(narrow, "#terminal-no")
        await page.locator("#apply button[type=submit]").click()
        await expect(page.locator("#terminal-no-error")).to_be_visible()
        await page.locator("#cancel summary").click()
        await fine(narrow, "#cancel-reason")
        with narrow.expect(409):
            await local.apply(load)
            await page.reload()
            await fine(narrow, "#stage-title")
        stage = page.locator("#timeline [aria-current]")
        await expect(stage).to_have_attribute("data-at", Stage.AWAITING_REVIEW)
        await load.decide()
        await fine(narrow, "#approved")
        await load.take_token()
        await expect(stage).to_have_attribute("data-at", Stage.AWAITING_RECEIPT)
        await fine(narrow)
        await load.receive()
        await fine(narrow, "#loaded")
        rejected = await local.applied()
        with narrow.expect(409):
            await page.goto("about:blank")
            await page.goto(rejected.qr_text)
            await expect(stage).to_have_attribute("data-at", Stage.AWAITING_REVIEW)
        words = {"decision": "reject", "reason_code": "not-needed", "reason": "W" * 200}
        await rejected.decide(**words)
        await fine(narrow, "#fact-reason")


@pytest.mark.parametrize("locale", LOCALES)
async def test_every_ending_on_the_kiosk(
    chromium: Browser, bench: TerminalBench, kiosk: KioskProcess, locale: str
) -> None:
    """The question whether to cancel, and each ending without a key: axe finds nothing, it fits."""
    async with window(chromium, kiosk.url.rstrip("/"), size=KIOSK, locale=locale) as seen:
        page = seen.page
        await page.goto("/")
        for stage, reason in ENDINGS.items():
            bench.server.stage = Stage.AWAITING_APPLICATION
            await page.locator("form[action='/load'] button").click()
            await page.wait_for_selector("#qr path", timeout=PATIENT)
            if stage is Stage.REJECTED:
                if locale != "zh-CN":
                    assert await page.evaluate(WIDEST_WORD) == [1] * 6
                await page.locator("#cancel summary").click()
                await fine(seen, ".sure")
            bench.server.move(stage, reason)
            await page.wait_for_selector("main[data-screen=ended]", timeout=PATIENT)
            await fine(seen)
            tall = "() => document.documentElement.scrollHeight > innerHeight"
            assert not await page.evaluate(tall), stage
            await page.locator("form[action='/done'] button").click()
            await page.wait_for_selector("main[data-screen=start]", timeout=PATIENT)
