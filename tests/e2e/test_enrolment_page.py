"""The enrolment page in a real browser: one link, one passkey, nothing active before officers."""

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Route, expect

from ceremony.registry import read_enrolment
from commands.credentials import activate, counter_signed
from records import credentialentries
from records.tables.credential_entry import CredentialEntryRow
from tests.support.accessibility import violations
from tests.support.browser import NARROW, Authenticator, Window, window
from tests.support.localhouse import LINK_SECONDS, NEW_NUMBER, LocalHouse

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def finger(phone: Window) -> Authenticator:
    """That phone's authenticator, with no passkey in it yet."""
    return await phone.authenticator()


def enrolment_link(local: LocalHouse) -> str:
    """A link for a new colleague with both roles."""
    return local.enrolment_link(roles=("administrator", "auditor"))


def pending(local: LocalHouse) -> list[CredentialEntryRow]:
    """The entries that wait for officers."""
    with local.house.backstage.database.read() as session:
        return list(credentialentries.pending_credentials(session))


def signed_by_officers(local: LocalHouse) -> bool:
    """Let two officers sign, as `keyfill officers sign` does; gives whether it is in force."""
    world = local.house.world
    [row] = pending(local)
    envelope = counter_signed(row.envelope, world.officers[:2], world.trust, now=world.now)
    with local.house.backstage.database.write() as session:
        return activate(session, envelope, world.trust, now=world.now).active


async def make_and_sign(phone: Window) -> None:
    """Press the two buttons."""
    await phone.page.get_by_role("button", name="Yes, make my passkey").click()
    await phone.page.get_by_role("button", name="Sign my entry now").click()


async def waits(phone: Window) -> None:
    """See that the passkey waits for officers."""
    await expect(phone.page.get_by_role("heading", level=1)).to_have_text(
        "Your passkey waits for two officers"
    )


async def test_a_link_makes_a_passkey_that_two_officers_put_in_force(
    local: LocalHouse, phone: Window, finger: Authenticator
) -> None:
    """Whose it is, passkey, signature; nothing before two officers; then the passkey signs in."""
    address = enrolment_link(local)
    await phone.page.goto(address)
    for shown in ("王小明", "A1009", "+86•••••••••00", "administrator and auditor"):
        await expect(phone.page.get_by_text(shown, exact=True).first).to_be_visible()
    assert NEW_NUMBER not in await phone.page.inner_text("main")
    assert "#" not in phone.page.url
    await make_and_sign(phone)
    await waits(phone)
    await expect(phone.page.get_by_text("Not active yet")).to_be_visible()
    [row] = pending(local)
    shown_digest = await phone.page.locator("[data-step=done] [data-fill=digest]").inner_text()
    assert shown_digest.replace(" ", "") == row.digest
    entry = read_enrolment(row.envelope, local.house.world.trust, now=local.house.world.now).entry
    assert (entry.person, entry.name, entry.number) == ("person-9", "王小明", NEW_NUMBER)

    await phone.page.goto("/s?next=/a")
    await expect(phone.page.get_by_label("Staff number")).to_have_value("A1009")
    with phone.expect(401):
        await phone.page.get_by_role("button", name="Sign in with passkey").click()
        await expect(phone.page.locator("#sign-in [data-notice]")).to_contain_text("two officers")

    # The officers sign the very bytes that the page had signed: their signatures join.
    assert signed_by_officers(local)
    await phone.page.get_by_role("button", name="Sign in with passkey").click()
    await expect(phone.page.get_by_text("王小明 (A1009)")).to_be_visible()


async def test_a_link_works_once(
    local: LocalHouse, phone: Window, finger: Authenticator, chromium: Browser
) -> None:
    """On another phone a used link says so; on its own it shows what it led to."""
    address = enrolment_link(local)
    await phone.page.goto(address)
    await make_and_sign(phone)
    await waits(phone)
    await phone.page.reload()
    await waits(phone)
    async with window(chromium, local.origin) as other:
        with other.expect(410):
            await other.page.goto(address)
            await expect(other.page.locator("#closed-notice")).to_contain_text("used already")
    assert len(pending(local)) == 1


async def test_an_expired_link_says_so(local: LocalHouse, phone: Window) -> None:
    """After its time a link shows nothing of the draft, and whom to ask."""
    address = enrolment_link(local)
    local.house.world.pass_time(LINK_SECONDS + 1)
    with phone.expect(410):
        await phone.page.goto(address)
        await expect(phone.page.locator("#closed-notice")).to_contain_text("has expired")
    assert "王小明" not in await phone.page.content()


@pytest.mark.parametrize(
    ("fragment", "said", "status"),
    [
        ("", "a part of it is missing", None),
        ("short", "a part of it is missing", None),
        ("A" * 43, "not known here", 404),
    ],
)
async def test_a_broken_link_says_so(
    local: LocalHouse, phone: Window, fragment: str, said: str, status: int | None
) -> None:
    """A link that lost a part, or that nobody made, is told apart from a used one."""
    with phone.expect(*([status] if status else [])):
        await phone.page.goto(f"/e#{fragment}")
        await expect(phone.page.locator("#closed-notice")).to_contain_text(said)


async def test_a_closed_prompt_enrols_nothing(
    local: LocalHouse, phone: Window, finger: Authenticator
) -> None:
    """Either prompt may be closed; the next press asks again, and nothing was enrolled."""
    await phone.page.goto(enrolment_link(local))
    await finger.refuse()
    await phone.page.get_by_role("button", name="Yes, make my passkey").click()
    await expect(phone.page.locator("#enrol-notice")).to_contain_text("Nothing was sent")
    await finger.consent()
    await phone.page.get_by_role("button", name="Yes, make my passkey").click()
    await expect(phone.page.get_by_role("button", name="Sign my entry now")).to_be_visible()
    await finger.refuse()
    await phone.page.get_by_role("button", name="Sign my entry now").click()
    await expect(phone.page.locator("#enrol-notice")).to_contain_text("Nothing was sent")
    assert pending(local) == []
    await finger.consent()
    await phone.page.get_by_role("button", name="Sign my entry now").click()
    await waits(phone)


async def test_a_reload_in_between_goes_on_with_the_same_passkey(
    local: LocalHouse, phone: Window, finger: Authenticator
) -> None:
    """A passkey that was made but has not signed is not made a second time."""
    await phone.page.goto(enrolment_link(local))
    await phone.page.get_by_role("button", name="Yes, make my passkey").click()
    await expect(phone.page.get_by_role("button", name="Sign my entry now")).to_be_visible()
    await phone.page.reload()
    await phone.page.get_by_role("button", name="Sign my entry now").click()
    await waits(phone)
    assert len(await finger.credentials()) == 1


async def test_a_lost_answer_is_fetched_by_the_same_entry(
    local: LocalHouse, phone: Window, finger: Authenticator
) -> None:
    """The link was used, the answer lost: after a reload the same entry gets the same answer."""
    await phone.page.goto(enrolment_link(local))

    async def swallow(route: Route) -> None:
        await route.fetch()
        await route.abort()

    phone.watch.losses = True
    await phone.page.route("**/v1/enrolments", swallow)
    await make_and_sign(phone)
    await expect(phone.page.locator("#trouble")).to_contain_text("There is no connection")
    await phone.page.unroute("**/v1/enrolments")
    await phone.page.reload()
    await waits(phone)
    assert len(pending(local)) == 1


async def test_offline_while_enrolling_goes_on_by_itself(
    local: LocalHouse, phone: Window, finger: Authenticator
) -> None:
    """Signed without a network, the entry arrives when there is one."""
    await phone.page.goto(enrolment_link(local))
    await phone.page.get_by_role("button", name="Yes, make my passkey").click()
    async with phone.offline():
        await phone.page.get_by_role("button", name="Sign my entry now").click()
        await expect(phone.page.locator("#trouble")).to_contain_text("There is no connection")
        assert pending(local) == []
    await waits(phone)


async def test_in_chinese_on_the_narrowest_phone(local: LocalHouse, chromium: Browser) -> None:
    """The whole way in zh-CN at 320 px; nothing scrolls sideways."""
    async with window(chromium, local.origin, size=NARROW, locale="zh-CN") as small:
        await small.authenticator()
        await small.page.goto(enrolment_link(local))
        await expect(small.page.get_by_text("管理员和审计员", exact=True)).to_be_visible()
        assert await violations(small) == []
        await small.page.get_by_role("button", name="创建通行密钥").click()
        await small.page.get_by_role("button", name="为我的登记信息签名").click()
        await expect(small.page.get_by_role("heading", level=1)).to_have_text(
            "通行密钥等待两名安全员确认"
        )
        assert await violations(small) == []
