"""Passkeys of a cloud in a real browser, where approvals need such as stay on one device."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from ceremony.approvalkeys import ApprovalKeys
from ceremony.stages import Stage
from records import credentialentries
from tests.support.accessibility import violations
from tests.support.applicant import Applicant
from tests.support.browser import NARROW, Window, window
from tests.support.localhouse import LocalHouse, local_house
from tests.support.reviewer import QUESTION, Reviewer

pytestmark = pytest.mark.asyncio(loop_scope="session")

KEPT = "This passkey can be kept in a cloud"


@pytest_asyncio.fixture(loop_scope="session")
async def local(tmp_path: Path) -> AsyncIterator[LocalHouse]:
    """A house on localhost whose API takes approvals by device-bound passkeys only."""
    async with local_house(tmp_path, approvals=ApprovalKeys.DEVICE_BOUND_PASSKEYS) as made:
        yield made


def pending(local: LocalHouse) -> int:
    """How many entries wait for officers."""
    with local.house.backstage.database.read() as session:
        return len(list(credentialentries.pending_credentials(session)))


async def test_the_enrolment_page_takes_no_passkey_of_a_cloud(
    local: LocalHouse, phone: Window
) -> None:
    """It says what is needed, discards what is not, and the same link enrols another passkey."""
    make = phone.page.get_by_role("button", name="Yes, make my passkey")
    sign = phone.page.get_by_role("button", name="Sign my entry now")
    notice = phone.page.locator("#enrol-notice")
    cloud = await phone.authenticator(cloud=True)
    await phone.page.goto(local.enrolment_link())
    await expect(phone.page.locator("#one-device")).to_contain_text("a security key with a PIN")
    await make.click()
    await expect(notice).to_contain_text(KEPT)
    await expect(make).to_be_visible()
    await cloud.remove()

    # One that is found out only when it signs: the server says it, and the page begins again.
    changing = await phone.authenticator()
    await make.click()
    await expect(sign).to_be_visible()
    await changing.keep_in_a_cloud()
    with phone.expect(403):
        await sign.click()
        await expect(notice).to_contain_text(KEPT)
    assert pending(local) == 0
    await changing.remove()

    await phone.authenticator()
    await make.click()
    await sign.click()
    await expect(phone.page.get_by_text("Not active yet")).to_be_visible()
    assert pending(local) == 1


async def test_what_is_refused_is_said_in_chinese_too(local: LocalHouse, chromium: Browser) -> None:
    """What is needed and what is refused is said in zh-CN too; an auditor is asked for nothing."""
    async with window(chromium, local.origin, size=NARROW, locale="zh-CN") as small:
        await small.authenticator(cloud=True)
        await small.page.goto(local.enrolment_link())
        await expect(small.page.locator("#one-device")).to_contain_text("设有 PIN 的安全密钥")
        await small.page.get_by_role("button", name="创建通行密钥").click()
        await expect(small.page.locator("#enrol-notice")).to_contain_text("未登记任何内容")
        assert await violations(small) == []
        await small.page.goto("about:blank")
        auditor = local.enrolment_link(person="person-8", staff_no="A1008", roles=("auditor",))
        await small.page.goto(auditor)
        await expect(small.page.get_by_text("审计员", exact=True)).to_be_visible()
        await expect(small.page.locator("#one-device")).to_be_hidden()
        await small.page.get_by_role("button", name="创建通行密钥").click()
        await small.page.get_by_role("button", name="为我的登记信息签名").click()
        await expect(small.page.locator("[data-step=done]")).to_be_visible()


async def test_an_application_by_a_passkey_of_a_cloud_is_refused_with_words(
    applicant: Applicant,
) -> None:
    """Signed in and code typed: the page says which passkey it takes, and no attempt is used up."""
    await applicant.key.keep_in_a_cloud()
    await applicant.reach_code()
    with applicant.phone.expect(403):
        await applicant.submit()
        await applicant.reads("#apply-notice", KEPT)
    await applicant.reads("#attempts", "Attempts left: 5.")
    assert applicant.applications == []


async def test_a_decision_by_a_passkey_of_a_cloud_is_refused_with_words(
    reviewer: Reviewer,
) -> None:
    """The second administrator's approval does not count, and the application still waits."""
    await reviewer.key.keep_in_a_cloud()
    with reviewer.phone.expect(403):
        await reviewer.approve()
        await expect(reviewer.page.locator("#decision-notice")).to_contain_text(KEPT)
    await reviewer.is_told(QUESTION)
    assert reviewer.decisions == []
    assert reviewer.stage is Stage.AWAITING_REVIEW
