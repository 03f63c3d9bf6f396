"""Applications: only the first administrator gets anywhere, and strangers learn nothing."""

import pytest
from sqlmodel import select

from ceremony.checks import APPLICATION_SECONDS, CLOCK_SKEW_SECONDS, SMS_CODE_SECONDS
from ceremony.messages import CodeRequest
from ceremony.qr import QrContents, qr_digest, qr_text, token_of
from ceremony.sms import mask_number
from records.tables.submission import SubmissionRow
from tests.support.apihouse import House, wire
from tests.support.identities import ORIGIN


async def test_the_first_administrator_gets_a_code(house: House) -> None:
    """The answer names the masked number, the code's number and times; a signal is sent."""
    load = await house.open()
    session = await house.sign_in(house.world.first)
    response = await load.ask_code(session)
    assert response.status_code == 202
    assert response.json() == {
        "sent_to": mask_number(house.world.first.number),
        "n": 1,
        "expires_at": house.world.now + SMS_CODE_SECONDS,
        "resend_after": house.world.now + 60,
    }
    assert house.world.first.number not in response.text
    assert house.ceremonies.told[-1] == ("code", CodeRequest(request_id=load.id, n=1))


async def test_for_a_stranger_asking_for_a_code_looks_the_same_and_sends_nothing(
    house: House,
) -> None:
    """Whoever is not the terminal's first administrator gets the same answer, and no signal."""
    load = await house.open()
    told = len(house.ceremonies.told)
    for stranger in (house.world.second, house.world.third):
        session = await house.sign_in(stranger)
        answers = []
        for wait in (0, 61, 61, 61):
            house.world.pass_time(wait)
            load.opened = (await house.open(house.request())).opened
            answers.append(await load.ask_code(session))
        assert [one.status_code for one in answers] == [202, 202, 202, 403]
        assert [one.json().get("n") for one in answers] == [1, 2, 3, None]
        assert answers[0].json()["sent_to"] == mask_number(stranger.number)
        assert answers[-1].json()["code"] == "sms-codes-exhausted"
    codes = [one for one in house.ceremonies.told[told:] if one[0] == "code"]
    assert codes == []


async def test_the_first_administrator_runs_out_of_codes_alike(house: House) -> None:
    """Three codes a request, one a minute: the same numbers and refusals as for a stranger."""
    load = await house.open()
    session = await house.sign_in(house.world.first)
    numbers = []
    for wait in (0, 10, 61, 61, 61):
        house.world.pass_time(wait)
        load.opened = (await house.open(house.request())).opened
        response = await load.ask_code(session)
        numbers.append(response.json().get("n", response.json().get("code")))
    assert numbers == [1, 1, 2, 3, "sms-codes-exhausted"]
    state = house.ceremonies.states["ATM-0001"]
    assert len(state.codes_sent_at) == 3


async def test_asking_again_too_soon_signals_again(house: House) -> None:
    """A repeat within the minute is the same code: a signal lost in an outage is made good."""
    load = await house.open()
    session = await house.sign_in(house.world.first)
    house.ceremonies.away = True
    assert (await load.ask_code(session)).status_code == 503
    house.ceremonies.away = False
    assert (await load.ask_code(session)).json()["n"] == 1
    assert house.ceremonies.told[-1] == ("code", CodeRequest(request_id=load.id, n=1))


async def test_a_stranger_meets_the_same_outage(house: House) -> None:
    """While Temporal is away strangers get the same 503: being told from others by it is out."""
    load = await house.open()
    session = await house.sign_in(house.world.third)
    house.ceremonies.away = True
    response = await load.ask_code(session)
    assert (response.status_code, response.json()["code"]) == (503, "temporal-unavailable")


async def test_the_document_names_everything_but_the_terminal(house: House) -> None:
    """The first administrator sees what to sign; the terminal's number must be typed."""
    load = await house.open()
    session = await house.sign_in(house.world.first)
    response = await house.post(
        "/v1/applications/document", {"qr_text": load.qr_text}, session=session
    )
    assert response.status_code == 200
    assert response.json() == {
        "aud": house.world.trust.audience,
        "request_id": load.id,
        "administrator": house.world.first.staff_no,
        "epp_fingerprint": house.world.terminal.epp.fingerprint,
        "attempts_left": 5,
        "qr_expires_at": load.opened["qr"]["expires_at"],
        "registry_digest": house.world.standing().registry_digest,
        "qr_digest": qr_digest(token_of(load.qr_text, ORIGIN)),
        "expires_at_max": house.world.now + APPLICATION_SECONDS - CLOCK_SKEW_SECONDS,
        "server_time": house.world.now,
    }
    assert "ATM-0001" not in response.text


async def test_the_document_is_for_nobody_else(house: House) -> None:
    """Another administrator, an unknown code, a forged code: one and the same 403."""
    load = await house.open()
    first = await house.sign_in(house.world.first)
    second = await house.sign_in(house.world.second)
    unknown = house.world.qr.token(QrContents("A" * 24, "ATM-0001", 0, house.world.now + 60))
    answers = [
        await house.post("/v1/applications/document", {"qr_text": text}, session=session)
        for text, session in (
            (load.qr_text, second),
            (qr_text(ORIGIN, unknown), first),
            (load.qr_text[:-1] + ("A" if load.qr_text[-1] != "A" else "B"), first),
            ("https://evil.test/a#" + token_of(load.qr_text, ORIGIN), first),
        )
    ]
    assert {one.status_code for one in answers} == {403}
    assert len({one.text for one in answers}) == 1
    assert answers[0].json()["code"] == "application-refused"


@pytest.mark.parametrize("call", ["document", "sms-codes"])
async def test_an_expired_qr_code_must_be_scanned_again(house: House, call: str) -> None:
    """A QR code older than two minutes: 410, whoever asks."""
    load = await house.open()
    session = await house.sign_in(house.world.first)
    house.world.pass_time(121)
    response = await house.post(
        f"/v1/applications/{call}", {"qr_text": load.qr_text}, session=session
    )
    assert (response.status_code, response.json()["code"]) == (410, "qr-expired")


@pytest.mark.parametrize("call", ["document", "sms-codes"])
async def test_once_applied_there_is_nothing_to_ask_for(house: House, call: str) -> None:
    """After an accepted application both calls answer 409 with the stage."""
    load = await house.open()
    await load.apply()
    session = await house.sign_in(house.world.first)
    response = await house.post(
        f"/v1/applications/{call}", {"qr_text": load.qr_text}, session=session
    )
    assert (response.status_code, response.json()["stage"]) == (409, "AWAITING_REVIEW")


async def test_an_accepted_application_says_where_it_stands(house: House) -> None:
    """The answer names the request, the verdict, the stage and the attempts left."""
    load = await house.open()
    session = await house.sign_in(house.world.first)
    await load.ask_code(session)
    response = await load.send_application(load.new_application(), session)
    assert response.json() == {
        "request_id": load.id,
        "verdict": "accepted",
        "stage": "AWAITING_REVIEW",
        "attempts_left": 5,
    }


async def test_a_refused_application_does_not_say_which_check_failed(house: House) -> None:
    """A wrong number, a wrong code, and both: the same answer but for the attempts left."""
    load = await house.open()
    session = await house.sign_in(house.world.first)
    await load.ask_code(session)
    wrong = "000000" if load.sms_code() != "000000" else "000001"
    answers = [
        await load.send_application(load.new_application(), session, code=wrong),
        await load.send_application(load.new_application(terminal_no="ATM-0002"), session),
        await load.send_application(
            load.new_application(terminal_no="ATM-0002"), session, code=wrong
        ),
    ]
    assert [one.status_code for one in answers] == [403] * 3
    assert [one.json().pop("attempts_left") for one in answers] == [4, 3, 2]
    documents = [{**one.json(), "attempts_left": None} for one in answers]
    assert documents[0] == documents[1] == documents[2]
    reasons = [event.reason for event in house.events("application-refused")]
    assert reasons == ["sms-code-wrong", "terminal-number-wrong", "terminal-number-wrong"]


async def test_a_fifth_wrong_application_fails_the_request(house: House) -> None:
    """Five wrong applications of the terminal's own administrator: FAILED."""
    load = await house.open()
    session = await house.sign_in(house.world.first)
    await load.ask_code(session)
    wrong = "000000" if load.sms_code() != "000000" else "000001"
    for left in (4, 3, 2, 1, 0):
        response = await load.send_application(load.new_application(), session, code=wrong)
        assert response.json()["attempts_left"] == left
    late = await load.send_application(load.new_application(), session)
    assert (late.status_code, late.json()["stage"]) == (409, "FAILED")


async def test_a_stranger_uses_up_no_attempt_and_is_told_none(house: House) -> None:
    """Another's application is refused alike, without a count, and costs the owner nothing."""
    load = await house.open()
    stranger = await house.sign_in(house.world.second)
    await load.ask_code(stranger)
    for _ in range(6):
        application = load.new_application(
            signer=house.world.second.signer, administrator=house.world.second.staff_no
        )
        response = await load.send_application(application, stranger)
        assert response.status_code == 403
        assert response.json() == {
            "type": "urn:keyfill:problem:application-refused",
            "title": "Application refused",
            "status": 403,
            "code": "application-refused",
        }
    await load.apply()


async def test_the_scanned_code_must_be_the_one_that_was_signed(house: House) -> None:
    """An application that names another QR code than it comes with never reaches the workflow."""
    load = await house.open()
    session = await house.sign_in(house.world.first)
    told = len(house.ceremonies.told)
    application = load.new_application(qr_digest="ab" * 32)
    response = await load.send_application(application, session)
    assert (response.status_code, response.json()["code"]) == (403, "application-refused")
    assert len(house.ceremonies.told) == told
    assert house.events("statement-refused")[-1].reason == "qr-refused"


async def test_what_was_typed_is_stored_as_macs_only(house: House) -> None:
    """Neither the SMS code nor the approval code is anywhere in the database file."""
    load = await house.open()
    await load.confirm()
    codes = (load.sms_code(), house.world.approval_code(load.request))
    with house.backstage.database.read() as session:
        rows = session.exec(select(SubmissionRow)).all()
    stored = [row for row in rows if row.code_mac is not None]
    assert len(stored) == 2
    for row in stored:
        said = row.model_dump(exclude={"statement", "code_mac", "digest", "received_at"})
        assert not any(code == str(value) for code in codes for value in said.values())
        assert row.code_mac is not None and len(row.code_mac) == 64


async def test_the_webauthn_form_as_a_string_is_malformed(house: House) -> None:
    """One statement has one spelling: the WebAuthn form is an object, never a string."""
    login = house.world.login(house.world.second, challenge=house.challenge())
    assert isinstance(wire(login), dict)
    response = await house.post("/v1/sessions", {"statement": login.text})
    assert (response.status_code, response.json()["code"]) == (400, "malformed")
