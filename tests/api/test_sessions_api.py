"""Sessions: who may do what, for how long, and what is kept of them."""

import pytest
from sqlmodel import select

from api.tokens import SESSION_SECONDS, session_digest
from records import credentialentries
from records.tables.session import SessionRow
from tests.support.apihouse import House, wire

COOKIE = "__Host-keyfill_session"


async def test_the_database_holds_no_session_token(house: House) -> None:
    """Of a session only its token's digest is stored."""
    token = await house.sign_in(house.world.first)
    with house.backstage.database.read() as session:
        [row] = session.exec(select(SessionRow)).all()
    assert token not in row.model_dump_json()
    assert (row.person, row.kid) == (house.world.first.person, house.world.first.kid)


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


async def test_a_session_row_without_a_signed_entry_is_worth_nothing(house: House) -> None:
    """Whoever can write session rows still cannot act: the entry behind it is verified."""
    now = house.world.now
    with house.backstage.database.write() as write:
        row = SessionRow(
            token_digest=session_digest("forged"),
            person=house.world.first.person,
            kid="another-kid",
            roles='["auditor"]',
            created_at=now,
            expires_at=now + 1000,
        )
        write.add(row)
    assert (await house.get("/v1/reviews", session="forged")).status_code == 401


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
