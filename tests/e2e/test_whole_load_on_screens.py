"""A whole load on its real screens: processes, kiosk, two phones; and what must not stop it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial

import pytest
import pytest_asyncio
from playwright.async_api import Browser, ConsoleMessage, Locator, Route, expect

from ceremony.stages import Stage
from terminal.device import read_device_key
from tests.support.attacked import Place
from tests.support.browser import Window
from tests.support.genuine import Ceremony
from tests.support.passkeypeople import with_passkeys
from tests.support.screenplay import PATIENT, play, shown
from tests.support.wholehouse import APPROVAL, Human, WholeHouse, whole_house

pytestmark = pytest.mark.asyncio(loop_scope="session")

OFFLINE_SECONDS = 10
ENROLLING = {
    "en-GB": ("Yes, make my passkey", "Sign my entry now"),
    "zh-CN": ("创建通行密钥", "为我的登记信息签名"),
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def house(
    chromium: Browser, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[WholeHouse]:
    """One system for all tests here; the browser comes first, for without it nothing is started."""
    async with whole_house(tmp_path_factory.mktemp("whole")) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def people(house: WholeHouse, chromium: Browser) -> tuple[Human, Human]:
    """Two administrators, enrolled over the enrolment page, one in each language."""
    first = Human("ana", "A1001", "Ana Sample", "+4915112345671")
    second = Human("ben", "A1002", "本杰明", "+8613800138000")
    links = await asyncio.gather(*(house.enrolment_link(one) for one in (first, second)))
    for who, link, (locale, buttons) in zip((first, second), links, ENROLLING.items(), strict=True):
        async with house.phone(chromium, who, locale=locale) as phone:
            await phone.page.goto(link)
            for button in buttons:
                await phone.page.get_by_role("button", name=button).click()
            await expect(phone.page.locator("[data-step=done]")).to_be_visible()
    await house.keyfill("officers", "sign", "--all")
    return first, second


def stage(house: WholeHouse, terminal_no: str) -> str:
    """Where a terminal's newest loading request stands, by the records."""
    sql = "SELECT stage FROM loading_requests WHERE terminal_no = ? ORDER BY opened_at DESC"
    return str(house.bench.value(sql, terminal_no))


def count(house: WholeHouse, kind: str, terminal_no: str) -> object:
    """How many statements of a kind were received for a terminal."""
    return house.bench.value(
        "SELECT count(*) FROM submissions s JOIN loading_requests r USING (request_id) "
        "WHERE s.kind = ? AND r.terminal_no = ?",
        kind,
        terminal_no,
    )


# ---- the way through


async def test_a_load_in_english(
    house: WholeHouse, chromium: Browser, people: tuple[Human, Human]
) -> None:
    """From the scanned screenshot to one KCV on all three screens; the words agree on the way."""
    async with play(house, chromium, "ATM-0101", *people) as load:
        kcv = await load.whole()
    assert len(kcv) == 6
    assert stage(house, "ATM-0101") == Stage.LOADED


async def test_a_load_in_chinese_with_reloads(
    house: WholeHouse, chromium: Browser, people: tuple[Human, Human]
) -> None:
    """All screens and SMS in zh-CN; every window is reloaded after every act, and goes on."""
    async with (
        house.sms_in("zh-CN"),
        play(house, chromium, "ATM-0102", *people, language="zh-CN", colours="dark") as load,
    ):

        async def reload_all() -> None:
            opened = [one for one in load.windows if one.page.url != "about:blank"]
            await asyncio.gather(*(reloaded(one) for one in opened))

        load.between = reload_all
        await load.whole()
    texts = [one.text for one in house.bench.ledger.messages() if "ATM-0102" in one.text]
    assert [text[:9] for text in texts] == ["【Keyfill】"] * 4
    assert [count(house, kind, "ATM-0102") for kind in ("application", "decision")] == [1, 1]


async def reloaded(one: Window) -> None:
    """Reload a window: the same heading comes back."""
    heading = one.page.locator("h1:visible")
    before = await heading.inner_text()
    await one.page.reload()
    await expect(heading).to_have_text(before, timeout=PATIENT)


@pytest.mark.once("the load in English makes the same calls")
async def test_a_load_with_the_network_away_at_every_press(
    house: WholeHouse, chromium: Browser, people: tuple[Human, Human]
) -> None:
    """Each button is pressed offline, for seconds: it is done once the network is back, once."""
    async with play(house, chromium, "ATM-0103", *people) as load:

        async def press_offline(who: Window, button: Locator) -> None:
            async with AsyncExitStack() as lost:
                for one in load.windows:
                    await lost.enter_async_context(one.offline())
                await button.click()
                await asyncio.sleep(OFFLINE_SECONDS)
            if who is load.kiosk:
                # Between a kiosk and its own program nothing is kept: it says so, and one presses.
                await expect(who.page.locator("#lost")).to_be_hidden(timeout=PATIENT)
                await button.click()

        load.press = press_offline
        await load.whole()
    assert [count(house, kind, "ATM-0103") for kind in ("application", "decision")] == [1, 1]
    steps = [one.step for one in house.bench.ledger.messages() if "ATM-0103" in one.text]
    assert len([one for one in steps if "/code-" in one]) == 1


# ---- how else it may end


async def test_a_rejection(
    house: WholeHouse, chromium: Browser, people: tuple[Human, Human]
) -> None:
    """Rejected on one phone: the other and the kiosk say so, and what to do; there is no key."""
    async with play(house, chromium, "ATM-0104", *people) as load:
        await load.to_review()
        page = load.second.page
        await page.locator("#reject").click()
        await page.locator("#reason-code").select_option("words-differ")
        await page.locator("#reason").fill("Other words <b>there</b>.")
        await page.locator("#reject-form button[type=submit]").click()
        await load.second_reads("you-rejected")
        await load.first_reads("rejected")
        await expect(load.first.page.locator("#fact-reason")).to_contain_text("<b>there</b>")
        await shown(load.kiosk.page, "ended")
        await expect(load.kiosk.page.locator("h1")).to_have_text("Rejected")
        await expect(load.kiosk.page.locator("main")).to_contain_text("ask for a key again")
    assert stage(house, "ATM-0104") == Stage.REJECTED
    assert not house.bench.ledger.account("ATM-0104").keys


async def test_a_relayed_code_and_a_wrong_approval_code(
    house: WholeHouse, chromium: Browser, people: tuple[Human, Human]
) -> None:
    """A used QR code applies for nobody; three wrong approval codes end the load, and say so."""
    async with play(house, chromium, "ATM-0105", *people) as load:
        await load.to_review()
        relayed = await load.second.tab()
        with load.second.expect(403, 409):
            await relayed.goto(load.qr_text)
            await expect(relayed.locator("#scan-notice")).to_contain_text("You cannot apply")
        again = await load.first.tab()
        with load.first.expect(409):
            await again.goto(load.qr_text)
            await expect(again.locator("#stage-title")).to_have_text(load.title("applied"))
        assert count(house, "application", "ATM-0105") == 1
        await relayed.close()
        await load.approve()
        right = await house.sms(people[0], APPROVAL, "ATM-0105")
        wrong = f"{(int(right) + 1) % 10_000:04}"
        problem = load.kiosk.page.locator("#problem")
        for left in ("2 tries left", "1 try left"):
            await load.type_approval(wrong)
            await expect(problem).to_contain_text(left, timeout=PATIENT)
        await load.type_approval(wrong)
        await shown(load.kiosk.page, "ended")
        said = load.kiosk.page.locator("main")
        await expect(said).to_contain_text("mistyped three times at this terminal")
        await expect(said).to_contain_text("Ask for a key again")
        await expect(load.first.page.locator("#stage-title")).to_have_text("The request has failed")
        await expect(load.first.page.locator("#stage-advice")).to_contain_text("can start again")
    assert stage(house, "ATM-0105") == Stage.FAILED
    assert not house.bench.ledger.account("ATM-0105").keys


# ---- a page whose script was replaced


@dataclass(frozen=True)
class Lie:
    """What a replaced script puts in the place of what the genuine one says."""

    what: str
    said: dict[str, str]


def is_error(message: ConsoleMessage) -> bool:
    """Whether a browser's console tells of an error."""
    return message.type == "error"


async def tell(lie: Lie, route: Route) -> None:
    """Serve the page's own script with a lie in it."""
    genuine = await route.fetch()
    script = await genuine.text()
    for old, new in lie.said.items():
        assert old in script, old
        script = script.replace(old, new)
    await route.fulfill(response=genuine, body=script)


async def test_what_a_replaced_script_can_have_signed(house: WholeHouse, chromium: Browser) -> None:
    """What fits no application is refused; a yes for a shown no, and another's case, are not.

    The passkey signs what the script asks it to, and shows nothing of it: docs/threat-model.md.
    """
    bench = house.bench
    shown_load, other = [
        await Ceremony.at(bench, Stage.AWAITING_REVIEW, place)
        for place in await two_places(house, "ATM-0106", "ATM-0107")
    ]
    second = shown_load.place.second
    assert second.passkey is not None
    misfits = {
        "terminal_no": "ATM-0107",
        "request_id": other.request_id,
        "epp_fingerprint": other.epp.fingerprint,
        "registry_digest": other.registry_digest,
        "application_digest": other.digest("application"),
    }
    others = {f'shown("{name}")': json.dumps(value) for name, value in misfits.items()}
    lies = [
        Lie(name, {said: value})
        for (said, value), name in zip(others.items(), misfits, strict=True)
    ]
    swapped = Lie(
        "another's case",
        {**others, "/v1/reviews/${requestId}/": f"/v1/reviews/{other.request_id}/"},
    )
    turned = Lie("a yes for a no", {'"reject", code.value, words || null': '"approve", null, null'})

    reviewer = Human(second.person, second.staff_no, "Reviewer", second.number)
    async with house.phone(chromium, reviewer) as phone:
        await phone.key.add(second.passkey)
        page = phone.page
        await page.goto(f"/s?next=/r/{shown_load.request_id}")
        await page.locator("#staff-no").fill(second.staff_no)
        await page.locator("#sign-in button[type=submit]").click()
        await expect(page.locator("#approve")).to_be_visible(timeout=PATIENT)

        async def replaced(lie: Lie) -> None:
            await page.unroute_all()
            await page.route("**/static/review.js*", partial(tell, lie))
            await page.reload()

        with phone.expect(400, 403, 404, 409, 422):
            for lie in lies:
                await replaced(lie)
                # The browser tells of a refusal when it likes, perhaps after the page did.
                async with page.expect_console_message(is_error, timeout=PATIENT):
                    await page.locator("#approve").click()
                await expect(page.locator("#decision-notice.error")).to_be_visible(timeout=PATIENT)
                assert shown_load.stage is other.stage is Stage.AWAITING_REVIEW, lie.what

        await replaced(swapped)
        await page.locator("#approve").click()
        await other.reaches(Stage.AWAITING_CONFIRMATION)
        assert shown_load.stage is Stage.AWAITING_REVIEW

        await replaced(turned)
        await page.locator("#reject").click()
        await page.locator("#reason-code").select_option("words-differ")
        await page.locator("#reject-form button[type=submit]").click()
        await shown_load.reaches(Stage.AWAITING_CONFIRMATION)
        await expect(page.get_by_role("heading", name="You approved")).to_be_visible()


async def two_places(house: WholeHouse, *terminals: str) -> list[Place]:
    """Two terminals of the same two administrators, who hold passkeys."""
    bench = house.bench
    people = bench.enrol("hacked-first", 9001), bench.enrol("hacked-second", 9002)
    folders = [await house.terminal(one, *(who.person for who in people)) for one in terminals]
    places = [
        Place(one, folder, read_device_key(folder), *people, address="127.0.2.1")
        for one, folder in zip(terminals, folders, strict=True)
    ]
    first = with_passkeys(bench, places[0])
    return [first, replace(places[1], first=first.first, second=first.second)]
