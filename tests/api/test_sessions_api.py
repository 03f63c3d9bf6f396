"""Sessions: who may do what, for how long, and what is kept of them."""

import json
from typing import Any

import pytest
from sqlmodel import select

from api.sessionseal import SessionForged, SessionSeal
from api.tokens import SESSION_SECONDS, session_digest
from engine.keyring import KeyRing
from records import credentialentries
from records.tables.session import SessionRow, SessionSource
from tests.support.apihouse import House, wire

COOKIE = "__Host-keyfill_session"


async def test_the_database_holds_no_session_token(house: House) -> None:
    """Of a session only its token's digest is stored."""
    token = await house.sign_in(house.world.first)
    with house.backstage.database.read() as session:
        [row] = session.exec(select(SessionRow)).all()
    assert token not in row.model_dump_json()
    assert (row.person, row.kid) == (house.world.first.person, house.world.first.kid)


async def test_a_login_is_on_record(house: House) -> None:
    """Who signed in, how and with which roles."""
    await house.sign_in(house.world.first)
    await house.sign_in(house.world.third)
    told = [
        (one.actor, one.actor_kind.value, json.loads(one.detail))
        for one in house.events("session-opened")
    ]
    for _, _, detail in told:
        assert len(detail.pop("digest")) == 64
    assert told == [
        (who.staff_no, role, {"by": "credential", "roles": [role]})
        for who, role in (
            (house.world.first, "administrator"),
            (house.world.third, "auditor"),
        )
    ]


async def test_a_passkey_signs_in_as_well(house: House) -> None:
    """The WebAuthn form of a login opens a session like a JWS does."""
    session = await house.sign_in(house.world.second)
    assert (await house.get("/v1/reviews", session=session)).json() == {"reviews": []}


async def test_a_session_ends_after_half_an_hour(house: House) -> None:
    """A session lives 1800 seconds, however busy, and says so."""
    login = house.world.login(challenge=house.challenge())
    opened = (await house.post("/v1/sessions", {"statement": wire(login)})).json()
    assert opened["expires_at"] == house.world.now + SESSION_SECONDS
    house.world.pass_time(SESSION_SECONDS - 1)
    assert (await house.get("/v1/reviews", session=opened["session_token"])).status_code == 200
    house.world.pass_time(1)
    assert (await house.get("/v1/reviews", session=opened["session_token"])).status_code == 401


async def test_signing_out_ends_the_session(house: House) -> None:
    """A session that was signed out of is no session any more."""
    session = await house.sign_in(house.world.first)
    left = await house.client.delete("/v1/sessions", headers={"Authorization": f"Bearer {session}"})
    assert left.status_code == 204
    assert (await house.get("/v1/reviews", session=session)).status_code == 401


async def test_the_cookie_is_out_of_a_scripts_reach_and_works_alone(house: House) -> None:
    """The cookie is HttpOnly, Secure, SameSite=Strict and host-bound, and serves as the session."""
    login = house.world.login(challenge=house.challenge())
    response = await house.client.post("/v1/sessions", json={"statement": wire(login)})
    cookie = response.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}={response.json()['session_token']}; ")
    attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert {"httponly", "secure", "samesite=strict", "path=/"} <= attributes
    assert (await house.client.get("/v1/reviews")).status_code == 200


async def test_a_revoked_credential_ends_its_sessions(house: House) -> None:
    """Whoever is revoked is signed out at once."""
    session = await house.sign_in(house.world.first)
    with house.backstage.database.write() as write:
        row = credentialentries.current_credential(write, house.world.first.person)
        assert row is not None
        credentialentries.revoke_credential(write, row.digest, now=house.world.now)
    assert (await house.get("/v1/reviews", session=session)).status_code == 401


def planted(house: House, token: str, **fields: Any) -> SessionRow:
    """A session row of the first administrator's own person and key, without a seal."""
    first, now = house.world.first, house.world.now
    said = {
        "token_digest": session_digest(token),
        "source": SessionSource.CREDENTIAL,
        "person": first.person,
        "kid": first.kid,
        "staff_no": first.staff_no,
        "name": first.name,
        "roles": '["administrator", "auditor"]',
        "created_at": now,
        "expires_at": now + 1000,
        "seal": "",
    }
    return SessionRow(**{**said, **fields})


async def test_a_session_row_that_the_api_did_not_seal_is_worth_nothing(house: House) -> None:
    """Whoever can write session rows cannot make a session, not even of a right person and key."""
    right = house.parts.session_seal.seal(planted(house, "right"))
    rows = {
        "unsealed": planted(house, "unsealed"),
        "anothers": planted(house, "anothers", seal=right),
        "nobodys": planted(house, "nobodys", person=None, kid=None, seal=right),
        "other-key": planted(
            house,
            "other-key",
            seal=SessionSeal((b"another session key, of 32 bytes",)).seal(
                planted(house, "other-key")
            ),
        ),
    }
    with house.backstage.database.write() as write:
        for row in rows.values():
            write.add(row)
    for token in rows:
        assert (await house.get("/v1/reviews", session=token)).status_code == 401, token


async def test_a_sealed_row_rests_on_its_entry_all_the_same(house: House) -> None:
    """The API's own row under another key than the one enrolled now is no session either."""
    row = planted(house, "other", kid="another-kid")
    row.seal = house.parts.session_seal.seal(row)
    with house.backstage.database.write() as write:
        write.add(row)
    assert (await house.get("/v1/reviews", session="other")).status_code == 401


def test_a_seal_outlives_the_rotation_of_payload_keys(house: House) -> None:
    """The newest key seals and every key of the ring checks; a key that is out does not."""
    row = planted(house, "x")
    old, new = (
        f"{name}:{key}" for name, key in (("k1", "0a" * 31 + "0b"), ("k2", "0c" * 31 + "0d"))
    )
    row.seal = SessionSeal.of_ring(KeyRing.read(old)).seal(row)
    SessionSeal.of_ring(KeyRing.read(f"{new} {old}")).check(row)
    with pytest.raises(SessionForged):
        SessionSeal.of_ring(KeyRing.read(new)).check(row)
    with pytest.raises(ValueError, match="32 bytes"):
        SessionSeal((b"short",))


@pytest.mark.parametrize("token", ["", "nonsense", "A" * 43, "A" * 101, "Ä"])
async def test_a_foreign_token_is_not_authenticated(house: House, token: str) -> None:
    """A token that nobody was given: 401 with a challenge, whatever its form."""
    response = await house.client.get(
        "/v1/reviews", headers={b"Authorization": f"Bearer {token}".encode()}
    )
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "call",
    [
        ("GET", "/v1/reviews"),
        ("GET", "/v1/reviews/" + "A" * 24),
        ("GET", "/v1/loading-requests"),
        ("GET", "/v1/loading-requests/" + "A" * 24),
        ("GET", "/v1/loading-requests/" + "A" * 24 + "/events"),
        ("GET", "/v1/loading-requests/" + "A" * 24 + "/evidence"),
        ("DELETE", "/v1/sessions"),
        ("POST", "/v1/applications/document"),
        ("POST", "/v1/applications/sms-codes"),
    ],
)
async def test_without_a_session_there_is_nothing_to_see(
    house: House, call: tuple[str, str]
) -> None:
    """Every call that needs a session answers 401 without one."""
    method, path = call
    body = {"qr_text": "x"} if method == "POST" else None
    response = await house.client.request(method, path, json=body)
    assert (response.status_code, response.json()["code"]) == (401, "not-authenticated")
