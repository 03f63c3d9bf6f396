"""The kiosk in a real browser: what is read from its screen, and what a person does there."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from ceremony.stages import Stage
from tests.support import kioskbench
from tests.support.accessibility import violations
from tests.support.browser import KIOSK, NARROW, Colours, Window, window
from tests.support.kioskbench import KioskProcess, accept, qr_text
from tests.support.screenplay import decoded
from tests.support.terminalbench import TerminalBench as Bench
from tests.support.terminalserver import ADMINISTRATOR, APPROVAL_CODE

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.once("a terminal has no database"),
]

PATIENT = 20_000

bench, kiosk = kioskbench.bench, kioskbench.kiosk


@pytest_asyncio.fixture(loop_scope="session")
async def seen(chromium: Browser, kiosk: KioskProcess) -> AsyncIterator[Window]:
    """The kiosk's screen at the start."""
    async with window(chromium, kiosk.url.rstrip("/"), size=KIOSK) as opened:
        await opened.page.goto("/")
        yield opened


async def shown(page: Page, screen: str) -> None:
    """Wait for a screen."""
    await page.wait_for_selector(f"main[data-screen={screen}]", timeout=PATIENT)


async def pressed(page: Page, text: str) -> None:
    """Press the keys of the on-screen keypad that spell a text."""
    for character in text:
        await page.locator(f'[data-key="{character}"]:visible').click()


async def asked(page: Page) -> None:
    """Ask for a key, and see the QR code's screen."""
    await page.get_by_role("button", name="Ask for a key").click()
    await shown(page, "scan")


async def approved(page: Page, bench: Bench) -> None:
    """Let the load be approved."""
    accept(bench, Stage.AWAITING_CONFIRMATION)
    await shown(page, "approval")


@pytest.mark.parametrize("colours", ["light", "dark"])
async def test_the_code_on_the_screen_is_the_servers(
    chromium: Browser, kiosk: KioskProcess, bench: Bench, colours: Colours
) -> None:
    """Decoded from a screenshot, the QR code is the server's text, and so is its successor."""
    async with window(chromium, kiosk.url.rstrip("/"), size=KIOSK, colours=colours) as seen:
        page = seen.page
        await page.goto("/")
        await page.get_by_role("button", name="Ask for a key").click()
        await page.wait_for_selector("#qr path")
        assert await decoded(page) == bench.server.qr_texts[0]
        drawing = page.locator("#qr path")
        first = await drawing.get_attribute("d") or ""
        assert first
        bench.server.qr_texts.append(qr_text("second"))
        await expect(drawing).not_to_have_attribute("d", first, timeout=PATIENT)
        assert await decoded(page) == bench.server.qr_texts[1]


async def test_a_load_is_typed_on_the_screens_own_keys(
    chromium: Browser, kiosk: KioskProcess, bench: Bench
) -> None:
    """Touch alone goes from the start to both check values; a mistyped code costs only the code."""
    async with window(chromium, kiosk.url.rstrip("/"), size=KIOSK, touch=True) as seen:
        page = seen.page
        await page.goto("/")
        await page.get_by_role("button", name="Ask for a key").tap()
        await shown(page, "scan")
        await approved(page, bench)
        await pressed(page, ADMINISTRATOR)
        await page.get_by_role("button", name="Next").tap()
        await pressed(page, "1234")
        await page.get_by_role("button", name="Confirm").tap()
        await expect(page.get_by_role("alert").last).to_contain_text(
            "2 tries left", timeout=PATIENT
        )
        assert await page.input_value("#administrator") == ADMINISTRATOR
        assert await page.input_value("#code") == ""
        await pressed(page, APPROVAL_CODE)
        await page.get_by_role("button", name="Confirm").tap()
        await shown(page, "ended")
        assert await page.locator(".kcvs .kcv").all_inner_texts() == [bench.server.kcv] * 2
        await page.get_by_role("button", name="Done").tap()
        await shown(page, "start")


async def test_a_load_is_typed_on_a_keyboard(seen: Window, bench: Bench) -> None:
    """The keyboard alone does the same, without a pointer."""
    page = seen.page
    await page.get_by_role("button", name="Ask for a key").press("Enter")
    await shown(page, "scan")
    await approved(page, bench)
    await page.keyboard.type(ADMINISTRATOR)
    await page.keyboard.press("Enter")
    await page.keyboard.type(APPROVAL_CODE)
    await page.keyboard.press("Enter")
    await shown(page, "ended")


async def test_reload_restart_and_a_second_window_at_every_step(
    chromium: Browser, kiosk: KioskProcess, bench: Bench
) -> None:
    """At every stage: reloaded, killed and restarted, seen in two windows: one load, one key."""
    origin = kiosk.url.rstrip("/")
    async with (
        window(chromium, origin, size=KIOSK) as one,
        window(chromium, origin, size=KIOSK, locale="zh-CN", colours="dark") as two,
    ):
        for seen in (one, two):
            seen.watch.losses = True
            await seen.page.goto("/")

        async def survives(screen: str) -> None:
            for seen in (one, two):
                await shown(seen.page, screen)
            await one.page.reload()
            await shown(one.page, screen)
            await asyncio.to_thread(kiosk.restart)
            await one.page.reload()
            await two.page.wait_for_function(
                "async () => document.getElementById('lost').hidden", timeout=PATIENT
            )
            for seen in (one, two):
                await shown(seen.page, screen)

        await survives("start")
        await one.page.get_by_role("button", name="Ask for a key").click()
        await survives("scan")
        await one.page.wait_for_selector("#qr path")
        assert await decoded(one.page) == bench.server.qr_texts[0]
        accept(bench, Stage.AWAITING_REVIEW)
        await survives("review")
        bench.server.move(Stage.AWAITING_CONFIRMATION)
        await survives("approval")
        await two.page.fill("#administrator", ADMINISTRATOR)
        await two.page.fill("#code", APPROVAL_CODE)
        await two.page.get_by_role("button", name="确认并加载密钥").click()
        await survives("ended")
        await one.page.get_by_role("button", name="Done").click()
        await survives("start")
    assert bench.server.count("request") == 1
    assert len(bench.server.tokens) == 1


async def test_a_lost_program_is_told_and_comes_back(
    seen: Window, kiosk: KioskProcess, bench: Bench
) -> None:
    """While the kiosk's process is away the screen says so; what was half typed stays."""
    page = seen.page
    await asked(page)
    await approved(page, bench)
    await page.fill("#administrator", ADMINISTRATOR)
    seen.watch.losses = True
    await asyncio.to_thread(kiosk.kill)
    await expect(page.locator("#lost")).to_be_visible(timeout=PATIENT)
    await asyncio.to_thread(kiosk.start)
    await expect(page.locator("#lost")).to_be_hidden(timeout=PATIENT)
    assert await page.input_value("#administrator") == ADMINISTRATOR
    await page.fill("#code", APPROVAL_CODE)
    await page.get_by_role("button", name="Confirm").click()
    await shown(page, "ended")


async def test_cancelling_takes_two_presses(seen: Window, bench: Bench) -> None:
    """Cancel asks once more; only the second press ends the load."""
    page = seen.page
    await asked(page)
    sure = page.get_by_role("button", name="Yes, cancel it")
    await expect(sure).to_be_hidden()
    await page.locator("summary").click()
    assert bench.server.count("cancellation") == 0
    await sure.click()
    await shown(page, "ended")
    assert bench.server.count("cancellation") == 1


async def test_another_page_cannot_press_or_read(
    chromium: Browser, kiosk: KioskProcess, bench: Bench
) -> None:
    """A page of another origin in the same browser opens no loading request at this kiosk."""
    other = bench.server.url
    async with window(chromium, other, kiosk.url.rstrip("/")) as stranger:
        with stranger.expect(403, 404):
            stranger.watch.losses = True
            page = stranger.page
            await page.goto(f"{other}/v1/nothing")
            await page.evaluate(
                "url => fetch(url + 'load', {method: 'POST', mode: 'no-cors'}).catch(() => 0)",
                kiosk.url,
            )
            seen = await page.evaluate(
                "url => fetch(url).then(answer => answer.text()).catch(() => 'blocked')", kiosk.url
            )
            stranger.watch.faults.clear()
    assert seen == "blocked"
    assert bench.server.count("request") == 0


@pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
async def test_every_screen_is_accessible_and_fits(
    chromium: Browser, kiosk: KioskProcess, bench: Bench, locale: str
) -> None:
    """Axe finds nothing; at 1024 by 768 nothing scrolls, at 320 px nothing scrolls sideways."""
    origin = kiosk.url.rstrip("/")
    async with (
        window(chromium, origin, size=KIOSK, locale=locale) as wide,
        window(chromium, origin, size=NARROW, locale=locale) as narrow,
    ):
        for seen in (wide, narrow):
            await seen.page.goto("/")

        async def fine(screen: str) -> None:
            for seen in (wide, narrow):
                await shown(seen.page, screen)
                assert await violations(seen) == [], screen
            assert await fits(wide), screen

        page = wide.page
        await fine("start")
        await page.locator("form[action='/load'] button").click()
        await page.wait_for_selector("#qr path")
        await fine("scan")
        accept(bench, Stage.AWAITING_REVIEW)
        await fine("review")
        bench.server.move(Stage.AWAITING_CONFIRMATION)
        await fine("approval")
        await page.fill("#administrator", ADMINISTRATOR)
        await page.fill("#code", "0000")
        await page.keyboard.press("Enter")
        await page.wait_for_selector("#problem")
        await fine("approval")
        bench.server.fail("receipt", *[503] * 6)
        await page.fill("#code", APPROVAL_CODE)
        await page.keyboard.press("Enter")
        await fine("loading")
        await fine("ended")
        await page.locator("form[action='/done'] button").click()
        await fine("start")
        bench.server.refuse("request", "wrong-terminal")
        bench.server.stage = Stage.AWAITING_APPLICATION
        await page.locator("[value=service]").check()
        await page.locator("form[action='/load'] button").click()
        await fine("stopped")


async def fits(seen: Window) -> bool:
    """Whether nothing of the page is below the window."""
    whole: bool = await seen.page.evaluate("document.documentElement.scrollHeight <= innerHeight")
    return whole
