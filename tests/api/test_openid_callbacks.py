"""Callbacks that answer no sign-in of this browser's, and where a sign-in leads."""

import dataclasses

import httpx
import pytest

from api.limits import RateLimits, Scope
from api.oidcbegun import BEGUN_SECONDS
from tests.support.apihouse import GENEROUS, House
from tests.support.markup import Markup
from tests.support.openidvisits import (
    AUDITORS,
    BROWSER,
    OpenIdHouse,
    session_of,
)
from tests.support.visits import visit


async def test_a_callback_counts_once_and_in_the_browser_that_began(bank: OpenIdHouse) -> None:
    """Without the cookie (login CSRF), with another's, with a wrong state, twice, or too late."""
    bank.are("S7001", AUDITORS)
    begun, other = await bank.begin(), await bank.begin()
    answer = bank.signed_in_there(begun)
    tries: list[tuple[dict[str, str], str | None, str]] = [
        (answer, None, "no-sign-in"),
        (answer, other.cookie, "foreign-state"),
        ({**answer, "state": "x" * 43}, begun.cookie, "foreign-state"),
        ({"code": answer["code"]}, begun.cookie, "foreign-state"),
        (answer, begun.cookie[:-1] + ("A" if begun.cookie[-1] != "A" else "B"), "no-sign-in"),
        (answer, "A" * 3000, "no-sign-in"),
    ]
    for said, cookie, reason in tries:
        response = await bank.back(said, cookie)
        assert response.status_code == 403
        assert "no longer valid" in response.text
        assert "set-cookie" not in response.headers
        assert bank.refusals()[-1] == (None, reason)
    assert (await bank.back(answer, begun.cookie)).status_code == 200
    bank.provider.codes[answer["code"]] = begun.asked
    assert (await bank.back(answer, begun.cookie)).status_code == 403
    assert bank.refusals()[-1] == (None, "state-spent")
    late = bank.signed_in_there(other)
    bank.house.world.pass_time(BEGUN_SECONDS)
    assert (await bank.back(late, other.cookie)).status_code == 403
    assert bank.refusals()[-1] == (None, "sign-in-expired")


async def test_another_sign_ins_code_is_of_no_use(bank: OpenIdHouse) -> None:
    """A code that was asked for with another verifier is refused by the provider (PKCE)."""
    bank.are("S7001", AUDITORS)
    attackers, begun = await bank.begin(), await bank.begin()
    stolen = bank.signed_in_there(attackers)
    answer = {**bank.signed_in_there(begun), "code": stolen["code"]}
    assert (await bank.back(answer, begun.cookie)).status_code == 403
    assert bank.refusals() == [(None, "code-refused")]


async def test_what_the_provider_is_asked(bank: OpenIdHouse) -> None:
    """Code flow, PKCE by S256, a nonce, our callback; each time anew, and the cookie is shut."""
    response = await bank.login(next="/requests")
    cookie = response.headers["set-cookie"]
    attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert {"httponly", "secure", "samesite=lax", "path=/", "max-age=600"} <= attributes
    assert cookie.startswith("__Host-")
    first, second = (await bank.begin()).asked, (await bank.begin()).asked
    for name in ("state", "nonce", "code_challenge"):
        assert len(first[name]) == 43 and first[name] != second[name]
        assert first[name] not in cookie
    assert first["response_type"] == "code" and first["code_challenge_method"] == "S256"
    assert "client_secret" not in first


async def test_an_error_from_the_provider_is_a_page(bank: OpenIdHouse) -> None:
    """Whatever it says: nothing of it is shown or recorded; and again there is no second use."""
    bank.provider.refuses = "access_denied<script>"
    begun = await bank.begin()
    answer = {**bank.signed_in_there(begun), "error_description": "planted-text"}
    response = await bank.back(answer, begun.cookie)
    assert response.status_code == 403
    assert "access_denied" not in response.text and "planted-text" not in response.text
    assert Markup(response.text).faults == []
    assert bank.refusals() == [(None, "provider-refused")]
    assert (await bank.back({"state": answer["state"]}, begun.cookie)).status_code == 403


async def test_a_parameter_twice_is_no_answer(bank: OpenIdHouse) -> None:
    """Two codes or two states: 400 (RFC 6749 section 3.1), and too long ones as well."""
    bank.are("S7001", AUDITORS)
    begun = await bank.begin()
    answer = bank.signed_in_there(begun)
    query = str(httpx.QueryParams(answer))
    for bad in (f"{query}&code=x", f"{query}&state={answer['state']}", f"{query}&x={'y' * 3000}"):
        assert (await bank.back(bad, begun.cookie)).status_code == 400
    assert (await bank.back(answer, begun.cookie)).status_code == 200


async def test_another_providers_answer_is_refused(bank: OpenIdHouse) -> None:
    """The `iss` of the answer is ours, and there if the provider says so (RFC 9207)."""
    bank.are("S7001", AUDITORS)
    bank.provider.document = {"authorization_response_iss_parameter_supported": True}
    for returns, status in (
        ({}, 403),
        ({"iss": "https://evil.example"}, 403),
        ({"iss": bank.provider.issuer}, 200),
    ):
        bank.provider.returns = returns
        assert (await bank.whole_way()).status_code == status
    assert bank.refusals() == [(None, "foreign-issuer")] * 2


# where it leads


async def test_it_leads_on_by_a_page_of_ours(bank: OpenIdHouse) -> None:
    """With a Strict cookie, which a redirect from the provider would not bring along."""
    bank.are("S7001", AUDITORS)
    response = await bank.whole_way(next="/requests?stage=LOADED")
    assert response.status_code == 200
    assert 'http-equiv="refresh" content="0; url=/requests?stage=LOADED"' in response.text
    assert Markup(response.text).faults == []
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["cache-control"] == "no-store"
    [cookie] = [
        one
        for one in response.headers.get_list("set-cookie")
        if one.startswith("__Host-keyfill_session=")
    ]
    attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert {"httponly", "secure", "samesite=strict", "path=/"} <= attributes
    there = await visit(
        bank.house, "/requests", cookie=f"__Host-keyfill_session={session_of(response)}"
    )
    assert there.status_code == 200
    assert "code=" not in response.text and "state=" not in response.text


@pytest.mark.parametrize(
    "wanted",
    ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)", "/a;x"],
)
async def test_it_leads_to_no_foreign_place(bank: OpenIdHouse, wanted: str) -> None:
    """Whatever `next` says, the way leads to a page of this site."""
    bank.are("S7001", AUDITORS)
    response = await bank.whole_way(next=wanted)
    assert 'content="0; url=/"' in response.text
    assert "evil" not in response.text


async def test_only_our_own_page_begins_a_sign_in(bank: OpenIdHouse) -> None:
    """Another site cannot have people signed in behind their backs."""
    for site, status in (("cross-site", 403), ("same-site", 403), ("none", 303)):
        headers = {**BROWSER, "Sec-Fetch-Site": site}
        response = await bank.house.client.get("/oidc/login", headers=headers)
        assert response.status_code == status


async def test_beginning_is_limited(bank: OpenIdHouse) -> None:
    """Too many from one address: 429 before the provider is called."""
    rates = RateLimits({**GENEROUS, Scope.LOGINS: "2 per minute"})
    bank.house.app.state.parts = dataclasses.replace(bank.house.parts, limits=rates)
    answers = [(await bank.login()).status_code for _ in range(3)]
    assert answers == [303, 303, 429]


async def test_the_sign_in_page_offers_it(bank: OpenIdHouse, house: House) -> None:
    """By the provider's name, in both languages, without a script; and not without a provider."""
    for language, words in (("en", "Sign in with Bank Sign-in"), ("zh-CN", "用 Bank Sign-in 登录")):
        page = await visit(house, "/s?next=/requests", language=language)
        assert words in page.text and 'href="/oidc/login?next=%2Frequests"' in page.text
        assert Markup(page.text).faults == []
    house.app.state.parts = dataclasses.replace(house.parts, openid=None)
    assert "/oidc/login" not in (await visit(house, "/s")).text
    for path in ("/oidc/login", "/oidc/callback?code=x&state=y"):
        assert (await visit(house, path)).status_code == 404
