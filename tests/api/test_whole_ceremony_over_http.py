"""The main job over HTTP: a terminal gets its key, and everyone sees what is theirs to see."""

from tests.support.apihouse import House, kcv_of_token, wire


async def test_a_terminal_gets_its_key(house: House) -> None:
    """Request, SMS code, application, decision, confirmation and receipt lead to LOADED."""
    load = await house.open()
    assert load.opened["stage"] == "AWAITING_APPLICATION"
    assert load.opened["qr"]["png"].startswith("data:image/png;base64,iVBOR")
    await load.confirm()
    assert load.confirmation is not None and load.token is not None
    assert set(load.token) == {"format", "value", "key_algorithm"}

    kcv = kcv_of_token(load)
    receipt = house.world.receipt(load.confirmation, token_digest=load.token_digest, kcv=kcv)
    response = await house.post(f"{load.path}/receipt", {"statement": wire(receipt)})
    assert response.json() == {"stage": "LOADED", "kcv": kcv}

    status = await house.get(load.path, session=load.opened["status_token"])
    assert (status.json()["stage"], status.json()["reason"]) == ("LOADED", "loaded")
    again = await house.post(f"{load.path}/receipt", {"statement": wire(receipt)})
    assert again.json() == response.json()


async def test_a_wrong_check_value_leaves_the_key_unconfirmed(house: House) -> None:
    """A receipt with another KCV ends in UNCONFIRMED, and the answer names no check value."""
    load = await house.open()
    await load.confirm()
    assert load.confirmation is not None
    receipt = house.world.receipt(load.confirmation, token_digest=load.token_digest, kcv="000000")
    response = await house.post(f"{load.path}/receipt", {"statement": wire(receipt)})
    assert response.json() == {"stage": "UNCONFIRMED", "kcv": None}


async def test_no_check_value_leaves_before_a_receipt(house: House) -> None:
    """Neither the confirmation's answer, nor status, search, events or evidence hold the KCV."""
    load = await house.open()
    await load.confirm()
    kcv = kcv_of_token(load)
    auditor = await house.sign_in(house.world.third)
    answers = [
        await house.get(load.path, session=load.opened["status_token"]),
        await house.get("/v1/loading-requests", session=auditor),
        await house.get(f"{load.path}/events", session=auditor),
        await house.get(f"{load.path}/evidence", session=auditor),
    ]
    for answer in answers:
        assert answer.status_code == 200
        assert f'"{kcv}"' not in answer.text


async def test_the_same_confirmation_gives_the_same_bytes_and_a_new_nonce_the_same_key(
    house: House,
) -> None:
    """A repeated confirmation is answered alike; one with a new nonce wraps the same key again."""
    load = await house.open()
    await load.confirm()
    assert load.application is not None and load.confirmation is not None
    first, kcv = load.token, kcv_of_token(load)
    again = await load.send_confirmation(load.confirmation)
    assert again.json()["token"] == first

    response = await load.send_confirmation(house.world.confirmation(load.application))
    load.token = response.json()["token"]
    assert load.token != first
    assert kcv_of_token(load) == kcv


async def test_a_restarted_terminal_gets_its_open_request_again(house: House) -> None:
    """A new `request` of a terminal with an open one gives that one, with the code of now."""
    load = await house.open()
    house.world.pass_time(61)
    other = await house.open(house.request())
    assert other.opened["request_id"] == load.opened["request_id"]
    assert other.opened["status_token"] == load.opened["status_token"]
    assert other.opened["qr"]["text"] != load.opened["qr"]["text"]


async def test_after_the_application_the_terminal_gets_no_qr_code(house: House) -> None:
    """A QR code exists only in AWAITING_APPLICATION."""
    load = await house.open()
    await load.apply()
    other = await house.open(house.request())
    assert (other.opened["stage"], other.opened["qr"]) == ("AWAITING_REVIEW", None)
    status = await house.get(load.path, session=load.opened["status_token"])
    assert status.json()["qr"] is None


async def test_a_rejection_ends_the_request(house: House) -> None:
    """The second administrator's rejection is final: REJECTED, and nothing follows."""
    load = await house.open()
    application = await load.apply()
    answer = await load.decide(decision="reject", reason_code="not-planned")
    assert answer == {"stage": "REJECTED"}
    late = await load.send_confirmation(house.world.confirmation(application))
    assert (late.status_code, late.json()["stage"]) == (409, "REJECTED")


async def test_either_side_cancels(house: House) -> None:
    """The terminal, or an administrator in their own session, ends a request before release."""
    load = await house.open()
    by_terminal = house.world.cancellation(load.request)
    response = await house.post(f"{load.path}/cancellation", {"statement": wire(by_terminal)})
    assert response.json() == {"stage": "CANCELLED"}

    load = await house.open()
    session = await house.sign_in(house.world.second)
    by_person = house.world.cancellation(load.request, signer=house.world.second.signer)
    response = await house.post(
        f"{load.path}/cancellation", {"statement": wire(by_person)}, session=session
    )
    assert response.json() == {"stage": "CANCELLED"}


async def test_a_mistyped_approval_code_may_be_repeated(house: House) -> None:
    """A wrong approval code is told as such, and a new confirmation with the right one passes."""
    load = await house.open()
    await load.approve()
    assert load.application is not None
    right = house.world.approval_code(load.request)
    wrong = "0000" if right != "0000" else "0001"
    refused = await load.send_confirmation(house.world.confirmation(load.application), code=wrong)
    assert (refused.status_code, refused.json()["code"]) == (403, "approval-code-wrong")
    passed = await load.send_confirmation(house.world.confirmation(load.application))
    assert passed.status_code == 200
