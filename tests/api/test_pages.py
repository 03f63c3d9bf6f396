"""The pages as they leave the server: policy, markup, texts, language, and errors."""

import json
import re
from typing import Any

import pytest

from api.authentication import SECURE_COOKIE
from api.pages.languages import COOKIE, preferred
from records.failures import DatabaseUnavailable
from tests.support.apihouse import House
from tests.support.markup import Markup
from tests.support.visits import HTML, post_form, visit

OPEN = ["/a", "/e", "/s"]
POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "connect-src": "'self'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
    "base-uri": "'none'",
}


@pytest.mark.parametrize("path", OPEN)
@pytest.mark.parametrize("language", ["en", "zh-CN"])
async def test_a_page_is_strict_and_whole(house: House, path: str, language: str) -> None:
    """Every page: the content policy, nothing inline, well-formed, no other host, not stored."""
    response = await visit(house, path, language=language)
    assert response.status_code == 200
    policy = response.headers["content-security-policy"]
    assert dict(part.strip().split(" ", 1) for part in policy.split(";")) == POLICY
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["cross-origin-opener-policy"] == "same-origin"
    assert response.headers["content-language"] == language
    assert f'<html lang="{language}">' in response.text
    page = Markup(response.text)
    assert page.faults == []
    assert [one for one in page.sources if not one.startswith(("/", "#"))] == []


@pytest.mark.parametrize("path", OPEN)
async def test_a_pages_texts_are_data(house: House, path: str) -> None:
    """What scripts say to people stands in two blocks of JSON, in the page's language."""
    response = await visit(house, path, language="zh-CN")
    blocks = re.findall(
        r'<script type="application/json" id="([a-z-]+)">(.*?)</script>', response.text, re.S
    )
    assert [name for name, _ in blocks] == ["common-texts", "texts"]
    common = json.loads(blocks[0][1])
    assert common["qr-expired"] == "二维码已过期。请扫描终端当前显示的二维码。"
    assert all(json.loads(text) is not None for _, text in blocks)


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh-CN"),
        ("zh", "zh-CN"),
        ("zh-Hans-CN", "zh-CN"),
        ("en-GB,en;q=0.9,zh;q=0.8", "en"),
        ("en;q=0.3, zh;q=0.7", "zh-CN"),
        ("de-DE,de;q=0.9", "en"),
        ("de, zh;q=0.1", "zh-CN"),
        ("zh;q=0", "en"),
        ("*", "en"),
        ("en;q=0, *;q=0.5", "zh-CN"),
        ("zh;q=1.5", "en"),
        ("zh;q=x, ;;;, =", "en"),
        ("zhx", "en"),
    ],
)
def test_the_language_is_negotiated(header: str, language: str) -> None:
    """RFC 9110 section 12.5.4: the highest quality wins, English by default."""
    assert preferred(header) == language


async def test_the_switch_outweighs_the_browser(house: House) -> None:
    """A chosen language is kept in a cookie, and the same page comes back in it."""
    form = {"language": "zh-CN", "next": "/s?next=/a"}
    response = await post_form(house, "/language", form)
    assert (response.status_code, response.headers["location"]) == (303, "/s?next=/a")
    cookie = response.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}=zh-CN; ") and "HttpOnly" in cookie and "Secure" in cookie
    again = await visit(house, "/a", language="en", cookie=f"{COOKIE}=zh-CN")
    assert '<html lang="zh-CN">' in again.text
    unknown = await visit(house, "/a", cookie=f"{COOKIE}=xx")
    assert '<html lang="en">' in unknown.text


@pytest.mark.parametrize("form", [{}, {"language": "xx"}, {"language": ""}])
async def test_another_language_is_refused(house: House, form: dict[str, str]) -> None:
    """A language that is not there is no language."""
    response = await post_form(house, "/language", form)
    assert response.status_code == 400


async def test_a_lost_browser_is_told_what_to_do(house: House) -> None:
    """A browser gets a page in its language; a program at the same address a problem document."""
    shown = await visit(house, "/nothing", language="zh-CN")
    assert shown.status_code == 404
    assert "返回首页" in shown.text and "not-found" in shown.text
    assert Markup(shown.text).faults == []
    assert shown.headers["content-security-policy"].startswith("default-src 'none'; script-src")
    called = await house.client.get("/nothing")
    assert called.headers["content-type"] == "application/problem+json"


async def test_calls_are_answered_with_documents_whatever_they_accept(house: House) -> None:
    """Under /v1 there are no pages, though a browser asked."""
    response = await visit(house, "/v1/reviews")
    assert (response.status_code, response.json()["code"]) == (401, "not-authenticated")


async def test_what_may_pass_is_to_be_tried_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the database away a page says so, when to come back, and links to itself."""

    async def away(*_: Any) -> None:
        raise DatabaseUnavailable

    cookie = {"Cookie": f"{SECURE_COOKIE}={await house.sign_in(house.world.first)}"}
    monkeypatch.setattr(type(house.parts.database), "run", away)
    response = await house.client.get("/a?x=1", headers={**HTML, **cookie})
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) >= 1
    assert 'href="/a?x=1"' in response.text and "Try again" in response.text


async def test_a_fault_of_ours_shows_a_page_and_no_more(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody foresaw: a page with code internal-error, nothing of the fault in it."""

    async def broken(*_: Any) -> None:
        raise RuntimeError("planted-secret")

    cookie = {"Cookie": f"{SECURE_COOKIE}={await house.sign_in(house.world.first)}"}
    monkeypatch.setattr(type(house.parts.database), "run", broken)
    response = await house.client.get("/a", headers={**HTML, **cookie})
    assert response.status_code == 500
    assert "internal-error" in response.text and "planted-secret" not in response.text
