"""QR codes that are of no use at the application page: expired, used, in a stranger's hands."""

import pytest
from playwright.async_api import Browser, expect

from tests.support.applicant import IN_REVIEW, Applicant
from tests.support.browser import window
from tests.support.localhouse import LocalHouse

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_an_expired_code_asks_for_the_new_one_and_keeps_what_was_typed(
    local: LocalHouse, applicant: Applicant
) -> None:
    """Past its two minutes the page says to scan again, signs nothing, and loses nothing typed."""
    load = applicant.load
    await applicant.reach_form()
    await applicant.page.clock.install()
    await applicant.page.reload()
    await applicant.ask_code()
    await applicant.fill()
    local.house.world.pass_time(121)
    await applicant.page.clock.fast_forward(121_000)
    await applicant.reads("#apply-notice", "has expired")
    await applicant.sign()
    assert applicant.applications == []
    # The camera opens the new code in a tab of its own.
    load.opened["qr"] = (await local.house.open(local.house.request())).opened["qr"]
    page = await applicant.phone.tab()
    await applicant.phone.hand_over(applicant.key, page)
    await applicant.scan(page)
    await expect(page.get_by_label("Terminal number")).to_have_value("ATM-0001")
    await page.get_by_label("SMS code", exact=True).fill(load.sms_code())
    await applicant.sign(page)
    await applicant.stands(IN_REVIEW, page)


async def test_a_code_that_expired_before_it_was_used_says_so(applicant: Applicant) -> None:
    """An old code leads to the step that asks to scan the new one."""
    applicant.local.house.world.pass_time(200)
    await applicant.scan()
    await applicant.page.get_by_label("Staff number").fill("A1001")
    with applicant.phone.expect(410):
        await applicant.press_sign_in()
        await applicant.reads("#scan-notice", "has expired")


async def test_a_used_code_shows_its_own_administrator_where_it_stands(
    applicant: Applicant,
) -> None:
    """Relayed to another phone of the same person, a used code applies for nothing more."""
    await applicant.reach_review()
    page = await applicant.phone.tab()
    with applicant.phone.expect(409):
        await applicant.scan(page)
        await applicant.stands(IN_REVIEW, page)
    assert len(applicant.applications) == 1


async def test_a_stranger_is_turned_away(local: LocalHouse, chromium: Browser) -> None:
    """Whoever is not the terminal's first administrator is told so before typing anything."""
    load = await local.house.open()
    async with window(chromium, local.origin) as other:
        key = await local.bring_passkey(other, local.house.world.second)
        stranger = Applicant(local, other, key, load)
        await stranger.scan()
        await other.page.get_by_label("Staff number").fill("A1002")
        with other.expect(403):
            await stranger.press_sign_in()
            await stranger.reads("#scan-notice", "first administrator")
        await expect(other.page.get_by_label("Terminal number")).to_be_hidden()
