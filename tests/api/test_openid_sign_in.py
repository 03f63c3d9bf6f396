"""Sign-in by OpenID Connect: who comes in with which role, and what is kept of it."""

import json
import logging

import httpx
import pytest
from sqlalchemy import text

from api.tokens import SESSION_SECONDS
from records import credentialentries
from records.schema import METADATA
from tests.support.apihouse import House
from tests.support.markup import Markup
from tests.support.openidprovider import CLIENT_SECRET, rsa_key
from tests.support.openidvisits import (
    ADMINISTRATORS,
    AUDITORS,
    OPERATORS,
    OpenIdHouse,
    house_with_provider,
    session_of,
)
from tests.support.visits import post_form, visit


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
