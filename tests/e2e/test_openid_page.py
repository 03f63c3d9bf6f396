"""Sign-in by OpenID Connect in a real browser, whose provider is another site."""

import re

import pytest
from playwright.async_api import Browser, expect

from api.authentication import PLAIN_COOKIE
from api.oidcclient import CALLBACK_PATH
from tests.support.accessibility import violations
from tests.support.browser import DESK, window
from tests.support.localhouse import LocalHouse
from tests.support.openidvisits import house_with_provider

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_an_auditor_signs_in_without_a_passkey_and_lands_where_they_wanted(
    chromium: Browser, local: LocalHouse
) -> None:
    """There and back; the cookie is Strict, and sent all the same as our own page leads on."""
    callback = f"{local.origin}{CALLBACK_PATH}"
    async with (
        house_with_provider(local.house, redirect_uri=callback) as bank,
        window(chromium, local.origin, bank.provider.issuer, size=DESK) as desk,
    ):
        bank.are("S7001", "keyfill-auditors", name="Olga Auditor")
        bank.provider.asks = True
        page = desk.page
        await page.goto("/requests?stage=LOADED")
        await page.get_by_role("link", name="Sign in with Bank Sign-in").click()
        await expect(page).to_have_url(re.compile(f"^{bank.provider.issuer}/authorize"))
        await page.get_by_role("link", name="It is me").click()
        await expect(page.get_by_text("Olga Auditor (S7001)")).to_be_visible()
        await expect(page).to_have_url(f"{local.origin}/requests?stage=LOADED")
        cookies = {one["name"]: one for one in await desk.context.cookies(local.origin)}
        assert cookies[PLAIN_COOKIE]["sameSite"] == "Strict" and cookies[PLAIN_COOKIE]["httpOnly"]
        assert list(cookies) == [PLAIN_COOKIE]
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_role("link", name="Sign in with Bank Sign-in")).to_be_visible()


async def test_the_sign_in_page_with_a_provider_is_accessible(
    chromium: Browser, local: LocalHouse
) -> None:
    """No fault that axe-core finds, on a phone's width and on a desk's."""
    async with house_with_provider(local.house), window(chromium, local.origin) as phone:
        await phone.page.goto("/s")
        assert await violations(phone) == []
