"""The application page in a real browser: the first administrator's way, and what may go wrong."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route, expect

from ceremony.qr import token_of
from ceremony.sms import mask_number
from ceremony.stages import Stage
from ceremony.statements import ApplicationPayload, Kind
from ceremony.verification import peek, verify
from records import submissions, verdicts
from records.tables.submission import SubmissionRow
from tests.support.accessibility import violations
from tests.support.apihouse import Load, kcv_of_token, wire
from tests.support.browser import NARROW, Authenticator, Window, browser, window
from tests.support.localhouse import LocalHouse, local_house

pytestmark = pytest.mark.asyncio(loop_scope="session")

APPLY = "#apply button[type=submit]"


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
    """The first administrator's phone, with nothing on it yet."""
    async with window(chromium, local.origin, touch=True) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def finger(phone: Window, local: LocalHouse) -> Authenticator:
    """The first administrator's passkey on that phone."""
    key: Authenticator = await local.bring_passkey(phone, local.house.world.first)
    return key


# ---- what people do


async def scan(phone: Window, load: Load, page: Page | None = None) -> None:
    """Open what the camera read, as a camera does: anew."""
    await (page or phone.page).goto("about:blank")
    await (page or phone.page).goto(load.qr_text)


async def sign_in(page: Page, staff_no: str | None = "A1001") -> None:
    """Sign in with the passkey; the staff number may be remembered."""
    if staff_no is not None:
        await page.get_by_label("Staff number").fill(staff_no)
    await page.get_by_role("button", name="Sign in with passkey").click()
    await expect(page.get_by_label("Terminal number")).to_be_visible()


async def ask_code(page: Page) -> None:
    """Ask for the SMS code."""
    await page.get_by_role("button", name="Send code").click()
    await expect(page.get_by_text("was sent to")).to_be_visible()


async def submit(page: Page, code: str, terminal_no: str = "ATM-0001") -> None:
    """Type both numbers, and sign."""
    await page.get_by_label("Terminal number").fill(terminal_no)
    await page.get_by_label("SMS code", exact=True).fill(code)
    await page.locator(APPLY).click()


async def applied(phone: Window, load: Load) -> None:
    """Bring a request to AWAITING_REVIEW by the page."""
    await scan(phone, load)
    await sign_in(phone.page)
    await ask_code(phone.page)
    await submit(phone.page, load.sms_code())
    await stands(phone.page, "Waiting for the second administrator")


async def stands(page: Page, title: str) -> None:
    """Wait for the page to say where the request stands."""
    await expect(page.locator("#stage-title")).to_have_text(title)


# ---- what the house sees


def applications(local: LocalHouse, load: Load) -> list[SubmissionRow]:
    """Every application that arrived."""
    with local.house.backstage.database.read() as session:
        rows = submissions.of_request(session, load.id)
        return [row for row in rows if row.kind is Kind.APPLICATION]


async def decide(local: LocalHouse, load: Load, **fields: Any) -> None:
    """Let the second administrator decide about what the page submitted."""
    world = local.house.world
    row = applications(local, load)[-1]
    load.application = verify(
        row.statement,
        ApplicationPayload,
        [world.first.signer.enrolled],
        audience=world.trust.audience,
        passkeys=world.trust.passkeys,
    )
    session = await local.house.sign_in(world.second)
    decision = world.decision(load.application, **fields)
    response = await local.house.post(
        f"/v1/reviews/{load.id}/decision", {"statement": wire(decision)}, session=session
    )
    assert response.status_code == 200, response.text


async def confirm(local: LocalHouse, load: Load) -> None:
    """Let the terminal confirm."""
    assert load.application is not None
    load.confirmation = local.house.world.confirmation(load.application)
    response = await load.send_confirmation(load.confirmation)
    assert response.status_code == 200, response.text
    load.token = response.json()["token"]


async def receive(local: LocalHouse, load: Load) -> str:
    """Let the terminal send its receipt; gives the KCV."""
    assert load.confirmation is not None
    kcv = kcv_of_token(load)
    receipt = local.house.world.receipt(load.confirmation, token_digest=load.token_digest, kcv=kcv)
    await local.house.post(f"{load.path}/receipt", {"statement": wire(receipt)})
    return kcv


# ---- the way through


async def test_an_administrator_gets_through_to_the_kcv(
    local: LocalHouse, phone: Window, finger: Authenticator
) -> None:
    """Sign-in, code, one signature; then review, approval, loading, KCV, all by itself."""
    load = await local.house.open()
    await scan(phone, load)
    assert load.qr_text not in phone.page.url and "#" not in phone.page.url
    await sign_in(phone.page)
    await ask_code(phone.page)
    number = mask_number(local.house.world.first.number)
    await expect(phone.page.locator("#code-sent")).to_contain_text(
        f"Code 1 of 3 was sent to {number}"
    )
    await expect(phone.page.locator("#resend")).to_contain_text(re.compile(r"in (1:00|0:5\d)"))
    await expect(phone.page.locator("#attempts")).to_have_text("Attempts left: 5.")
    await expect(phone.page.locator("#send-code")).to_have_attribute("aria-disabled", "true")
    await submit(phone.page, load.sms_code(), "atm-0001")
    await stands(phone.page, "Waiting for the second administrator")
    await decide(local, load)
    await stands(phone.page, "Approved: go on at the terminal")
    await expect(phone.page.locator("#approved")).to_contain_text("A1001")
    await confirm(local, load)
    await stands(phone.page, "The key is being loaded")
    assert kcv_of_token(load) not in await phone.page.content()
    kcv = await receive(local, load)
    await stands(phone.page, "The key is loaded")
    await expect(phone.page.locator("#loaded")).to_contain_text(kcv)
    assert not await phone.scrolls_sideways()


async def test_the_passkey_signs_what_was_typed_and_shown(
    local: LocalHouse, phone: Window, finger: Authenticator
) -> None:
    """The application names the typed terminal, this request, this QR code, and ends in hours."""
    load = await local.house.open()
    await applied(phone, load)
    [row] = applications(local, load)
    said = peek(row.statement).payload
    assert isinstance(said, ApplicationPayload)
    assert (said.terminal_no, said.administrator, said.request_id) == ("ATM-0001", "A1001", load.id)
    assert said.registry_digest == local.house.world.standing().registry_digest
    assert 0 < said.expires_at - said.iat <= 6 * 3600
    assert json.loads(row.statement)["typ"] == "keyfill.application+jws"


async def test_the_staff_number_is_typed_once(
    local: LocalHouse, phone: Window, finger: Authenticator
) -> None:
    """After signing out the number stands there, and the passkey is the only one offered."""
    load = await local.house.open()
    await scan(phone, load)
    await sign_in(phone.page)
    await phone.page.get_by_role("button", name="Sign out").click()
    await scan(phone, load)
    await expect(phone.page.get_by_label("Staff number")).to_have_value("A1001")
    await sign_in(phone.page, None)


# ---- what may be typed wrong


async def test_a_wrong_code_costs_an_attempt_and_says_so(
    local: LocalHouse, phone: Window, finger: Authenticator
) -> None:
    """Each refused application shows what is left; the fifth ends the request, and says why."""
    load = await local.house.open()
    await scan(phone, load)
    await sign_in(phone.page)
    await ask_code(phone.page)
    with phone.expect(403):
        for left in (4, 3, 2, 1):
            await submit(phone.page, "000000")
            await expect(phone.page.locator("#apply-notice")).to_contain_text(
                f"Attempts left: {left}"
            )
            await expect(phone.page.locator("#attempts")).to_have_text(f"Attempts left: {left}.")
        await submit(phone.page, "000000")
        await stands(phone.page, "The request has failed")
    await expect(phone.page.locator("#stage-advice")).to_contain_text("All attempts were used up")


async def test_attempts_outlive_a_reload(
    local: LocalHouse, phone: Window, finger: Authenticator
) -> None:
    """A reload forgets neither the number nor the code that was sent, and gives no attempt back."""
    load = await local.house.open()
    await scan(phone, load)
    await sign_in(phone.page)
    await ask_code(phone.page)
    with phone.expect(403):
        await submit(phone.page, "000000", "ATM-0009")
        await expect(phone.page.locator("#apply-notice")).to_contain_text("Attempts left: 4")
    await phone.page.reload()
    await expect(phone.page.locator("#attempts")).to_have_text("Attempts left: 4.")
    await expect(phone.page.get_by_label("Terminal number")).to_have_value("ATM-0009")
    await expect(phone.page.locator("#code-sent")).to_contain_text("Code 1 of 3")


async def test_what_cannot_be_right_is_not_signed(
    local: LocalHouse, phone: Window, finger: Authenticator
) -> None:
    """An empty or impossible number or code is told at its field, and costs nothing."""
    load = await local.house.open()
    await scan(phone, load)
    await sign_in(phone.page)
    await submit(phone.page, "12 34", "ATM_1")
    for field, said in (("terminal-no", "letters, digits and hyphens"), ("sms-code", "six digits")):
        await expect(phone.page.locator(f"#{field}")).to_have_attribute("aria-invalid", "true")
        await expect(phone.page.locator(f"#{field}-error")).to_contain_text(said)
    await expect(phone.page.locator("#terminal-no")).to_be_focused()
    await phone.page.locator("#terminal-no").fill("ATM-0001")
    await expect(phone.page.locator("#terminal-no-error")).to_be_hidden()
    assert applications(local, load) == []


async def test_a_further_code_makes_the_first_one_useless(
    local: LocalHouse, phone: Window, finger: Authenticator
) -> None:
    """After a minute another code may be asked for: the page counts it."""
    load = await local.house.open()
    await scan(phone, load)
    await sign_in(phone.page)
    await phone.page.clock.install()
    await ask_code(phone.page)
    local.house.world.pass_time(61)
    await phone.page.clock.fast_forward(61_000)
    await phone.page.get_by_role("button", name="Send another code").click()
    await expect(phone.page.locator("#code-sent")).to_contain_text("Code 2 of 3")
    await submit(phone.page, load.sms_code(2))
    await stands(phone.page, "Waiting for the second administrator")


async def test_a_closed_prompt_sends_nothing(
    local: LocalHouse, phone: Window, finger: Authenticator
) -> None:
    """Whoever closes the passkey prompt can press again; nothing was sent, nothing counted."""
    load = await local.house.open()
    await scan(phone, load)
    await sign_in(phone.page)
    await ask_code(phone.page)
    await finger.refuse()
    await submit(phone.page, load.sms_code())
    await expect(phone.page.locator("#apply-notice")).to_contain_text("Nothing was sent")
    assert applications(local, load) == []
    await finger.consent()
    await phone.page.locator(APPLY).click()
    await stands(phone.page, "Waiting for the second administrator")
    assert len(applications(local, load)) == 1


# ---- codes that are of no use


async def test_an_expired_code_asks_for_the_new_one_and_keeps_what_was_typed(
    local: LocalHouse, phone: Window, finger: Authenticator
) -> None:
    """Past its two minutes the page says to scan again, signs nothing, and loses nothing typed."""
    load = await local.house.open()
    await scan(phone, load)
    await sign_in(phone.page)
    await phone.page.clock.install()
    await phone.page.reload()
    await ask_code(phone.page)
    await phone.page.get_by_label("Terminal number").fill("ATM-0001")
    await phone.page.get_by_label("SMS code", exact=True).fill(load.sms_code())
    local.house.world.pass_time(121)
    await phone.page.clock.fast_forward(121_000)
    await expect(phone.page.locator("#apply-notice")).to_contain_text("has expired")
    await phone.page.locator(APPLY).click()
    assert applications(local, load) == []
    # The camera opens the new code in a tab of its own.
    load.opened["qr"] = (await local.house.open(local.house.request())).opened["qr"]
    page = await phone.tab()
    await phone.hand_over(finger, page)
    await scan(phone, load, page)
    await expect(page.get_by_label("Terminal number")).to_have_value("ATM-0001")
    await page.get_by_label("SMS code", exact=True).fill(load.sms_code())
    await page.locator(APPLY).click()
    await stands(page, "Waiting for the second administrator")


async def test_a_code_that_expired_before_it_was_used_says_so(
    local: LocalHouse, phone: Window, finger: Authenticator
) -> None:
    """An old code leads to the step that asks to scan the new one."""
    load = await local.house.open()
    local.house.world.pass_time(200)
    await scan(phone, load)
    await phone.page.get_by_label("Staff number").fill("A1001")
    with phone.expect(410):
        await phone.page.get_by_role("button", name="Sign in with passkey").click()
        await expect(phone.page.locator("#scan-notice")).to_contain_text("has expired")


async def test_a_used_code_shows_its_own_administrator_where_it_stands(
    local: LocalHouse, chromium: Browser, phone: Window, finger: Authenticator
) -> None:
    """Relayed to another phone of the same person, a used code applies for nothing more."""
    load = await local.house.open()
    await applied(phone, load)
    page = await phone.tab()
    with phone.expect(409):
        await scan(phone, load, page)
        await stands(page, "Waiting for the second administrator")
    assert len(applications(local, load)) == 1


async def test_a_stranger_is_turned_away(local: LocalHouse, chromium: Browser) -> None:
    """Whoever is not the terminal's first administrator is told so before typing anything."""
    load = await local.house.open()
    async with window(chromium, local.origin) as other:
        await local.bring_passkey(other, local.house.world.second)
        await scan(other, load)
        await other.page.get_by_label("Staff number").fill("A1002")
        with other.expect(403):
            await other.page.get_by_role("button", name="Sign in with passkey").click()
            await expect(other.page.locator("#scan-notice")).to_contain_text("first administrator")
        await expect(other.page.get_by_label("Terminal number")).to_be_hidden()


# ---- reload, tabs, lost network


async def test_a_reload_at_every_step_goes_on_where_it_was(
    local: LocalHouse, phone: Window, finger: Authenticator
) -> None:
    """Reloaded at sign-in, form, review, approval or the end, the page is where it was."""
    load = await local.house.open()
    await scan(phone, load)
    await phone.page.reload()
    await sign_in(phone.page)
    await phone.page.reload()
    await ask_code(phone.page)
    await phone.page.reload()
    await expect(phone.page.locator("#code-sent")).to_contain_text("Code 1 of 3")
    await submit(phone.page, load.sms_code())
    await stands(phone.page, "Waiting for the second administrator")
    await phone.page.reload()
    await stands(phone.page, "Waiting for the second administrator")
    await decide(local, load)
    await stands(phone.page, "Approved: go on at the terminal")
    await phone.page.reload()
    await stands(phone.page, "Approved: go on at the terminal")
    await confirm(local, load)
    kcv = await receive(local, load)
    await phone.page.reload()
    await stands(phone.page, "The key is loaded")
    await expect(phone.page.locator("#loaded")).to_contain_text(kcv)
    assert len(applications(local, load)) == 1


async def test_a_lost_answer_is_fetched_by_the_same_statement(
    local: LocalHouse, phone: Window, finger: Authenticator
) -> None:
    """An answer lost, the page reloaded: the very same statement is sent, and counts once."""
    load = await local.house.open()
    await scan(phone, load)
    await sign_in(phone.page)
    await ask_code(phone.page)
    sent: list[str] = []

    async def swallow(route: Route) -> None:
        sent.append(route.request.post_data or "")
        await route.fetch()
        await route.abort()

    phone.watch.losses = True
    await phone.page.route("**/v1/applications", swallow)
    await submit(phone.page, load.sms_code())
    await expect(phone.page.locator("#trouble")).to_contain_text("There is no connection")
    await phone.page.unroute("**/v1/applications")
    phone.page.on(
        "request",
        lambda one: sent.append(one.post_data or "") if one.url.endswith("/applications") else None,
    )
    await phone.page.reload()
    await stands(phone.page, "Waiting for the second administrator")
    assert len(sent) >= 2 and len(set(sent)) == 1
    assert len(applications(local, load)) == 1


async def test_offline_while_submitting_goes_on_by_itself(
    local: LocalHouse, phone: Window, finger: Authenticator
) -> None:
    """Signed without a network, the application arrives as soon as there is one, once."""
    load = await local.house.open()
    await scan(phone, load)
    await sign_in(phone.page)
    await ask_code(phone.page)
    async with phone.offline():
        await submit(phone.page, load.sms_code())
        await expect(phone.page.locator("#trouble")).to_contain_text("There is no connection")
        await asyncio.sleep(2)
        assert applications(local, load) == []
    await stands(phone.page, "Waiting for the second administrator")
    await expect(phone.page.locator("#trouble")).to_be_hidden()
    assert len(applications(local, load)) == 1


async def test_offline_while_waiting_misses_nothing(
    local: LocalHouse, phone: Window, finger: Authenticator
) -> None:
    """What was decided while the network was away is shown when it is back."""
    load = await local.house.open()
    await applied(phone, load)
    async with phone.offline():
        await decide(local, load)
        await asyncio.sleep(1)
        await stands(phone.page, "Waiting for the second administrator")
    await stands(phone.page, "Approved: go on at the terminal")


async def test_two_tabs_make_one_application(
    local: LocalHouse, phone: Window, finger: Authenticator
) -> None:
    """The tab that comes second shows where the request stands; nothing is applied for twice."""
    load = await local.house.open()
    await scan(phone, load)
    await sign_in(phone.page)
    await ask_code(phone.page)
    await phone.page.get_by_label("Terminal number").fill("ATM-0001")
    await phone.page.get_by_label("SMS code", exact=True).fill(load.sms_code())
    page = await phone.tab()
    finger = await phone.hand_over(finger, page)
    await scan(phone, load, page)
    await submit(page, load.sms_code())
    await stands(page, "Waiting for the second administrator")
    await phone.hand_over(finger, phone.page)
    with phone.expect(409):
        await phone.page.locator(APPLY).click()
        await stands(phone.page, "Waiting for the second administrator")
    with local.house.backstage.database.read() as session:
        found = [verdicts.find(session, row.digest) for row in applications(local, load)]
    assert sorted(one.accepted for one in found if one) == [False, True]


async def test_an_ended_session_asks_to_sign_in_and_goes_on(
    local: LocalHouse, phone: Window, finger: Authenticator
) -> None:
    """A review outlasts a session: after signing in again the page is where the request is."""
    load = await local.house.open()
    await applied(phone, load)
    local.house.world.pass_time(1801)
    await phone.page.reload()
    await expect(phone.page.get_by_label("Staff number")).to_have_value("A1001")
    await phone.page.get_by_role("button", name="Sign in with passkey").click()
    await stands(phone.page, "Waiting for the second administrator")


# ---- how it may end


async def test_a_rejection_is_shown_with_its_reason(
    local: LocalHouse, phone: Window, finger: Authenticator
) -> None:
    """The second administrator's words are shown as text, whatever is in them."""
    load = await local.house.open()
    await applied(phone, load)
    words = "Closed today <img src=x onerror=alert(1)>"
    await decide(local, load, decision="reject", reason_code="not-needed", reason=words)
    await stands(phone.page, "The application was rejected")
    await expect(phone.page.locator("#fact-reason")).to_contain_text(words)


async def test_an_expired_request_says_what_to_do(
    local: LocalHouse, phone: Window, finger: Authenticator
) -> None:
    """When nobody decides, the page says so and who can start again."""
    load = await local.house.open()
    await applied(phone, load)
    local.house.ceremonies.expire("ATM-0001")
    await stands(phone.page, "The request has expired")
    await expect(phone.page.locator("#stage-advice")).to_contain_text("start again")
    await expect(phone.page.locator("#cancel")).to_be_hidden()


async def test_the_administrator_cancels(
    local: LocalHouse, phone: Window, finger: Authenticator
) -> None:
    """A signed cancellation ends the request; the page says by whom."""
    load = await local.house.open()
    await applied(phone, load)
    await phone.page.get_by_text("Cancel this request").click()
    await phone.page.get_by_label("Reason").select_option("suspicion")
    await phone.page.get_by_role("button", name="Sign and cancel the request").click()
    await stands(phone.page, "The request was cancelled")
    await expect(phone.page.locator("#stage-advice")).to_contain_text("An administrator cancelled")
    assert local.house.backstage.row(load.id).stage is Stage.CANCELLED


# ---- languages and widths


@pytest.mark.parametrize("colours", ["light", "dark"])
async def test_in_chinese_on_the_narrowest_phone(
    local: LocalHouse, chromium: Browser, colours: Any
) -> None:
    """zh-CN by the browser's wish, English by the switch, and nothing scrolls sideways."""
    load = await local.house.open()
    async with window(
        chromium, local.origin, size=NARROW, locale="zh-CN", colours=colours
    ) as small:
        await local.bring_passkey(small, local.house.world.first)
        await scan(small, load)
        page = small.page
        await expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
        await page.get_by_label("工号").fill("A1001")
        await page.get_by_role("button", name="用通行密钥登录").click()
        await expect(page.get_by_label("终端编号")).to_be_visible()
        assert await violations(small) == []
        await page.get_by_role("button", name="发送验证码").click()
        await expect(page.locator("#code-sent")).to_contain_text("第 1 个验证码")
        # The switch leaves the page, and comes back to where it was.
        await page.get_by_role("button", name="English").click()
        await expect(page.locator("#code-sent")).to_contain_text("Code 1 of 3")
        await submit(page, load.sms_code())
        await stands(page, "Waiting for the second administrator")
        await page.get_by_role("button", name="中文").click()
        await stands(page, "等待第二管理员复核")
        assert await violations(small) == []


async def test_the_token_never_reaches_the_server_in_a_url(
    local: LocalHouse, phone: Window, finger: Authenticator
) -> None:
    """No request's URL and no Referer holds any part of the scanned token."""
    load = await local.house.open()
    token = token_of(load.qr_text, local.origin)
    seen: list[str] = []
    phone.page.on("request", lambda one: seen.append(f"{one.url} {one.headers}"))
    await applied(phone, load)
    # Playwright names the address that was opened with its fragment; what follows holds none.
    assert len(seen) > 10
    assert [one for one in seen if token[:12] in one.partition("#")[0]] == []
