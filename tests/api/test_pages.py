"""The pages as they leave the server: policy, language, markup, files, errors, and who may see."""

import json
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from api.authentication import SECURE_COOKIE
from api.pages.assets import FOLDER, asset
from api.pages.languages import COOKIE, preferred
from api.pages.visitors import own_path
from ceremony.registry import read_enrolment
from ceremony.sms import mask_number
from records import credentialentries
from records.entryrows import pending_credential_row
from records.failures import DatabaseUnavailable
from tests.support.apihouse import House
from tests.support.identities import Administrator, jwk_signer
from tests.support.markup import Markup

HTML = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}
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


def pend(house: House, envelope: str) -> str:
    """Store an entry that waits for officers; gives its digest."""
    entry = read_enrolment(envelope, house.world.trust, now=house.world.now)
    with house.backstage.database.write() as session:
        credentialentries.put_credential_entry(
            session, pending_credential_row(entry, now=house.world.now)
        )
    return entry.digest


# ---- headers and markup


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


# ---- language


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


# ---- where it leads


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "/\t/evil.example",
        "javascript:alert(1)",
        "evil",
        "/a#x",
        "/" + "a" * 600,
        "/a\r\nSet-Cookie: x=y",
        None,
    ],
)
def test_a_foreign_place_is_not_gone_to(wanted: str | None) -> None:
    """`next` leads to paths of this site only."""
    assert own_path(wanted) == "/"


@pytest.mark.parametrize(
    "wanted",
    ["/", "/a", "/r/n4bQgYhMfWWaL-qgxVrQFaO_", "/requests?terminal_no=ATM-0001&stage=LOADED"],
)
def test_an_own_place_is_gone_to(wanted: str) -> None:
    """Paths of this site are kept as they are."""
    assert own_path(wanted) == wanted


async def test_a_page_for_people_leads_to_the_sign_in_page_and_back(house: House) -> None:
    """Without a session, or with one that has ended, the sign-in page knows where to return to."""
    response = await visit(house, "/o?x=1")
    there = urlsplit(response.headers["location"])
    assert (response.status_code, there.path) == (303, "/s")
    assert parse_qs(there.query) == {"next": ["/o?x=1"]}
    page = await visit(house, response.headers["location"])
    assert 'data-next="/o?x=1"' in page.text
    stale = await visit(house, "/o", cookie=f"{SECURE_COOKIE}=long-gone")
    assert stale.status_code == 303
    evil = await visit(house, "/s?next=//evil.example")
    assert 'data-next="/"' in evil.text


async def test_who_is_signed_in_is_led_on(house: House) -> None:
    """The sign-in page and the start lead somebody with a session to where they work."""
    signed_in = await visit(house, "/s?next=/a", house.world.first)
    assert (signed_in.status_code, signed_in.headers["location"]) == (303, "/a")
    administrator = await visit(house, "/", house.world.first)
    auditor = await visit(house, "/", house.world.third)
    assert administrator.headers["location"] == "/r"
    assert auditor.headers["location"] == "/requests"


async def test_the_page_names_who_is_signed_in_as_text(house: House) -> None:
    """A name with markup in it is shown, never run."""
    world = house.world
    name = "<script>alert(1)</script>"
    digest = pend(house, world.credential_entry(world.first, name=name, seq=2))
    with house.backstage.database.write() as session:
        credentialentries.activate_credential(session, digest)
    response = await visit(house, "/a", world.first)
    assert "(A1001)" in response.text
    assert name not in response.text
    assert Markup(response.text).faults == []


async def test_signing_out_ends_the_session_and_its_cookie(house: House) -> None:
    """The form in the header ends the session, in the database and in the browser."""
    token = await house.sign_in(house.world.first)
    response = await post_form(house, "/sign-out", {}, Cookie=f"{SECURE_COOKIE}={token}")
    assert (response.status_code, response.headers["location"]) == (303, "/s")
    assert f'{SECURE_COOKIE}=""' in response.headers["set-cookie"]
    assert (await house.get("/v1/reviews", session=token)).status_code == 401


# ---- files


async def test_a_file_is_kept_under_its_hash_only(house: House) -> None:
    """Under the hash of its content a file may be kept for ever; under another it may not."""
    found = asset("keyfill.css")
    kept = await house.client.get(found.url)
    assert kept.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert kept.headers["content-type"] == "text/css; charset=utf-8"
    assert kept.content == found.content
    for url in ("/static/keyfill.css", "/static/keyfill.css?v=0123456789abcdef"):
        other = await house.client.get(url)
        assert (other.status_code, other.headers["cache-control"]) == (200, "no-store")


@pytest.mark.parametrize(
    "name", ["nothing.js", "../rendering.py", "..%2frendering.py", "%2e%2e/x", "keyfill.css/"]
)
async def test_no_other_file_is_given_out(house: House, name: str) -> None:
    """What is no style sheet, script or picture of the pages is not there."""
    response = await house.client.get(f"/static/{name}")
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"


def test_a_script_imports_by_hash() -> None:
    """Modules name each other with hashes, so that no two versions meet in one page."""
    scripts = [asset(path.name) for path in FOLDER.glob("*.js")]
    assert len(scripts) > 5
    imports = [
        (script.name, *found)
        for script in scripts
        for found in re.findall(r'from "([^"?]+)(?:\?v=([0-9a-f]+))?"', script.content.decode())
    ]
    assert len(imports) > 20
    for script, path, version in imports:
        assert version == asset(path.removeprefix("/static/")).version, (script, path)


def test_the_scripts_load_and_write_nothing_foreign() -> None:
    """No script names another host, builds markup, or makes code from text."""
    for path in FOLDER.glob("*.js"):
        code = re.sub(r"(?m)^\s*(//|\*|/\*).*$", "", path.read_text())
        for forbidden in (
            "http:",
            "https:",
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            'setAttribute("style"',
            "console.",
        ):
            assert forbidden not in code, (path.name, forbidden)


def test_the_style_sheet_needs_nobody_else() -> None:
    """No import, no font, no picture from anywhere."""
    text = (FOLDER / "keyfill.css").read_text()
    assert "url(" not in text and "@import" not in text and "@font-face" not in text


# ---- errors


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


# ---- officers


async def test_auditors_see_what_officers_sign(house: House) -> None:
    """Name, staff number, masked number, key and entry of a pending enrolment; never the number."""
    world = house.world
    ninth = Administrator("person-9", "A1009", "Nina Ninth", "+4915112345990", jwk_signer("ninth"))
    digest = pend(house, world.credential_entry(ninth, officers=1))
    response = await visit(house, "/o", world.third)
    assert response.status_code == 200
    assert "Nina Ninth" in response.text and "A1009" in response.text
    assert mask_number(ninth.number) in response.text and ninth.number not in response.text
    assert ninth.kid in response.text
    assert digest in response.text.replace(" ", "")
    assert "1 of 2 signatures" in response.text
    assert Markup(response.text).faults == []


async def test_nobody_else_sees_what_officers_sign(house: House) -> None:
    """An administrator who is no auditor is refused, by a page."""
    response = await visit(house, "/o", house.world.first)
    assert response.status_code == 403
    assert "Only auditors may see this." in response.text
