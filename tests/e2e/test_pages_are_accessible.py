"""Axe-core and the narrowest phone on what the other tests of the screens do not look at."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from ceremony.enrolment import EnrolmentDraft, link_token_digest, new_link_token, seal_draft
from ceremony.reasons import Reason
from ceremony.stages import Stage
from records import enrolments
from records.tables.enrolment_link import EnrolmentLinkRow
from tests.support.accessibility import violations
from tests.support.apihouse import Load, kcv_of_token, wire
from tests.support.browser import KIOSK, NARROW, Colours, Window, browser, window
from tests.support.kioskbench import KioskProcess, kiosk_bench
from tests.support.localhouse import LocalHouse, local_house
from tests.support.terminalbench import TerminalBench

pytestmark = pytest.mark.asyncio(loop_scope="session")

LOCALES = ["en-GB", "zh-CN"]
COLOURS = ["light", "dark"]
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


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """One browser for all tests here."""
    async with browser() as started:
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def local(tmp_path: Path) -> AsyncIterator[LocalHouse]:
    """A house on localhost."""
    async with local_house(tmp_path) as made:
        yield made


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[TerminalBench]:
    """A terminal, and a server where the test plays the people."""
    with kiosk_bench(tmp_path / "terminal") as made:
        yield made


async def fine(narrow: Window, heading: str = "h1:visible") -> None:
    """See that the page is there, and that nothing is wrong with it."""
    await expect(narrow.page.locator(heading).first).to_be_visible()
    assert await violations(narrow) == [], await narrow.page.inner_text("main")


def enrolment_link(local: LocalHouse) -> str:
    """Make a one-time link as `keyfill administrators link` does; gives its URL."""
    house, token = local.house, new_link_token()
    draft = EnrolmentDraft(
        person="person-9",
        staff_no="A1009",
        name="王小明",
        roles=("administrator",),
        number="+8613800138000",
        seq=1,
        valid_until=house.world.now + 86_400,
    )
    row = EnrolmentLinkRow(
        token_digest=link_token_digest(token),
        person=draft.person,
        sealed_draft=seal_draft(token, draft),
        expires_at=house.world.now + 600,
    )
    with house.backstage.database.write() as session:
        enrolments.create(session, row)
    return f"{local.origin}/e#{token}"


@pytest.mark.parametrize("colours", COLOURS)
@pytest.mark.parametrize("locale", LOCALES)
async def test_entrances_enrolment_and_errors(
    chromium: Browser, local: LocalHouse, locale: str, colours: Colours
) -> None:
    """The ways in, a link that is broken, an enrolment, what officers sign, and error pages."""
    async with window(
        chromium, local.origin, size=NARROW, locale=locale, colours=colours
    ) as narrow:
        page = narrow.page
        for path in ("/a", "/s?next=/r", "/e#short"):
            await page.goto("about:blank")
            await page.goto(path)
            await fine(narrow)
        await narrow.authenticator()
        await page.goto("about:blank")
        await page.goto(enrolment_link(local))
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


@pytest.mark.parametrize("colours", COLOURS)
@pytest.mark.parametrize("locale", LOCALES)
async def test_every_state_of_the_application_page(
    chromium: Browser, local: LocalHouse, locale: str, colours: Colours
) -> None:
    """Sign-in, form, mistakes, each stage on the way to the KCV, and a rejection."""
    load, rejected = await local.house.open(), None
    async with window(
        chromium, local.origin, size=NARROW, locale=locale, colours=colours
    ) as narrow:
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
            await applied(local, load)
            await page.reload()
            await fine(narrow, "#stage-title")
        stage = page.locator("#timeline [aria-current]")
        await expect(stage).to_have_attribute("data-at", Stage.AWAITING_REVIEW)
        await decided(local, load)
        await fine(narrow, "#approved")
        assert load.application is not None
        load.confirmation = local.house.world.confirmation(load.application)
        load.token = (await load.send_confirmation(load.confirmation)).json()["token"]
        await expect(stage).to_have_attribute("data-at", Stage.AWAITING_RECEIPT)
        await fine(narrow)
        receipt = local.house.world.receipt(
            load.confirmation, token_digest=load.token_digest, kcv=kcv_of_token(load)
        )
        await local.house.post(f"{load.path}/receipt", {"statement": wire(receipt)})
        await fine(narrow, "#loaded")
        rejected = await local.applied()
        with narrow.expect(409):
            await page.goto("about:blank")
            await page.goto(rejected.qr_text)
            await expect(stage).to_have_attribute("data-at", Stage.AWAITING_REVIEW)
        words = {"decision": "reject", "reason_code": "not-needed", "reason": "W" * 200}
        await decided(local, rejected, **words)
        await fine(narrow, "#fact-reason")


async def applied(local: LocalHouse, load: Load) -> None:
    """Let the first administrator apply, on another device."""
    session = await local.house.sign_in(local.house.world.first)
    assert (await load.ask_code(session)).status_code == 202
    load.application = local.application(load)
    assert (await load.send_application(load.application, session)).status_code == 200


async def decided(local: LocalHouse, load: Load, **fields: Any) -> None:
    """Let the second administrator decide."""
    assert load.application is not None
    session = await local.house.sign_in(local.house.world.second)
    decision = local.house.world.decision(load.application, **fields)
    body = {"statement": wire(decision)}
    response = await local.house.post(f"/v1/reviews/{load.id}/decision", body, session=session)
    assert response.status_code == 200, response.text


@pytest.mark.parametrize("colours", COLOURS)
@pytest.mark.parametrize("locale", LOCALES)
async def test_every_ending_on_the_kiosk(
    chromium: Browser, bench: TerminalBench, locale: str, colours: Colours
) -> None:
    """The question whether to cancel, and each ending without a key: axe finds nothing, it fits."""
    kiosk = KioskProcess(bench.folder, bench.server.url)
    try:
        async with window(
            chromium, kiosk.url.rstrip("/"), size=KIOSK, locale=locale, colours=colours
        ) as seen:
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
    finally:
        kiosk.leave()
