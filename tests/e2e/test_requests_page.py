"""The requests pages in a real browser: search without a script, and a timeline that is live."""

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.support.accessibility import violations
from tests.support.browser import DESK, NARROW, Window, window
from tests.support.localhouse import LocalHouse

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def desk(chromium: Browser, local: LocalHouse) -> AsyncIterator[Window]:
    """An auditor's desk."""
    async with window(chromium, local.origin, size=DESK) as opened:
        yield opened


async def test_an_auditor_searches_and_reads(local: LocalHouse, desk: Window) -> None:
    """From the search to a request and back; a cell of the table narrows the search."""
    world, page = local.house.world, desk.page
    first = await local.applied()
    await local.house.open(local.house.request(about=world.other))
    await local.visit(desk, world.third, "/requests")
    await expect(page.get_by_role("row")).to_have_count(3)
    await page.get_by_label("Stage").select_option(label="In review")
    await page.get_by_role("button", name="Search").click()
    await expect(page.get_by_role("row")).to_have_count(2)
    await page.get_by_role("link", name="ATM-0001").click()
    await expect(page).to_have_url(re.compile(first.id))
    await expect(page.get_by_text("The first administrator applied")).to_be_visible()
    await page.go_back()
    await expect(page.get_by_label("Stage")).to_have_value("AWAITING_REVIEW")
    await page.get_by_role("link", name="Show all").click()
    await page.get_by_role("link", name="Main Street").first.click()
    await expect(page.get_by_label("Branch")).to_have_value("Main Street")


async def test_the_timeline_is_live_while_the_request_is_open(
    local: LocalHouse, desk: Window
) -> None:
    """What happens appears by itself, what was unfolded stays so, and at the end nothing waits."""
    world, page = local.house.world, desk.page
    load = await local.applied()
    await local.visit(desk, world.third, f"/requests/{load.id}")
    await page.get_by_text("The signed statement: Request").click()
    await expect(page.locator("pre").first).to_be_visible()
    await load.decide(decision="reject", reason_code="not-now", reason="Come <b>tomorrow</b>.")
    await expect(page.get_by_text("The second administrator decided")).to_be_visible()
    await expect(page.get_by_text("Not at this time: Come <b>tomorrow</b>.")).to_be_visible()
    await expect(page.locator("pre").first).to_be_visible()
    await expect(page.locator("#request .stage").first).to_have_text("Rejected")


async def test_the_search_needs_no_script(chromium: Browser, local: LocalHouse) -> None:
    """With JavaScript switched off the form, its results and the timeline work all the same."""
    load = await local.applied()
    context = await chromium.new_context(base_url=local.origin, java_script_enabled=False)
    token = await local.house.sign_in(local.house.world.third)
    await context.add_cookies(
        [{"name": "keyfill_session", "value": token, "url": local.origin, "httpOnly": True}]
    )
    page = await context.new_page()
    await page.goto("/requests")
    await page.get_by_label("Terminal").fill("atm-0001")
    await page.get_by_role("button", name="Search").click()
    await page.get_by_role("link", name="ATM-0001").click()
    await expect(page).to_have_url(re.compile(load.id))
    await expect(page.get_by_text("UTC").first).to_be_visible()
    await context.close()


async def test_an_administrator_is_not_let_in(local: LocalHouse, desk: Window) -> None:
    """Whoever is no auditor reads that this is for auditors."""
    with desk.expect(403):
        await local.visit(desk, local.house.world.first, "/requests")
        await expect(desk.page.get_by_text("Only auditors may see this.")).to_be_visible()


@pytest.mark.once("how a page looks does not depend on the database")
@pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
async def test_the_search_and_the_timeline_are_accessible(
    chromium: Browser, local: LocalHouse, locale: str
) -> None:
    """Axe finds nothing, and nothing scrolls sideways at 320 px, in both languages and colours."""
    load = await local.applied()
    async with window(chromium, local.origin, size=NARROW, locale=locale) as narrow:
        await local.visit(narrow, local.house.world.third, "/requests?branch=Main+Street")
        assert await violations(narrow) == []
        await narrow.page.goto(f"/requests/{load.id}")
        for fold in await narrow.page.locator("summary").all():
            await fold.click()
        assert await violations(narrow) == []
