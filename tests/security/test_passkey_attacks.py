"""Passkeys bent in every way, against the whole system: over HTTP, and past it."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from ceremony.encoding import b64url
from ceremony.keys import SigningKey
from ceremony.reasons import Reason
from ceremony.signing import sign
from ceremony.stages import Stage
from ceremony.statements import ApplicationPayload, DecisionPayload, LoginPayload, Payload
from ceremony.verification import peek
from tests.support.attacked import Bench, Person, Place
from tests.support.authenticator import Passkey
from tests.support.genuine import Ceremony, common, digest_of, written
from tests.support.ledger import Account
from tests.support.passkeypeople import bends, with_passkeys
from tests.support.trespass import Trespasser

pytestmark = pytest.mark.asyncio(loop_scope="session")

Bent = Callable[[Payload], str]


def passkey_of(person: Person) -> Passkey:
    """The person's passkey."""
    assert person.passkey is not None
    return person.passkey


def tricks(bench: Bench, place: Place, who: Person) -> dict[str, Bent]:
    """Every way of signing a payload that is not this person's passkey's assertion of it."""
    mine = passkey_of(who)
    other = passkey_of(place.second if who is place.first else place.first)
    stranger = replace(mine, key=SigningKey.generate())

    def bent(how: dict[str, Any]) -> Bent:
        return lambda payload: mine.sign(payload, **how)

    def jws_as_passkey(payload: Payload) -> str:
        # The compact form's signature, put into the other form under the same credential.
        document = json.loads(mine.sign(payload))
        signature = sign(payload, mine.key).rpartition(".")[2]
        return json.dumps({**document, "signature": signature})

    def anothers_assertion(payload: Payload) -> str:
        document = json.loads(other.sign(payload))
        return json.dumps({**document, "credential_id": mine.credential_id})

    def under_anothers_id(payload: Payload) -> str:
        document = json.loads(mine.sign(payload))
        return json.dumps({**document, "credential_id": other.credential_id})

    return {
        **{what: bent(how) for what, how in bends(bench).items()},
        "another key under this credential's id": stranger.sign,
        "another's assertion under this credential's id": anothers_assertion,
        "this assertion under another's credential id": under_anothers_id,
        "an unknown credential id": replace(mine, credential_id=b64url(b"unknown")).sign,
        "a JWS by the passkey's key": lambda payload: sign(payload, mine.key),
        "a JWS signature in an assertion": jws_as_passkey,
        "a counter that stands still": bent({"count": 0}),
    }


def application(load: Ceremony) -> ApplicationPayload:
    """What the first administrator honestly says."""
    load.sign_application()
    payload = peek(load.said["application"]).payload
    assert isinstance(payload, ApplicationPayload)
    return payload


def decision(load: Ceremony) -> DecisionPayload:
    """What the second administrator honestly says."""
    load.sign_decision()
    payload = peek(load.said["decision"]).payload
    assert isinstance(payload, DecisionPayload)
    return payload


async def sign_in_by(http: httpx.AsyncClient, who: Person, bent: Bent) -> httpx.Response:
    """Sign in with a `login` that is signed in some way."""
    challenge = (await http.post("/v1/challenges")).json()["challenge"]
    login = LoginPayload(**common(), administrator=who.staff_no, challenge=challenge)
    answer = await http.post("/v1/sessions", json={"statement": written(bent(login))})
    http.cookies.clear()
    return answer


async def test_bent_assertions_sign_nobody_in_apply_for_nothing_and_approve_nothing(
    bench: Bench,
) -> None:
    """A look-alike page, a frame, a clone, another's passkey: as login, application, decision.

    Wrong origin, relying party, challenge, type; no user verification or presence; cross-origin;
    another's credential id; a JWS by the passkey's key and the other way round; a counter that
    goes back. 401 each, no attempt is used up, nothing moves; then the honest ones load the key.
    """
    place = with_passkeys(bench, await bench.place())
    load = await Ceremony.open(bench, place)
    code = await load.sms_code()
    second = await load.session(place.second)
    for what, bent in tricks(bench, place, place.first).items():
        answer = await sign_in_by(load.http, place.first, bent)
        assert (answer.status_code, answer.json()["code"]) == (401, "not-authenticated"), what
        body = {
            "statement": written(bent(application(load))),
            "qr_text": load.qr_text,
            "sms_code": code,
        }
        answer = await load.post("/v1/applications", body, session=await load.session(place.first))
        assert (answer.status_code, answer.json()["code"]) == (401, "not-authenticated"), what
    assert load.stage == "AWAITING_APPLICATION"
    applied = await load.apply()
    assert (applied.status_code, applied.json()["attempts_left"]) == (200, 5)
    path = f"/v1/reviews/{load.request_id}/decision"
    for what, bent in tricks(bench, place, place.second).items():
        body = {"statement": written(bent(decision(load)))}
        answer = await load.post(path, body, session=second)
        assert (answer.status_code, answer.json()["code"]) == (401, "not-authenticated"), what
    assert load.stage == "AWAITING_REVIEW"
    assert load.account == Account({}, {})
    await load.to(Stage.LOADED)
    assert load.account.states == ["active"]


async def test_replayed_assertions_answer_and_do_nothing(bench: Bench) -> None:
    """A genuine assertion sent again: a login opens no second session, an approval is one approval.

    And an assertion of one statement put beside another payload, or in another request.
    """
    place = with_passkeys(bench, await bench.place())
    load = await Ceremony.open(bench, place)
    passkey = passkey_of(place.first)
    challenge = (await load.http.post("/v1/challenges")).json()["challenge"]
    login = LoginPayload(**common(), administrator=place.first.staff_no, challenge=challenge)
    text = passkey.sign(login)
    for status in (201, 401):
        answer = await load.http.post("/v1/sessions", json={"statement": written(text)})
        load.http.cookies.clear()
        assert answer.status_code == status
    for member, value in (
        ("payload", b64url(application(load).model_dump_json().encode())),
        ("typ", "keyfill.application+jws"),
    ):
        spoilt = {**json.loads(text), member: value}
        answer = await load.http.post("/v1/sessions", json={"statement": spoilt})
        assert answer.status_code in (400, 401), member
    await load.to(Stage.AWAITING_CONFIRMATION)
    version = bench.value(
        "SELECT version FROM loading_requests WHERE request_id = ?", load.request_id
    )
    await load.approval_code()
    assert (await load.again()).status_code == 200
    other = await Ceremony.open(bench, await bench.place())
    body = {"statement": written(load.said["decision"])}
    session = await load.session(place.second)
    path = f"/v1/reviews/{other.request_id}/decision"
    assert (await load.post(path, body, session=session)).status_code in (403, 404)
    sql = "SELECT version FROM loading_requests WHERE request_id = ?"
    assert bench.value(sql, load.request_id) == version
    assert load.steps() == ["code-1", "review", "approved"]
    await load.to(Stage.LOADED)


async def test_a_passkey_form_by_a_key_that_is_no_passkey_is_refused(bench: Bench) -> None:
    """A person enrolled with a plain key sends assertions by that very key: 401, each of them."""
    load = await Ceremony.at(bench, Stage.AWAITING_REVIEW)
    second = load.place.second
    session = await load.session(second)
    path = f"/v1/reviews/{load.request_id}/decision"
    for credential_id in (second.key.kid, b64url(b"x"), b64url(second.person.encode())):
        made_up = Passkey(
            second.key, bench.trust.rp_id, bench.trust.origin, credential_id=credential_id
        )
        body = {"statement": written(made_up.sign(decision(load)))}
        answer = await load.post(path, body, session=session)
        assert answer.status_code == 401, answer.text
    assert load.stage is Stage.AWAITING_REVIEW
    await load.to(Stage.AWAITING_CONFIRMATION)


async def test_the_key_worker_verifies_passkeys_by_itself(
    bench: Bench, trespasser: Trespasser
) -> None:
    """Bent assertions filed straight into the database as the second administrator's approval.

    The key worker is asked for the key of each, past API and workflow, all else being genuine.
    """
    place = with_passkeys(bench, await bench.place())
    load = await Ceremony.at(bench, Stage.AWAITING_REVIEW, place)
    _, approval = bench.codes(place, load.request_id)
    assert (await load.confirm(code=approval)).status_code == 409
    asked: dict[str, dict[str, str]] = {}
    for what, bent in tricks(bench, place, place.second).items():
        if what == "a counter that stands still":
            # Whoever holds the passkey itself: counters are compared at reception only.
            continue
        text = bent(decision(load))
        asked[what] = load.command(decision=digest_of(text))
        with bench.rows() as rows:
            rows.execute(
                "INSERT OR REPLACE INTO submissions (digest, kind, request_id, terminal_no, "
                "signer_kid, person, statement, received_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    digest_of(text),
                    "decision",
                    load.request_id,
                    place.terminal_no,
                    place.second.key.kid,
                    place.second.person,
                    text,
                    int(time.time()),
                ),
            )
    answers = await trespasser.calls("release_key", list(asked.values()))
    for what, answer in zip(asked, answers, strict=True):
        assert answer["token_digest"] is None, what
        assert answer["refused"] in (Reason.PASSKEY_REFUSED, Reason.UNKNOWN_KEY), (what, answer)
    assert load.account == Account({}, {})
    await load.to(Stage.LOADED)
