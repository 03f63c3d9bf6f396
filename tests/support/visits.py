"""Pages asked for as a browser asks for them: navigated to, and their forms submitted."""

import httpx

from api.authentication import SECURE_COOKIE
from tests.support.apihouse import House
from tests.support.identities import Administrator

HTML = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}


async def visit(
    house: House,
    path: str,
    who: Administrator | None = None,
    *,
    language: str | None = None,
    cookie: str | None = None,
) -> httpx.Response:
    """Navigate to a page, signed in or not; cookies are never kept."""
    headers = dict(HTML)
    if language is not None:
        headers["Accept-Language"] = language
    if who is not None:
        cookie = f"{SECURE_COOKIE}={await house.sign_in(who)}"
    if cookie is not None:
        headers["Cookie"] = cookie
    return await house.client.get(path, headers=headers)


async def post_form(
    house: House, path: str, form: dict[str, str], **headers: str
) -> httpx.Response:
    """Submit a form of a page of ours."""
    response = await house.client.post(path, data=form, headers={**HTML, **SAME_ORIGIN, **headers})
    house.client.cookies.clear()
    return response
