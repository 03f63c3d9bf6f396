"""What may be typed wrong on the application page, and what each mistake costs."""

import pytest
from playwright.async_api import expect

from tests.support.applicant import IN_REVIEW, Applicant

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_wrong_code_costs_an_attempt_and_says_so(applicant: Applicant) -> None:
    """Each refused application shows what is left; the fifth ends the request, and says why."""
    await applicant.reach_code()
    with applicant.phone.expect(403):
        for left in (4, 3, 2, 1):
            await applicant.submit("000000")
            await applicant.reads("#apply-notice", f"Attempts left: {left}")
            await expect(applicant.seen("#attempts")).to_have_text(f"Attempts left: {left}.")
        await applicant.submit("000000")
        await applicant.stands("The request has failed")
    await applicant.reads("#stage-advice", "All attempts were used up")


async def test_attempts_outlive_a_reload(applicant: Applicant) -> None:
    """A reload forgets neither the number nor the code that was sent, and gives no attempt back."""
    await applicant.reach_code()
    with applicant.phone.expect(403):
        await applicant.submit("000000", "ATM-0009")
        await applicant.reads("#apply-notice", "Attempts left: 4")
    await applicant.page.reload()
    await expect(applicant.seen("#attempts")).to_have_text("Attempts left: 4.")
    await expect(applicant.page.get_by_label("Terminal number")).to_have_value("ATM-0009")
    await applicant.reads("#code-sent", "Code 1 of 3")


async def test_what_cannot_be_right_is_not_signed(applicant: Applicant) -> None:
    """An empty or impossible number or code is told at its field, and costs nothing."""
    await applicant.reach_form()
    await applicant.submit("12 34", "ATM_1")
    for field, said in (("terminal-no", "letters, digits and hyphens"), ("sms-code", "six digits")):
        await expect(applicant.seen(f"#{field}")).to_have_attribute("aria-invalid", "true")
        await applicant.reads(f"#{field}-error", said)
    await expect(applicant.seen("#terminal-no")).to_be_focused()
    await applicant.seen("#terminal-no").fill("ATM-0001")
    await expect(applicant.seen("#terminal-no-error")).to_be_hidden()
    assert applicant.applications == []


async def test_a_further_code_makes_the_first_one_useless(applicant: Applicant) -> None:
    """After a minute another code may be asked for: the page counts it."""
    page = applicant.page
    await applicant.reach_form()
    await page.clock.install()
    await applicant.ask_code()
    applicant.local.house.world.pass_time(61)
    await page.clock.fast_forward(61_000)
    await page.get_by_role("button", name="Send another code").click()
    await applicant.reads("#code-sent", "Code 2 of 3")
    await applicant.submit(applicant.load.sms_code(2))
    await applicant.stands(IN_REVIEW)


async def test_a_closed_prompt_sends_nothing(applicant: Applicant) -> None:
    """Whoever closes the passkey prompt can press again; nothing was sent, nothing counted."""
    await applicant.reach_code()
    await applicant.key.refuse()
    await applicant.submit()
    await applicant.reads("#apply-notice", "Nothing was sent")
    assert applicant.applications == []
    await applicant.key.consent()
    await applicant.sign()
    await applicant.stands(IN_REVIEW)
    assert len(applicant.applications) == 1
