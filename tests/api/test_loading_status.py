"""What a loading request's own people are told of it while it goes on, and its terminal is not."""

from typing import Any

import pytest

from ceremony.stages import Stage
from ceremony.state import ATTEMPTS
from tests.support.apihouse import House, Load, wire
from workflows.policies import STAGE_DEADLINES

PERSONAL = {"terminal_no", "expires_at", "decision_reason", "kcv"}


async def seen(load: Load, session: str) -> dict[str, Any]:
    """The status as somebody with a session or a status token sees it."""
    status: dict[str, Any] = (await load.house.get(load.path, session=session)).json()
    return status


def deadline(house: House, stage: Stage) -> int:
    """When a stage that begins now ends by itself."""
    return house.world.now + int(STAGE_DEADLINES[stage].total_seconds())


async def test_the_terminals_number_is_not_told_before_it_was_typed(house: House) -> None:
    """The first administrator reads it off the machine: no screen of theirs may give it away."""
    load = await house.open()
    session = await house.sign_in(house.world.first)
    assert "terminal_no" not in await seen(load, session)
    await load.apply()
    assert (await seen(load, session))["terminal_no"] == "ATM-0001"


async def test_each_open_stage_says_when_it_ends(house: House) -> None:
    """Application and review by the stage's deadline; the approval when the decision expires."""
    load = await house.open()
    session = await house.sign_in(house.world.first)
    first = await seen(load, session)
    assert first["expires_at"] == deadline(house, Stage.AWAITING_APPLICATION)
    await load.apply()
    assert (await seen(load, session))["expires_at"] == deadline(house, Stage.AWAITING_REVIEW)
    soon = house.world.now + 600
    await load.decide(expires_at=soon)
    assert (await seen(load, session))["expires_at"] == soon


@pytest.mark.parametrize("reason", ["The branch is closed <b>today</b>.", None])
async def test_both_administrators_read_the_reason_of_a_rejection(
    house: House, reason: str | None
) -> None:
    """In the second administrator's own words, as they were signed; the terminal reads none."""
    load = await house.open()
    await load.apply()
    said = {"decision": "reject", "reason_code": "not-needed", "reason": reason}
    assert await load.decide(**said) == {"stage": "REJECTED"}
    for who in (house.world.first, house.world.second):
        status = await seen(load, await house.sign_in(who))
        assert (status["stage"], status["decision_reason"]) == ("REJECTED", reason)
        assert status["expires_at"] is None
    terminal = await seen(load, load.opened["status_token"])
    assert set(terminal) & PERSONAL == set()


async def test_the_check_value_is_told_after_the_receipt_only(house: House) -> None:
    """Both administrators see the KCV of a LOADED request; before that nobody does."""
    load = await house.open()
    session = await house.sign_in(house.world.first)
    await load.confirm()
    assert (await seen(load, session))["kcv"] is None
    kcv = await load.receive()
    for who in (house.world.first, house.world.second):
        status = await seen(load, await house.sign_in(who))
        assert (status["stage"], status["kcv"]) == ("LOADED", kcv)
    assert set(await seen(load, load.opened["status_token"])) & PERSONAL == set()


async def test_a_wrong_check_value_is_told_to_nobody(house: House) -> None:
    """Unconfirmed is not loaded: no KCV is shown, so that none is taken for proved."""
    load = await house.open()
    await load.confirm()
    assert load.confirmation is not None
    receipt = house.world.receipt(load.confirmation, token_digest=load.token_digest, kcv="000000")
    await house.post(f"{load.path}/receipt", {"statement": wire(receipt)})
    status = await seen(load, await house.sign_in(house.world.first))
    assert (status["stage"], status["kcv"]) == ("UNCONFIRMED", None)


# ---- what the application's document tells beside what must be named


async def test_the_document_counts_attempts_and_seconds(house: House) -> None:
    """How many applications may still be refused, and until when this very QR code serves."""
    load = await house.open()
    session = await house.sign_in(house.world.first)

    async def document() -> dict[str, Any]:
        response = await house.post(
            "/v1/applications/document", {"qr_text": load.qr_text}, session=session
        )
        told: dict[str, Any] = response.json()
        return told

    told = await document()
    assert (told["attempts_left"], told["qr_expires_at"]) == (
        ATTEMPTS,
        load.opened["qr"]["expires_at"],
    )
    await load.ask_code(session)
    wrong = await load.send_application(load.new_application(), session, code="000000")
    assert wrong.status_code == 403
    assert (await document())["attempts_left"] == ATTEMPTS - 1


async def test_a_used_code_names_its_request_to_its_own_administrator(house: House) -> None:
    """Whoever applied is told which request the code was of; anybody else still learns nothing."""
    load = await house.open()
    await load.apply()
    body = {"qr_text": load.qr_text}
    own = await house.post(
        "/v1/applications/document", body, session=await house.sign_in(house.world.first)
    )
    assert own.json()["request_id"] == load.id
    assert (own.status_code, own.json()["code"], own.json()["stage"]) == (
        409,
        "wrong-stage",
        "AWAITING_REVIEW",
    )
    other = await house.post(
        "/v1/applications/document", body, session=await house.sign_in(house.world.third)
    )
    assert (other.status_code, other.json()["code"]) == (403, "application-refused")
    assert load.id not in other.text
