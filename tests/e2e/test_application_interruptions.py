"""The application page reloaded, in two tabs, without a network, after the session's end."""

import asyncio

import pytest
from playwright.async_api import Route, expect

from records import verdicts
from tests.support.applicant import APPROVED, IN_REVIEW, Applicant

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_reload_at_every_step_goes_on_where_it_was(applicant: Applicant) -> None:
    """Reloaded at sign-in, form, review, approval or the end, the page is where it was."""
    page = applicant.page
    await applicant.scan()
    await page.reload()
    await applicant.sign_in()
    await page.reload()
    await applicant.ask_code()
    await page.reload()
    await applicant.reads("#code-sent", "Code 1 of 3")
    await applicant.submit()
    await applicant.stands(IN_REVIEW)
    await page.reload()
    await applicant.stands(IN_REVIEW)
    await applicant.decide()
    await applicant.stands(APPROVED)
    await page.reload()
    await applicant.stands(APPROVED)
    await applicant.load.take_token()
    kcv = await applicant.load.receive()
    await page.reload()
    await applicant.stands("The key is loaded")
    await applicant.reads("#loaded", kcv)
    assert len(applicant.applications) == 1


async def test_a_lost_answer_is_fetched_by_the_same_statement(applicant: Applicant) -> None:
    """An answer lost, the page reloaded: the very same statement is sent, and counts once."""
    page = applicant.page
    await applicant.reach_code()
    sent: list[str] = []

    async def swallow(route: Route) -> None:
        sent.append(route.request.post_data or "")
        await route.fetch()
        await route.abort()

    applicant.phone.watch.losses = True
    await page.route("**/v1/applications", swallow)
    await applicant.submit()
    await applicant.reads("#trouble", "There is no connection")
    await page.unroute("**/v1/applications")
    page.on(
        "request",
        lambda one: sent.append(one.post_data or "") if one.url.endswith("/applications") else None,
    )
    await page.reload()
    await applicant.stands(IN_REVIEW)
    assert len(sent) >= 2 and len(set(sent)) == 1
    assert len(applicant.applications) == 1


async def test_offline_while_submitting_goes_on_by_itself(applicant: Applicant) -> None:
    """Signed without a network, the application arrives as soon as there is one, once."""
    await applicant.reach_code()
    async with applicant.phone.offline():
        await applicant.submit()
        await applicant.reads("#trouble", "There is no connection")
        await asyncio.sleep(2)
        assert applicant.applications == []
    await applicant.stands(IN_REVIEW)
    await expect(applicant.seen("#trouble")).to_be_hidden()
    assert len(applicant.applications) == 1


async def test_offline_while_waiting_misses_nothing(applicant: Applicant) -> None:
    """What was decided while the network was away is shown when it is back."""
    await applicant.reach_review()
    async with applicant.phone.offline():
        await applicant.decide()
        await asyncio.sleep(1)
        await applicant.stands(IN_REVIEW)
    await applicant.stands(APPROVED)


async def test_two_tabs_make_one_application(applicant: Applicant) -> None:
    """The tab that comes second shows where the request stands; nothing is applied for twice."""
    phone = applicant.phone
    await applicant.reach_code()
    await applicant.fill()
    page = await phone.tab()
    key = await phone.hand_over(applicant.key, page)
    await applicant.scan(page)
    await applicant.submit(page=page)
    await applicant.stands(IN_REVIEW, page)
    await phone.hand_over(key, phone.page)
    with phone.expect(409):
        await applicant.sign()
        await applicant.stands(IN_REVIEW)
    with applicant.local.house.backstage.database.read() as session:
        found = [verdicts.find(session, row.digest) for row in applicant.applications]
    assert sorted(one.accepted for one in found if one) == [False, True]


async def test_an_ended_session_asks_to_sign_in_and_goes_on(applicant: Applicant) -> None:
    """A review outlasts a session: after signing in again the page is where the request is."""
    await applicant.reach_review()
    applicant.local.house.world.pass_time(1801)
    await applicant.page.reload()
    await expect(applicant.page.get_by_label("Staff number")).to_have_value("A1001")
    await applicant.press_sign_in()
    await applicant.stands(IN_REVIEW)
