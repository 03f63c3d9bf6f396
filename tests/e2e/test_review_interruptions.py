"""The review page in two tabs, too late, without a network or streams, after the session's end."""

import asyncio
import re

import pytest
from playwright.async_api import Route, expect

from records import sessions
from tests.support.browser import Window
from tests.support.localhouse import LocalHouse
from tests.support.reviewer import DECISION, QUESTION, WITHOUT_NETWORK, Reviewer

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_another_tab_is_told(reviewer: Reviewer) -> None:
    """Decided in one tab: the other shows it by itself, and offers nothing to sign any more."""
    other = await reviewer.phone.tab()
    await other.goto(f"/r/{reviewer.load.id}")
    await expect(other.get_by_role("heading", name=QUESTION)).to_be_visible()
    await reviewer.approve()
    await expect(other.get_by_role("heading", name="You approved")).to_be_visible()
    await expect(other.get_by_text("perhaps by you in another tab")).to_be_visible()
    await expect(other.get_by_role("button", name="Approve and sign")).to_have_count(0)
    assert len(reviewer.decisions) == 1


async def test_a_decision_that_came_too_late_is_told(reviewer: Reviewer) -> None:
    """Signed here while it was decided elsewhere: not counted, and the page says so."""
    released = asyncio.Event()
    arrived = asyncio.Event()

    async def hold(route: Route) -> None:
        arrived.set()
        await released.wait()
        await route.continue_()

    await reviewer.page.route(DECISION, hold)
    await reviewer.approve()
    await asyncio.wait_for(arrived.wait(), 10)
    await reviewer.load.cancel()
    with reviewer.phone.expect(409):
        released.set()
        await reviewer.reads("What you just signed was not counted")
    await reviewer.is_told("was cancelled")


@pytest.mark.parametrize("lost", ["request", "answer"])
async def test_a_lost_network_repeats_the_same_statement(reviewer: Reviewer, lost: str) -> None:
    """Whether the call or its answer was lost: the very same statement again, one decision."""
    sent: list[str] = []

    async def lose(route: Route) -> None:
        sent.append(route.request.post_data or "")
        if len(sent) > 2:
            await route.continue_()
            return
        if lost == "answer":
            await route.fetch()
        await route.abort("connectionfailed")

    reviewer.phone.watch.losses = True
    await reviewer.page.route(DECISION, lose)
    await reviewer.approve()
    await reviewer.is_told("You approved")
    assert len(sent) == 3
    assert len(set(sent)) == 1
    assert len(reviewer.decisions) == 1


async def test_a_reload_after_signing_repeats_the_same_statement(reviewer: Reviewer) -> None:
    """Reloaded before the answer came: the page sends what was signed, without another prompt."""
    sent: list[str] = []
    blocked = True

    async def block(route: Route) -> None:
        sent.append(route.request.post_data or "")
        if blocked:
            await route.abort("connectionfailed")
        else:
            await route.continue_()

    reviewer.phone.watch.losses = True
    await reviewer.page.route(DECISION, block)
    await reviewer.approve()
    await reviewer.reads(WITHOUT_NETWORK)
    await reviewer.page.reload()
    blocked = False
    await reviewer.is_told("You approved")
    assert len(set(sent)) == 1
    assert len(reviewer.decisions) == 1


async def test_a_session_that_ended_while_signing(reviewer: Reviewer) -> None:
    """Signed out meanwhile: the person signs in again, and the decision is made once."""
    page, house = reviewer.page, reviewer.local.house
    arrived = asyncio.Event()

    async def hold(route: Route) -> None:
        arrived.set()
        await asyncio.sleep(0.2)
        await route.continue_()

    await page.route(DECISION, hold)
    reviewer.phone.watch.losses = True
    with reviewer.phone.expect(401):
        await reviewer.approve()
        await asyncio.wait_for(arrived.wait(), 10)
        with house.backstage.database.write() as session:
            sessions.end_all_of(session, house.world.second.staff_no, house.world.now)
        await page.wait_for_url(re.compile(r"/s\?next="))
        await page.get_by_label("Staff number").fill("A1002")
        await page.get_by_role("button", name="Sign in with passkey").click()
        # This authenticator counts: what it signed before the sign-in counts no more.
        await reviewer.reads("Your signature was not accepted.")
    await reviewer.approve()
    await reviewer.is_told("You approved")
    assert len(reviewer.decisions) == 1


async def test_ten_seconds_offline_lose_nothing(reviewer: Reviewer) -> None:
    """Without a network the page says so; when it is back it shows what happened meanwhile."""
    async with reviewer.phone.offline():
        await reviewer.reads(WITHOUT_NETWORK, within=10_000)
        await reviewer.load.cancel()
        await asyncio.sleep(10)
    await reviewer.is_told("was cancelled", within=15_000)
    await expect(reviewer.page.get_by_text(WITHOUT_NETWORK)).to_be_hidden()


async def test_approving_offline_is_sent_later(reviewer: Reviewer) -> None:
    """Signed without a network: it is sent, once, when the network is back."""
    async with reviewer.phone.offline():
        await reviewer.approve()
        await reviewer.reads(WITHOUT_NETWORK)
        assert reviewer.decisions == []
    await reviewer.is_told("You approved", within=15_000)
    assert len(reviewer.decisions) == 1


async def test_the_page_follows_without_streams(local: LocalHouse, phone: Window) -> None:
    """Where server-sent events cannot be had, calls alone bring every change."""
    await phone.page.route(re.compile("/updates"), lambda route: route.abort("connectionfailed"))
    phone.watch.losses = True
    reviewer = await Reviewer.open(local, phone)
    await asyncio.sleep(1)
    await reviewer.load.cancel()
    await reviewer.is_told("was cancelled", within=15_000)
