"""The application page in a real browser: the first administrator's way, and how it may end."""

import json
import re

import pytest
from playwright.async_api import Browser, expect

from ceremony.qr import token_of
from ceremony.sms import mask_number
from ceremony.stages import Stage
from ceremony.statements import ApplicationPayload
from ceremony.verification import peek
from tests.support.accessibility import violations
from tests.support.apihouse import kcv_of_token
from tests.support.applicant import APPROVED, IN_REVIEW, STAFF_NO, Applicant
from tests.support.browser import NARROW, window
from tests.support.localhouse import LocalHouse

pytestmark = pytest.mark.asyncio(loop_scope="session")


# ---- the way through


async def test_an_administrator_gets_through_to_the_kcv(applicant: Applicant) -> None:
    """Sign-in, code, one signature; then review, approval, loading, KCV, all by itself."""
    load, page = applicant.load, applicant.page
    await applicant.scan()
    assert load.qr_text not in page.url and "#" not in page.url
    await applicant.sign_in()
    await applicant.ask_code()
    number = mask_number(applicant.local.house.world.first.number)
    await applicant.reads("#code-sent", f"Code 1 of 3 was sent to {number}")
    await expect(page.locator("#resend")).to_contain_text(re.compile(r"in (1:00|0:5\d)"))
    await expect(page.locator("#attempts")).to_have_text("Attempts left: 5.")
    await expect(page.locator("#send-code")).to_have_attribute("aria-disabled", "true")
    await applicant.submit(terminal_no="atm-0001")
    await applicant.stands(IN_REVIEW)
    await applicant.decide()
    await applicant.stands(APPROVED)
    await applicant.reads("#approved", STAFF_NO)
    await load.take_token()
    await applicant.stands("The key is being loaded")
    assert kcv_of_token(load) not in await page.content()
    kcv = await load.receive()
    await applicant.stands("The key is loaded")
    await applicant.reads("#loaded", kcv)
    assert not await applicant.phone.scrolls_sideways()


async def test_the_passkey_signs_what_was_typed_and_shown(applicant: Applicant) -> None:
    """The application names the typed terminal, this request, this QR code, and ends in hours."""
    await applicant.reach_review()
    [row] = applicant.applications
    said = peek(row.statement).payload
    assert isinstance(said, ApplicationPayload)
    named = (said.terminal_no, said.administrator, said.request_id)
    assert named == ("ATM-0001", "A1001", applicant.load.id)
    assert said.registry_digest == applicant.local.house.world.standing().registry_digest
    assert 0 < said.expires_at - said.iat <= 6 * 3600
    assert json.loads(row.statement)["typ"] == "keyfill.application+jws"


async def test_the_staff_number_is_typed_once(applicant: Applicant) -> None:
    """After signing out the number stands there, and the passkey is the only one offered."""
    await applicant.reach_form()
    await applicant.page.get_by_role("button", name="Sign out").click()
    await applicant.scan()
    await expect(applicant.page.get_by_label("Staff number")).to_have_value("A1001")
    await applicant.sign_in(None)


async def test_the_token_never_reaches_the_server_in_a_url(applicant: Applicant) -> None:
    """No request's URL and no Referer holds any part of the scanned token."""
    token = token_of(applicant.load.qr_text, applicant.local.origin)
    seen: list[str] = []
    applicant.page.on("request", lambda one: seen.append(f"{one.url} {one.headers}"))
    await applicant.reach_review()
    # Playwright names the address that was opened with its fragment; what follows holds none.
    assert len(seen) > 10
    assert [one for one in seen if token[:12] in one.partition("#")[0]] == []


# ---- how it may end


async def test_a_rejection_is_shown_with_its_reason(applicant: Applicant) -> None:
    """The second administrator's words are shown as text, whatever is in them."""
    await applicant.reach_review()
    words = "Closed today <img src=x onerror=alert(1)>"
    await applicant.decide(decision="reject", reason_code="not-needed", reason=words)
    await applicant.stands("The application was rejected")
    await applicant.reads("#fact-reason", words)


async def test_an_expired_request_says_what_to_do(applicant: Applicant) -> None:
    """When nobody decides, the page says so and who can start again."""
    await applicant.reach_review()
    applicant.local.house.ceremonies.expire("ATM-0001")
    await applicant.stands("The request has expired")
    await applicant.reads("#stage-advice", "start again")
    await expect(applicant.page.locator("#cancel")).to_be_hidden()


async def test_the_administrator_cancels(applicant: Applicant) -> None:
    """A signed cancellation ends the request; the page says by whom."""
    await applicant.reach_review()
    page = applicant.page
    await page.get_by_text("Cancel this request").click()
    await page.get_by_label("Reason").select_option("suspicion")
    await page.get_by_role("button", name="Sign and cancel the request").click()
    await applicant.stands("The request was cancelled")
    await applicant.reads("#stage-advice", "An administrator cancelled")
    row = applicant.local.house.backstage.row(applicant.load.id)
    assert row.stage is Stage.CANCELLED


# ---- languages and widths


async def test_in_chinese_on_the_narrowest_phone(local: LocalHouse, chromium: Browser) -> None:
    """zh-CN by the browser's wish, English by the switch, and nothing scrolls sideways."""
    load = await local.house.open()
    async with window(chromium, local.origin, size=NARROW, locale="zh-CN") as small:
        key = await local.bring_passkey(small, local.house.world.first)
        applicant = Applicant(local, small, key, load)
        await applicant.scan()
        page = small.page
        await expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
        await page.get_by_label("工号").fill("A1001")
        await page.get_by_role("button", name="用通行密钥登录").click()
        await expect(page.get_by_label("终端编号")).to_be_visible()
        assert await violations(small) == []
        await page.get_by_role("button", name="发送验证码").click()
        await applicant.reads("#code-sent", "第 1 个验证码")
        # The switch leaves the page, and comes back to where it was.
        await page.get_by_role("button", name="English").click()
        await applicant.reads("#code-sent", "Code 1 of 3")
        await applicant.submit()
        await applicant.stands(IN_REVIEW)
        await page.get_by_role("button", name="中文").click()
        await applicant.stands("等待第二管理员复核")
        assert await violations(small) == []
