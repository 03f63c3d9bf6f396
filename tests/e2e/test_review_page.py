"""The review pages in a real browser: the second administrator's way, and what may go wrong."""

import re

import pytest
from playwright.async_api import Browser, expect

from ceremony.stages import Stage
from ceremony.statements import DecisionPayload
from ceremony.verification import peek, verify
from ceremony.words import fingerprint_words
from tests.support.accessibility import violations
from tests.support.browser import NARROW, Window, window
from tests.support.localhouse import LocalHouse
from tests.support.reviewer import Reviewer

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_list_is_live(local: LocalHouse, phone: Window) -> None:
    """What waits appears by itself, leads to the document, and goes when it is decided."""
    await local.visit(phone, local.house.world.second, "/r")
    await expect(phone.page.get_by_text("Nothing waits for you now.")).to_be_visible()
    load = await local.applied()
    entry = phone.page.get_by_role("link", name=re.compile("ATM-0001"))
    await expect(entry).to_be_visible()
    await expect(phone.page).to_have_title(re.compile(r"^\(1\) Reviews"))
    await expect(entry.locator(".countdown")).to_have_text(re.compile(r"^(4:00:00|3:59:\d\d)$"))
    await entry.click()
    await expect(phone.page).to_have_url(re.compile(load.id))
    await phone.page.go_back()
    await expect(entry).to_be_visible()
    await load.decide()
    await expect(phone.page.get_by_text("Nothing waits for you now.")).to_be_visible()


async def test_the_passkey_signs_exactly_what_is_shown(reviewer: Reviewer) -> None:
    """The payload's fields are the page's visible texts; it verifies, and the request moves on."""
    page, world = reviewer.page, reviewer.local.house.world
    shown = {
        name: "".join((await page.locator(f"[data-sign={name}]").text_content() or "").split())
        for name in (
            "terminal_no",
            "request_id",
            "administrator",
            "epp_fingerprint",
            "registry_digest",
            "application_digest",
        )
    }
    await reviewer.approve()
    await reviewer.is_told("You approved")
    [row] = reviewer.decisions
    signed = verify(
        row.statement,
        DecisionPayload,
        [world.second.signer.enrolled],
        audience=world.trust.audience,
        passkeys=world.trust.passkeys,
    )
    said = signed.payload.model_dump()
    assert {name: said[name] for name in shown} == shown
    assert (said["decision"], said["reason_code"], said["reason"]) == ("approve", None, None)
    assert said["expires_at"] == said["iat"] + 55 * 60
    assert said["epp_fingerprint"] == world.terminal.epp.fingerprint
    await reviewer.reads("Your approval is recorded.")
    assert reviewer.stage is Stage.AWAITING_CONFIRMATION


async def test_the_document_is_in_plain_words(reviewer: Reviewer) -> None:
    """Who, which terminal, where, until when, and the module's words and fingerprint."""
    page = reviewer.page
    text = await page.inner_text("main")
    fingerprint = reviewer.local.house.world.terminal.epp.fingerprint
    for said in ("Administrator 1 (A1001)", "ATM-0001", "Sample 280", "Main Street"):
        assert said in text
    assert " ".join(re.findall("....", fingerprint)) in text
    words = await page.locator(".words").first.locator("li").all_inner_texts()
    assert words == list(fingerprint_words(fingerprint, "en"))
    await page.get_by_text("The terminal's screen is in Chinese").click()
    await expect(page.locator(".words").nth(1)).to_be_visible()
    others = await page.locator(".words").nth(1).locator("li").all_inner_texts()
    assert others == list(fingerprint_words(fingerprint, "zh-CN"))


async def test_a_rejection_tells_its_reason(reviewer: Reviewer) -> None:
    """The code and the person's own words are signed as they were given, and shown as text."""
    words = 'No <img src=x onerror="alert(1)"> here.\n  Call  me.'
    await reviewer.reject("The words on the terminal's screen are different", words)
    await reviewer.is_told("You rejected")
    [row] = reviewer.decisions
    said = peek(row.statement).payload
    assert isinstance(said, DecisionPayload)
    assert (said.decision, said.reason_code) == ("reject", "words-differ")
    assert said.reason == 'No <img src=x onerror="alert(1)"> here. Call me.'
    await reviewer.reads(said.reason)
    assert await reviewer.page.locator("main img").count() == 0
    assert reviewer.stage is Stage.REJECTED


async def test_a_rejection_needs_a_reason(reviewer: Reviewer) -> None:
    """Without one nothing is signed, and the page says what is missing."""
    await reviewer.page.get_by_role("button", name="Reject …").click()
    await reviewer.page.get_by_role("button", name="Sign and reject").click()
    await reviewer.reads("Choose a reason.")
    assert reviewer.decisions == []


async def test_a_cancelled_passkey_prompt_sends_nothing(reviewer: Reviewer) -> None:
    """The page says so and lets the person press again; then it works."""
    await reviewer.key.refuse()
    await reviewer.approve()
    await reviewer.reads("The passkey was not used.", within=15_000)
    assert reviewer.decisions == []
    await reviewer.key.consent()
    await reviewer.approve()
    await reviewer.is_told("You approved")


async def test_progress_is_live_to_the_end(reviewer: Reviewer) -> None:
    """After the approval the page follows the load, and shows the key check value at last."""
    await reviewer.approve()
    await reviewer.is_told("You approved")
    await reviewer.load.take_token()
    await reviewer.is_told("The key is being loaded")
    kcv = await reviewer.load.receive()
    await reviewer.is_told("The key is loaded")
    await expect(reviewer.page.get_by_text(kcv, exact=True)).to_be_visible()


async def test_a_request_of_others_is_not_there(local: LocalHouse, phone: Window) -> None:
    """The first administrator, or anybody else, finds the page that an unknown id has."""
    load = await local.applied()
    with phone.expect(404):
        await local.visit(phone, local.house.world.first, f"/r/{load.id}")
        await expect(phone.page.get_by_role("heading", name="Nothing here")).to_be_visible()


async def test_a_registry_that_changed_cannot_be_approved(local: LocalHouse, phone: Window) -> None:
    """The document rests on entries that are no longer in force: nothing to sign, and why."""
    load = await local.applied()
    world = local.house.world
    envelope = world.terminal_entry(seq=2, branch="Elsewhere")
    world.terminal_envelopes["ATM-0001"] = envelope
    local.house.backstage.register()
    await local.visit(phone, world.second, f"/r/{load.id}")
    await expect(
        phone.page.get_by_role("heading", name="This cannot be decided any more")
    ).to_be_visible()
    await expect(phone.page.get_by_role("button", name="Approve and sign")).to_have_count(0)


@pytest.mark.once("how a page looks does not depend on the database")
@pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
async def test_every_face_is_accessible(chromium: Browser, local: LocalHouse, locale: str) -> None:
    """Axe finds nothing, and nothing scrolls sideways at 320 px, in both languages and colours."""
    load = await local.applied()
    second = local.house.world.second
    async with window(chromium, local.origin, size=NARROW, locale=locale) as narrow:
        page = narrow.page
        await local.visit(narrow, second, "/r")
        await page.locator("[data-request-id]").wait_for()
        assert await violations(narrow) == []
        await page.goto(f"/r/{load.id}")
        for fold in await page.locator("summary").all():
            await fold.click()
        await page.locator("#reject").click()
        assert await violations(narrow) == []
        await local.bring_passkey(narrow, second)
        await page.locator("#reason-code").select_option(index=2)
        await page.locator("#reject-form button").click()
        await page.locator(".timeline").wait_for()
        assert await violations(narrow) == []
        language = "zh-CN" if locale == "zh-CN" else "en"
        assert await page.evaluate("document.documentElement.lang") == language
