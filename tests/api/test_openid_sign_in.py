"""Sign-in by OpenID Connect: who comes in with which role, and all that is not taken for it."""

import dataclasses
import json
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
import pytest_asyncio
from joserfc import jws
from sqlalchemy import text
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from api.limits import RateLimits, Scope
from api.oidcbegun import BEGUN_SECONDS
from api.oidcclient import MAX_ANSWER_BYTES
from api.oidcprovider import ANEW_SECONDS
from api.tokens import SESSION_SECONDS
from ceremony.encoding import b64url, from_b64url
from records import credentialentries
from records.schema import METADATA
from tests.support.apihouse import GENEROUS, House
from tests.support.markup import Markup
from tests.support.openidprovider import CLIENT_SECRET, ec_key, rsa_key, under_public_key, unsigned
from tests.support.openidvisits import BROWSER, OpenIdHouse, house_with_provider, session_of
from tests.support.visits import post_form, visit

AUDITORS, OPERATORS, ADMINISTRATORS = (
    "keyfill-auditors",
    "keyfill-operators",
    "keyfill-administrators",
)


@pytest_asyncio.fixture
async def bank(house: House) -> AsyncIterator[OpenIdHouse]:
    """A house with a provider."""
    async with house_with_provider(house) as made:
        yield made


# those who come in


async def test_an_auditor_without_a_passkey_signs_in(bank: OpenIdHouse) -> None:
    """By the group alone: the session searches and takes evidence, and ends after half an hour."""
    session = await bank.session("S7001", AUDITORS, "others", name="Olga Auditor")
    load = await bank.house.open()
    assert (await bank.house.get("/v1/loading-requests", session=session)).status_code == 200
    taken = await bank.house.get(f"{load.path}/evidence", session=session)
    assert taken.status_code == 200
    [event] = bank.house.events("evidence-taken")
    assert (event.actor, event.actor_kind) == ("S7001", "auditor")
    bank.house.world.pass_time(SESSION_SECONDS - 1)
    assert (await bank.house.get("/v1/loading-requests", session=session)).status_code == 200
    bank.house.world.pass_time(1)
    assert (await bank.house.get("/v1/loading-requests", session=session)).status_code == 401


async def test_an_operator_sees_what_operations_need_and_nothing_that_proves(
    bank: OpenIdHouse,
) -> None:
    """The list and the timelines without a KCV; no evidence, no reviews, no pending entries."""
    house = bank.house
    load = await house.open()
    await load.confirm()
    kcv = await load.receive()
    operator = await bank.session("S7002", "CN=Operations,OU=ATM")
    auditor = await bank.session("S7001", AUDITORS)
    listed = await house.get("/v1/loading-requests", session=operator)
    assert [one["stage"] for one in listed.json()["loading_requests"]] == ["LOADED"]
    assert kcv not in listed.text
    assert kcv in (await house.get("/v1/loading-requests", session=auditor)).text
    assert (await house.get(f"{load.path}/events", session=operator)).status_code == 200
    assert (await house.get("/v1/reviews", session=operator)).json() == {"reviews": []}
    for path, status in (
        (f"{load.path}/evidence", 403),
        (load.path, 404),
        (f"/v1/reviews/{load.id}", 404),
    ):
        assert (await house.get(path, session=operator)).status_code == status, path

    async def page(path: str, session: str) -> httpx.Response:
        return await visit(house, path, cookie=f"__Host-keyfill_session={session}")

    seen = await page(f"/requests/{load.id}", operator)
    assert seen.status_code == 200 and Markup(seen.text).faults == []
    assert kcv not in seen.text and 'class="payload"' not in seen.text
    assert kcv in (await page(f"/requests/{load.id}", auditor)).text
    assert (await page("/requests", operator)).status_code == 200
    assert (await page("/o", operator)).status_code == 403
    assert (await page("/", operator)).headers["location"] == "/requests"


async def test_an_administrator_is_the_enrolled_person(bank: OpenIdHouse) -> None:
    """Of the groups' roles and the entry's what both have, under the entry's name."""
    house, first = bank.house, bank.house.world.first
    load = await house.open()
    session = await bank.session(first.staff_no, ADMINISTRATORS, name="Somebody Else")
    assert (await load.ask_code(session)).json()["sent_to"].endswith(first.number[-2:])
    page = await visit(house, "/a", cookie=f"__Host-keyfill_session={session}")
    assert first.name in page.text and "Somebody Else" not in page.text
    assert (await house.get("/v1/loading-requests", session=session)).status_code == 403


async def test_an_openid_session_serves_the_signer_and_signs_nothing(bank: OpenIdHouse) -> None:
    """Statements of the same person's credential are taken in it; by itself it does nothing."""
    house, world = bank.house, bank.house.world
    load = await house.open()
    first = await bank.session(world.first.staff_no, ADMINISTRATORS)
    second = await bank.session(world.second.staff_no, ADMINISTRATORS)
    assert (await load.ask_code(first)).status_code == 202
    for body in ({}, {"statement": ""}, {"statement": "a.b.c"}):
        rest = {"qr_text": load.qr_text, "sms_code": load.sms_code()}
        answer = await house.post("/v1/applications", {**body, **rest}, session=first)
        assert answer.status_code in (400, 422)
    forged = load.new_application(signer=world.third.signer)
    assert (await load.send_application(forged, first)).status_code in (401, 403)
    application = load.new_application()
    assert (await load.send_application(application, second)).status_code == 403
    assert (await load.send_application(application, first)).status_code == 200
    path = f"/v1/reviews/{load.id}/decision"
    answer = await house.post(path, {"statement": "a.b.c"}, session=second)
    assert answer.status_code == 400
    foreign = world.decision(application, signer=world.third.signer)
    answer = await house.post(path, {"statement": foreign.text}, session=second)
    assert answer.status_code in (401, 403)
    decision = world.decision(application)
    statement = json.loads(decision.text)
    answer = await house.post(path, {"statement": statement}, session=first)
    assert (answer.status_code, answer.json()["code"]) == (403, "not-your-session")
    answer = await house.post(path, {"statement": statement}, session=second)
    assert (answer.status_code, answer.json()["stage"]) == (200, "AWAITING_CONFIRMATION")


async def test_the_sign_in_is_on_record(bank: OpenIdHouse) -> None:
    """Who, how, with which roles; the roles of a person in several groups together."""
    await bank.session("S7003", OPERATORS, AUDITORS)
    await bank.session(bank.house.world.first.staff_no, ADMINISTRATORS, OPERATORS)
    told = [
        (one.actor, one.actor_kind.value, json.loads(one.detail))
        for one in bank.house.events("session-opened")
    ]
    assert told == [
        ("S7003", "auditor", {"by": "openid-connect", "roles": ["operator", "auditor"]}),
        (
            bank.house.world.first.staff_no,
            "administrator",
            {"by": "openid-connect", "roles": ["administrator", "operator"]},
        ),
    ]


async def test_a_public_client_and_a_secret_in_the_form_serve_too(house: House) -> None:
    """Each way of proving a client that a provider may want (Core 1.0, section 9)."""
    async with house_with_provider(house) as bank:
        bank.provider.document = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
        await bank.session("S7001", AUDITORS)
    async with house_with_provider(house, client_secret=None) as bank:
        bank.provider.secret = None
        await bank.session("S7001", AUDITORS)


async def test_rsa_signatures_and_several_audiences_are_taken(bank: OpenIdHouse) -> None:
    """RS256 and PS256; an audience list if we are the party it was issued to."""
    for algorithm in ("RS256", "PS256"):
        house = OpenIdHouse.of(bank.house, bank.provider)
        bank.provider.keys, bank.provider.algorithm = [rsa_key("rsa")], algorithm
        bank.provider.claims = {"aud": ["keyfill", "other"], "azp": "keyfill"}
        await house.session("S7001", AUDITORS)


# roles that nobody has, or has no longer


async def test_without_a_role_there_is_a_page_and_no_session(bank: OpenIdHouse) -> None:
    """No group of ours; an administrator whom no officer enrolled, or enrolled as an auditor."""
    world = bank.house.world
    people: list[tuple[str, list[str], str]] = [
        ("S7009", ["others"], "no-group"),
        ("S7009", [], "no-group"),
        ("S7009", [ADMINISTRATORS], "no-credential"),
        (world.third.staff_no, [ADMINISTRATORS], "no-credential"),
    ]
    for staff_no, groups, reason in people:
        bank.are(staff_no, *groups)
        response = await bank.whole_way()
        assert response.status_code == 403
        assert "no role here" in response.text and Markup(response.text).faults == []
        assert "set-cookie" not in response.headers
        assert bank.refusals()[-1] == (staff_no, reason)
    bank.provider.who = {"staff_no": "S7009", "groups": {"keyfill-auditors": True}}
    assert (await bank.whole_way()).status_code == 403
    assert bank.house.events("session-opened") == []


async def test_an_administrator_without_the_credential_keeps_the_other_roles(
    bank: OpenIdHouse,
) -> None:
    """In two groups and not enrolled: an operator, and nothing more."""
    session = await bank.session("S7009", ADMINISTRATORS, OPERATORS)
    house = bank.house
    assert (await house.get("/v1/loading-requests", session=session)).status_code == 200
    load = await house.open()
    asked = await load.ask_code(session)
    assert asked.status_code == 202 and asked.json()["sent_to"].strip("*•") == ""
    document = await house.post(
        "/v1/applications/document", {"qr_text": load.qr_text}, session=session
    )
    assert document.status_code == 403


async def test_revoking_a_credential_ends_the_administrators_openid_sessions(
    bank: OpenIdHouse,
) -> None:
    """At once; and it opens none any more."""
    first = bank.house.world.first
    session = await bank.session(first.staff_no, ADMINISTRATORS, OPERATORS)
    assert (await bank.house.get("/v1/reviews", session=session)).status_code == 200
    with bank.house.backstage.database.write() as write:
        row = credentialentries.current_credential(write, first.person)
        assert row is not None
        credentialentries.revoke_credential(write, row.digest, now=bank.house.world.now)
    assert (await bank.house.get("/v1/reviews", session=session)).status_code == 401
    bank.are(first.staff_no, ADMINISTRATORS)
    assert (await bank.whole_way()).status_code == 403


async def test_signing_out_ends_the_openid_session(bank: OpenIdHouse) -> None:
    """Here; at the provider the person may still be signed in."""
    session = await bank.session("S7001", AUDITORS)
    await post_form(bank.house, "/sign-out", {}, Cookie=f"__Host-keyfill_session={session}")
    assert (await bank.house.get("/v1/loading-requests", session=session)).status_code == 401


async def test_rows_that_others_wrote_are_no_sessions(bank: OpenIdHouse) -> None:
    """A changed role, name or end, and a row without a seal of the API's: 401."""
    house = bank.house
    changes = {
        "roles": '["administrator", "operator", "auditor"]',
        "staff_no": "S7777",
        "expires_at": house.world.now + 100_000,
        "seal": "Ä",
        "source": "credential",
        "person": house.world.first.person,
    }
    for name, value in changes.items():
        session = await bank.session("S7002", OPERATORS)
        assert (await house.get("/v1/loading-requests", session=session)).status_code == 200
        with house.backstage.database.write() as write:
            write.connection().execute(
                text(f"UPDATE sessions SET {name} = :value WHERE ended_at IS NULL"),  # noqa: S608
                {"value": value},
            )
        answer = await house.get("/v1/loading-requests", session=session)
        assert answer.status_code == 401, name


# tokens that prove nothing


def _turned(token: str) -> str:
    """The token with one bit of its signature turned."""
    head, _, signature = token.rpartition(".")
    return f"{head}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"


def _swapped(token: str) -> str:
    """The token's signature over other claims."""
    head, claims, signature = token.split(".")
    said = json.loads(from_b64url(claims)) | {"groups": [AUDITORS, ADMINISTRATORS]}
    return f"{head}.{b64url(json.dumps(said).encode())}.{signature}"


def _headed(header: str) -> Callable[[str], str]:
    """The same claims under another header."""
    return lambda token: f"{b64url(header.encode())}.{token.partition('.')[2]}"


def _twofold(token: str) -> str:
    """Signed, and with two lists of groups: readers may differ about which counts."""
    said = from_b64url(token.split(".")[1])[:-1] + b',"groups":[]}'
    return jws.serialize_compact({"alg": "ES256", "kid": "first"}, said, ec_key("first"))


TOKENS: list[tuple[str, dict[str, Any]]] = [
    ("id-token-iss", {"claims": {"iss": "https://evil.example"}}),
    ("id-token-iss", {"claims": {"iss": None}}),
    ("id-token-aud", {"claims": {"aud": "another"}}),
    ("id-token-aud", {"claims": {"aud": None}}),
    ("id-token-azp", {"claims": {"aud": ["keyfill", "another"]}}),
    ("id-token-azp", {"claims": {"azp": "another"}}),
    ("id-token-nonce", {"claims": {"nonce": "another"}}),
    ("id-token-nonce", {"claims": {"nonce": None}}),
    ("id-token-exp", {"claims": {"exp": None}}),
    ("id-token-exp", {"claims": {"exp": "9999999999"}}),
    ("id-token-iat", {"claims": {"iat": None}}),
    ("id-token-sub", {"claims": {"sub": None}}),
    ("id-token-at-hash", {"claims": {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}}),
    ("id-token-key-unknown", {"header": {"kid": "nobodys"}}),
    ("id-token-signature", {"spoil": _turned}),
    ("id-token-signature", {"spoil": _swapped}),
    ("id-token-signature", {"spoil": lambda _: "no token"}),
    ("id-token-algorithm", {"spoil": unsigned}),
    ("id-token-signature", {"spoil": _headed('"alg"')}),
    ("id-token-signature", {"spoil": _headed('["alg"]')}),
    ("id-token-signature", {"spoil": _headed('{"alg": "ES256", "kid": "first", "crit": 5}')}),
    ("id-token-malformed", {"spoil": _twofold}),
    ("id-token-malformed", {"claims": {"deep": [[[[[[[[1]]]]]]]]}}),
    ("id-token-malformed", {"claims": {"at_hash": {"a": 1}}}),
    ("id-token-missing", {"answer": {"id_token": None}}),
    ("staff-number-missing", {"claims": {"staff_no": None}}),
    ("staff-number-missing", {"claims": {"staff_no": "A 1"}}),
    ("staff-number-missing", {"claims": {"staff_no": ["S7001"]}}),
    ("code-refused", {"answer": {"error": "invalid_grant"}}),
]


async def test_what_proves_nothing_signs_nobody_in(bank: OpenIdHouse) -> None:
    """Issuer, audience, azp, nonce, times, key, signature, algorithm, staff number: each refused.

    The page says no more than that; the audit trail says why.
    """
    bank.are("S7001", AUDITORS)
    plain = {"claims": {}, "header": {}, "answer": {}, "spoil": lambda token: token}
    for reason, changed in TOKENS:
        for name, value in {**plain, **changed}.items():
            setattr(bank.provider, name, value)
        response = await bank.whole_way()
        assert response.status_code == 403, (reason, changed)
        assert bank.refusals()[-1] == (None, reason), changed
        assert "The sign-in was not accepted." in response.text
        assert reason not in response.text
        assert "set-cookie" not in response.headers
    assert bank.house.events("session-opened") == []
    for name, value in plain.items():
        setattr(bank.provider, name, value)
    assert (await bank.whole_way()).status_code == 200


async def test_the_times_of_a_token_are_bounded(bank: OpenIdHouse) -> None:
    """Expired, not yet issued, or older than the sign-in: refused beyond a minute's difference."""
    bank.are("S7001", AUDITORS)
    now = bank.house.world.now
    for claims, reason in (
        ({"exp": now - 61}, "id-token-exp"),
        ({"iat": now + 62}, "id-token-iat"),
        ({"nbf": now + 62}, "id-token-nbf"),
        ({"iat": now - 61}, "id-token-iat"),
    ):
        bank.provider.claims = claims
        assert (await bank.whole_way()).status_code == 403, claims
        assert bank.refusals()[-1] == (None, reason)
    for claims in ({"exp": now - 59}, {"iat": now + 60}, {"iat": now - 60}):
        bank.provider.claims = claims
        assert (await bank.whole_way()).status_code == 200, claims


async def test_a_public_key_is_no_shared_secret(bank: OpenIdHouse) -> None:
    """HS256 with the provider's public RSA key as the secret, the classic confusion: refused."""
    bank.provider.keys, bank.provider.algorithm = [rsa_key("rsa")], "RS256"
    bank.provider.spoil = under_public_key(rsa_key("rsa"))
    bank.are("S7001", AUDITORS)
    assert (await bank.whole_way()).status_code == 403
    assert bank.refusals() == [(None, "id-token-algorithm")]


async def test_a_key_of_another_kind_or_set_does_not_sign(bank: OpenIdHouse) -> None:
    """Another key under a known key's id, and an algorithm that is not the key's: refused."""
    await bank.session("S7001", AUDITORS)
    bank.provider.keys = [ec_key("foreign")]
    bank.provider.header = {"kid": "first"}
    assert (await bank.whole_way()).status_code == 403
    assert bank.refusals()[-1] == (None, "id-token-signature")
    bank.provider.keys, bank.provider.algorithm = [rsa_key("rsa")], "RS256"
    assert (await bank.whole_way()).status_code == 403
    assert bank.refusals()[-1] == (None, "id-token-signature")


async def test_a_rotation_at_the_provider_is_followed_and_not_at_anyones_pace(
    bank: OpenIdHouse,
) -> None:
    """An unknown key id has the keys fetched once more, and again only after a minute."""

    def fetched() -> int:
        return bank.provider.calls.count("/keys")

    await bank.session("S7001", AUDITORS)
    await bank.session("S7001", AUDITORS)
    assert fetched() == 1
    bank.provider.keys = [ec_key("second"), ec_key("first")]
    await bank.session("S7001", AUDITORS)
    assert fetched() == 2
    bank.provider.header = {"kid": "nobodys"}
    for _ in range(3):
        assert (await bank.whole_way()).status_code == 403
    assert fetched() == 2
    bank.house.world.pass_time(ANEW_SECONDS)
    for _ in range(3):
        assert (await bank.whole_way()).status_code == 403
    assert fetched() == 3
    bank.provider.header = {}
    await bank.session("S7001", AUDITORS)
    assert bank.provider.calls.count("/.well-known/openid-configuration") == 1


# callbacks that answer no sign-in of this browser's


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


# a provider that is away, slow or wrong


async def unavailable(bank: OpenIdHouse) -> None:
    """Beginning is a 503 with a page; passkeys go on."""
    response = await bank.login()
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) >= 1
    assert "or use a passkey" in response.text
    assert Markup(response.text).faults == []
    await bank.house.sign_in(bank.house.world.second)


DISCOVERY = "/.well-known/openid-configuration"
DOCUMENTS: list[dict[str, Any]] = [
    {"issuer": "https://evil.example"},
    {"issuer": None},
    {"authorization_endpoint": "http://evil.example/authorize"},
    {"token_endpoint": "http://10.0.0.1/token"},
    {"jwks_uri": "file:///etc/passwd"},
    {"jwks_uri": None},
    {"response_types_supported": ["id_token"]},
    {"code_challenge_methods_supported": ["plain"]},
    {"id_token_signing_alg_values_supported": ["HS256", "none"]},
    {"token_endpoint_auth_methods_supported": ["private_key_jwt"]},
]


async def test_a_provider_that_says_what_cannot_be_used_is_not_used(bank: OpenIdHouse) -> None:
    """Another issuer, endpoints without TLS, no code flow, no PKCE, symmetric algorithms only."""
    for document in DOCUMENTS:
        bank.provider.document = document
        assert (await bank.login()).status_code == 503, document
    await unavailable(bank)
    bank.provider.document = {}
    assert (await bank.login()).status_code == 303


BAD_ANSWERS: list[Callable[[], Response]] = [
    lambda: PlainTextResponse("x" * (MAX_ANSWER_BYTES + 1)),
    lambda: PlainTextResponse("no JSON"),
    lambda: PlainTextResponse("[]"),
    lambda: PlainTextResponse('{"issuer": "a", "issuer": "b"}'),
    lambda: PlainTextResponse("fault", 500),
    lambda: PlainTextResponse("gone", 404),
    lambda: RedirectResponse("/elsewhere"),
]


async def test_a_provider_that_answers_wrongly_is_away(bank: OpenIdHouse) -> None:
    """Too large, no JSON, ambiguous, a fault, a redirect: 503 at each of its three places."""
    for answer in BAD_ANSWERS:
        bank.provider.fails = {DISCOVERY: answer()}
        assert (await bank.login()).status_code == 503
    await unavailable(bank)
    bank.provider.fails = {}
    bank.are("S7001", AUDITORS)
    for path in ("/token", "/keys"):
        bank.provider.fails = {path: BAD_ANSWERS[0]()}
        assert (await bank.whole_way()).status_code == 503
        bank.provider.fails = {path: BAD_ANSWERS[4]()}
        response = await bank.whole_way()
        assert response.status_code == 503
        assert "code-" not in response.text
    bank.provider.fails = {}
    assert (await bank.whole_way()).status_code == 200
    assert bank.refusals() == []


async def test_a_slow_provider_holds_nobody_up(house: House) -> None:
    """The whole call is bounded, and others are served meanwhile."""
    async with house_with_provider(house, seconds=0.2) as bank:
        bank.provider.sleeps = {DISCOVERY: 5}
        await unavailable(bank)


async def test_a_provider_that_is_away_leaves_passkeys_alone(house: House) -> None:
    """Nobody listens there any more."""
    async with house_with_provider(house) as bank:
        pass
    await unavailable(bank)


# what is kept


async def test_nothing_of_a_sign_in_is_logged_or_stored(
    bank: OpenIdHouse, caplog: pytest.LogCaptureFixture
) -> None:
    """Codes, tokens, states, nonces, verifiers, cookies, client secret: in no log and no table."""
    caplog.set_level(logging.DEBUG)
    bank.are("S7001", AUDITORS)
    secrets = [CLIENT_SECRET, "access-token-51"]
    for claims, status in (({}, 200), ({"aud": "another"}, 403)):
        bank.provider.claims = claims
        begun = await bank.begin()
        answer = bank.signed_in_there(begun)
        response = await bank.back(answer, begun.cookie)
        assert response.status_code == status
        asked = begun.asked
        secrets += [begun.cookie, answer["code"], asked["state"], asked["nonce"]]
        secrets += [asked["code_challenge"], *bank.provider.given]
        secrets += [session_of(response)] if status == 200 else []
        await bank.back(answer, begun.cookie)
    with bank.house.backstage.database.read() as session:
        stored = "".join(
            repr(row)
            for table in METADATA.tables.values()
            for row in session.connection().execute(table.select())
        )
    logged = "".join(record.getMessage() for record in caplog.records if record.name != "httpx")
    assert "S7001" in stored and "a sign-in by OpenID Connect was refused" in logged
    # httpx names addresses: the test's own browser calls ours, with codes in them.
    called = [one.getMessage() for one in caplog.records if one.name == "httpx"]
    theirs = "".join(one for one in called if bank.provider.issuer in one)
    assert f"{bank.provider.issuer}/token" in theirs
    for secret in secrets:
        assert secret not in stored
        assert secret not in logged
        assert secret not in theirs
    assert all(secret not in repr(bank.house.parts) for secret in secrets)


async def test_a_name_is_shown_as_text(bank: OpenIdHouse) -> None:
    """Whatever the provider calls somebody is cut, cleaned and escaped."""
    name = "<script>alert(1)</script>\u0000\n\ud800" + "x" * 200
    session = await bank.session("S7001", AUDITORS, name=name)
    page = await visit(bank.house, "/requests", cookie=f"__Host-keyfill_session={session}")
    assert "&lt;script&gt;" in page.text and "<script>alert" not in page.text
    assert "x" * 100 not in page.text
    assert Markup(page.text).faults == []
