"""The review pages in a real browser: the second administrator's way, and what may go wrong."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route, expect

from ceremony.stages import Stage
from ceremony.statements import DecisionPayload, Kind
from ceremony.verification import peek, verify
from ceremony.words import fingerprint_words
from records import projection, sessions, submissions
from records.tables.submission import SubmissionRow
from tests.support.accessibility import violations
from tests.support.apihouse import Load, kcv_of_token, wire
from tests.support.browser import NARROW, Authenticator, Colours, Window, browser, window
from tests.support.localhouse import LocalHouse, local_house

pytestmark = pytest.mark.asyncio(loop_scope="session")

HEADING = "Load a new key into ATM-0001?"
DECISION = re.compile(r"/v1/reviews/[^/]+/decision$")


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


@pytest_asyncio.fixture(loop_scope="session")
async def phone(chromium: Browser, local: LocalHouse) -> AsyncIterator[Window]:
    """The second administrator's phone."""
    async with window(chromium, local.origin, touch=True) as opened:
        yield opened


async def reviewing(local: LocalHouse, phone: Window) -> tuple[Load, Authenticator]:
    """An application that awaits review, open on the phone, with the passkey at hand."""
    load = await local.applied()
    await local.visit(phone, local.house.world.second, f"/r/{load.id}")
    key: Authenticator = await local.bring_passkey(phone, local.house.world.second)
    await expect(phone.page.get_by_role("heading", name=HEADING)).to_be_visible()
    return load, key


def decisions(local: LocalHouse, load: Load) -> list[SubmissionRow]:
    """The decisions on record about a request."""
    with local.house.backstage.database.read() as session:
        received = submissions.of_request(session, load.id)
    return [one for one in received if one.kind is Kind.DECISION]


def stage(local: LocalHouse, load: Load) -> Stage:
    """Where a request stands."""
    with local.house.backstage.database.read() as session:
        row = projection.find(session, load.id)
    assert row is not None
    return row.stage


async def approve(page: Page) -> None:
    """Press the button."""
    await page.get_by_role("button", name="Approve and sign").click()


async def reject(page: Page, reason: str, words: str = "") -> None:
    """Reject with a reason."""
    await page.get_by_role("button", name="Reject …").click()
    await page.get_by_label("Why do you reject?").select_option(label=reason)
    await page.get_by_label("In your own words").fill(words)
    await page.get_by_role("button", name="Sign and reject").click()


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
    session = await local.house.sign_in(local.house.world.second)
    assert load.application is not None
    decision = local.house.world.decision(load.application)
    body = {"statement": wire(decision)}
    await local.house.post(f"/v1/reviews/{load.id}/decision", body, session=session)
    await expect(phone.page.get_by_text("Nothing waits for you now.")).to_be_visible()


async def test_the_passkey_signs_exactly_what_is_shown(local: LocalHouse, phone: Window) -> None:
    """The payload's fields are the page's visible texts; it verifies, and the request moves on."""
    load, _ = await reviewing(local, phone)
    page = phone.page
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
    await approve(page)
    await expect(page.get_by_role("heading", name="You approved")).to_be_visible()
    [row] = decisions(local, load)
    world = local.house.world
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
    await expect(page.get_by_text("Your approval is recorded.")).to_be_visible()
    assert stage(local, load) is Stage.AWAITING_CONFIRMATION


async def test_the_document_is_in_plain_words(local: LocalHouse, phone: Window) -> None:
    """Who, which terminal, where, until when, and the module's words and fingerprint."""
    await reviewing(local, phone)
    text = await phone.page.inner_text("main")
    fingerprint = local.house.world.terminal.epp.fingerprint
    for said in ("Administrator 1 (A1001)", "ATM-0001", "Sample 280", "Main Street"):
        assert said in text
    assert " ".join(re.findall("....", fingerprint)) in text
    words = await phone.page.locator(".words").first.locator("li").all_inner_texts()
    assert words == list(fingerprint_words(fingerprint, "en"))
    await phone.page.get_by_text("The terminal's screen is in Chinese").click()
    await expect(phone.page.locator(".words").nth(1)).to_be_visible()
    others = await phone.page.locator(".words").nth(1).locator("li").all_inner_texts()
    assert others == list(fingerprint_words(fingerprint, "zh-CN"))


async def test_a_rejection_tells_its_reason(local: LocalHouse, phone: Window) -> None:
    """The code and the person's own words are signed as they were given, and shown as text."""
    load, _ = await reviewing(local, phone)
    words = 'No <img src=x onerror="alert(1)"> here.\n  Call  me.'
    await reject(phone.page, "The words on the terminal's screen are different", words)
    await expect(phone.page.get_by_role("heading", name="You rejected")).to_be_visible()
    [row] = decisions(local, load)
    said = peek(row.statement).payload
    assert isinstance(said, DecisionPayload)
    assert (said.decision, said.reason_code) == ("reject", "words-differ")
    assert said.reason == 'No <img src=x onerror="alert(1)"> here. Call me.'
    await expect(phone.page.get_by_text(said.reason)).to_be_visible()
    assert await phone.page.locator("main img").count() == 0
    assert stage(local, load) is Stage.REJECTED


async def test_a_rejection_needs_a_reason(local: LocalHouse, phone: Window) -> None:
    """Without one nothing is signed, and the page says what is missing."""
    load, _ = await reviewing(local, phone)
    await phone.page.get_by_role("button", name="Reject …").click()
    await phone.page.get_by_role("button", name="Sign and reject").click()
    await expect(phone.page.get_by_text("Choose a reason.")).to_be_visible()
    assert decisions(local, load) == []


async def test_a_cancelled_passkey_prompt_sends_nothing(local: LocalHouse, phone: Window) -> None:
    """The page says so and lets the person press again; then it works."""
    load, key = await reviewing(local, phone)
    await key.refuse()
    await approve(phone.page)
    await expect(phone.page.get_by_text("The passkey was not used.")).to_be_visible(timeout=15_000)
    assert decisions(local, load) == []
    await key.consent()
    await approve(phone.page)
    await expect(phone.page.get_by_role("heading", name="You approved")).to_be_visible()


async def test_progress_is_live_to_the_end(local: LocalHouse, phone: Window) -> None:
    """After the approval the page follows the load, and shows the key check value at last."""
    load, _ = await reviewing(local, phone)
    await approve(phone.page)
    await expect(phone.page.get_by_role("heading", name="You approved")).to_be_visible()
    world = local.house.world
    assert load.application is not None
    load.confirmation = world.confirmation(load.application)
    response = await load.send_confirmation(load.confirmation)
    assert response.status_code == 200, response.text
    load.token = response.json()["token"]
    await expect(phone.page.get_by_role("heading", name="The key is being loaded")).to_be_visible()
    kcv = kcv_of_token(load)
    receipt = world.receipt(load.confirmation, token_digest=load.token_digest, kcv=kcv)
    response = await local.house.post(f"{load.path}/receipt", {"statement": wire(receipt)})
    assert response.status_code == 200, response.text
    await expect(phone.page.get_by_role("heading", name="The key is loaded")).to_be_visible()
    await expect(phone.page.get_by_text(kcv, exact=True)).to_be_visible()


async def test_another_tab_is_told(local: LocalHouse, phone: Window) -> None:
    """Decided in one tab: the other shows it by itself, and offers nothing to sign any more."""
    load, _ = await reviewing(local, phone)
    other = await phone.tab()
    await other.goto(f"/r/{load.id}")
    await expect(other.get_by_role("heading", name=HEADING)).to_be_visible()
    await approve(phone.page)
    await expect(other.get_by_role("heading", name="You approved")).to_be_visible()
    await expect(other.get_by_text("perhaps by you in another tab")).to_be_visible()
    await expect(other.get_by_role("button", name="Approve and sign")).to_have_count(0)
    assert len(decisions(local, load)) == 1


async def test_a_decision_that_came_too_late_is_told(local: LocalHouse, phone: Window) -> None:
    """Signed here while it was decided elsewhere: not counted, and the page says so."""
    load, _ = await reviewing(local, phone)
    released = asyncio.Event()
    arrived = asyncio.Event()

    async def hold(route: Route) -> None:
        arrived.set()
        await released.wait()
        await route.continue_()

    await phone.page.route(DECISION, hold)
    await approve(phone.page)
    await asyncio.wait_for(arrived.wait(), 10)
    world = local.house.world
    await local.house.post(
        f"{load.path}/cancellation", {"statement": wire(world.cancellation(load.request))}
    )
    with phone.expect(409):
        released.set()
        await expect(phone.page.get_by_text("What you just signed was not counted")).to_be_visible()
    await expect(phone.page.get_by_role("heading", name="was cancelled")).to_be_visible()


@pytest.mark.parametrize("lost", ["request", "answer"])
async def test_a_lost_network_repeats_the_same_statement(
    local: LocalHouse, phone: Window, lost: str
) -> None:
    """Whether the call or its answer was lost: the very same statement again, one decision."""
    load, _ = await reviewing(local, phone)
    sent: list[str] = []

    async def lose(route: Route) -> None:
        sent.append(route.request.post_data or "")
        if len(sent) > 2:
            await route.continue_()
            return
        if lost == "answer":
            await route.fetch()
        await route.abort("connectionfailed")

    phone.watch.losses = True
    await phone.page.route(DECISION, lose)
    await approve(phone.page)
    await expect(phone.page.get_by_role("heading", name="You approved")).to_be_visible()
    assert len(sent) == 3
    assert len(set(sent)) == 1
    assert len(decisions(local, load)) == 1


async def test_a_reload_after_signing_repeats_the_same_statement(
    local: LocalHouse, phone: Window
) -> None:
    """Reloaded before the answer came: the page sends what was signed, without another prompt."""
    load, _ = await reviewing(local, phone)
    sent: list[str] = []
    blocked = True

    async def block(route: Route) -> None:
        sent.append(route.request.post_data or "")
        if blocked:
            await route.abort("connectionfailed")
        else:
            await route.continue_()

    phone.watch.losses = True
    await phone.page.route(DECISION, block)
    await approve(phone.page)
    await expect(phone.page.get_by_text("There is no connection.")).to_be_visible()
    await phone.page.reload()
    blocked = False
    await expect(phone.page.get_by_role("heading", name="You approved")).to_be_visible()
    assert len(set(sent)) == 1
    assert len(decisions(local, load)) == 1


async def test_a_session_that_ended_while_signing(local: LocalHouse, phone: Window) -> None:
    """Signed out meanwhile: the person signs in again, and the decision is made once."""
    load, _ = await reviewing(local, phone)
    arrived = asyncio.Event()

    async def hold(route: Route) -> None:
        arrived.set()
        await asyncio.sleep(0.2)
        await route.continue_()

    await phone.page.route(DECISION, hold)
    phone.watch.losses = True
    with phone.expect(401):
        await approve(phone.page)
        await asyncio.wait_for(arrived.wait(), 10)
        with local.house.backstage.database.write() as session:
            sessions.end_all_of(session, local.house.world.second.person, local.house.world.now)
        await phone.page.wait_for_url(re.compile(r"/s\?next="))
        await phone.page.get_by_label("Staff number").fill("A1002")
        await phone.page.get_by_role("button", name="Sign in with passkey").click()
        # This authenticator counts: what it signed before the sign-in counts no more.
        await expect(phone.page.get_by_text("Your signature was not accepted.")).to_be_visible()
    await approve(phone.page)
    await expect(phone.page.get_by_role("heading", name="You approved")).to_be_visible()
    assert len(decisions(local, load)) == 1


async def test_a_request_of_others_is_not_there(local: LocalHouse, phone: Window) -> None:
    """The first administrator, or anybody else, finds the page that an unknown id has."""
    load = await local.applied()
    with phone.expect(404):
        await local.visit(phone, local.house.world.first, f"/r/{load.id}")
        await expect(phone.page.get_by_role("heading", name="Nothing here")).to_be_visible()


async def test_ten_seconds_offline_lose_nothing(local: LocalHouse, phone: Window) -> None:
    """Without a network the page says so; when it is back it shows what happened meanwhile."""
    load, _ = await reviewing(local, phone)
    async with phone.offline():
        await expect(phone.page.get_by_text("There is no connection.")).to_be_visible(
            timeout=10_000
        )
        world = local.house.world
        await local.house.post(
            f"{load.path}/cancellation", {"statement": wire(world.cancellation(load.request))}
        )
        await asyncio.sleep(10)
    await expect(phone.page.get_by_role("heading", name="was cancelled")).to_be_visible(
        timeout=15_000
    )
    await expect(phone.page.get_by_text("There is no connection.")).to_be_hidden()


async def test_approving_offline_is_sent_later(local: LocalHouse, phone: Window) -> None:
    """Signed without a network: it is sent, once, when the network is back."""
    load, _ = await reviewing(local, phone)
    async with phone.offline():
        await approve(phone.page)
        await expect(phone.page.get_by_text("There is no connection.")).to_be_visible()
        assert decisions(local, load) == []
    await expect(phone.page.get_by_role("heading", name="You approved")).to_be_visible(
        timeout=15_000
    )
    assert len(decisions(local, load)) == 1


async def test_the_page_follows_without_streams(local: LocalHouse, phone: Window) -> None:
    """Where server-sent events cannot be had, calls alone bring every change."""
    await phone.page.route(re.compile("/updates"), lambda route: route.abort("connectionfailed"))
    phone.watch.losses = True
    load, _ = await reviewing(local, phone)
    await asyncio.sleep(1)
    world = local.house.world
    await local.house.post(
        f"{load.path}/cancellation", {"statement": wire(world.cancellation(load.request))}
    )
    await expect(phone.page.get_by_role("heading", name="was cancelled")).to_be_visible(
        timeout=15_000
    )


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


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
async def test_every_face_is_accessible(
    chromium: Browser, local: LocalHouse, locale: str, colours: Colours
) -> None:
    """Axe finds nothing, and nothing scrolls sideways at 320 px, in both languages and colours."""
    load = await local.applied()
    second = local.house.world.second
    async with window(
        chromium, local.origin, size=NARROW, locale=locale, colours=colours
    ) as narrow:
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
