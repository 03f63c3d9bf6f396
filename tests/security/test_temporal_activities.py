"""A live Temporal writer who calls every activity of every queue from a workflow of their own."""

import time
from typing import Any

import pytest

from ceremony.reasons import Reason
from ceremony.stages import Stage
from tests.support.attacked import Bench
from tests.support.genuine import NOTHING, Ceremony, digest_of
from tests.support.trespass import GIVEN_UP, QUEUE_OF, Trespasser

pytestmark = pytest.mark.asyncio(loop_scope="session")

KCV = "a1b2c3"


async def state_of(trespasser: Trespasser, load: Ceremony, **changes: object) -> dict[str, Any]:
    """The workflow's state, with what the forger wants it to say."""
    state = await trespasser.handle(load.place.terminal_no).query("status")
    return {**state, **changes}


async def test_every_activity_is_attacked() -> None:
    """The table of activities that these attacks call is that of the workers."""
    from activities.ceremony_records import CeremonyRecords
    from activities.key_worker import KeyWorker
    from activities.registry_sync import RegistrySynchroniser
    from activities.sms import SmsSender

    classes = (CeremonyRecords, KeyWorker, RegistrySynchroniser, SmsSender)
    defined = {
        name
        for one in classes
        for name, method in vars(one).items()
        if hasattr(method, "__temporal_activity_definition")
    }
    assert defined == set(QUEUE_OF)


async def test_release_is_refused_without_two_genuine_approvals(
    bench: Bench, trespasser: Trespasser
) -> None:
    """Activity release_key with digests of an unapproved, self-approved and rejected application.

    The technician confirms early, with the device key and a guessed approval code, so that all
    statements but the second administrator's approval are there; a rogue first administrator signs
    the decision; other requests' decisions are named; nothing is; and at last a rejection is,
    also with the projection edited so that the request seems open.
    """
    other = await Ceremony.at(bench, Stage.AWAITING_CONFIRMATION)
    other.sign_confirmation()
    load = await Ceremony.at(bench, Stage.AWAITING_REVIEW)
    early = await load.confirm(code="1234")
    assert early.status_code == 409
    own = await load.decide(signer=load.place.first)
    assert own.status_code in (403, 404)
    tried = {
        "nothing": load.command(decision=NOTHING),
        "empty": load.command(decision=""),
        "signed by the first administrator": load.command(),
        "the application for a decision": load.command(decision=load.digest("application")),
        "another request's decision": load.command(decision=other.digest("decision")),
        "another request's id": load.command(request_id=other.request_id),
        "another terminal": load.command(terminal_no=other.place.terminal_no),
        "another request's statements": load.command(
            application=other.digest("application"),
            decision=other.digest("decision"),
        ),
        "another request's approvals, its own id": other.command(
            confirmation=load.digest("confirmation")
        ),
    }
    for what, one in tried.items():
        answer = await trespasser.call("release_key", one)
        assert answer["token_digest"] is None, what
        assert answer["refused"] is not None, what
    rejected = await load.decide("reject", reason_code="not-ordered", reason="no visit announced")
    assert rejected.json()["stage"] == Stage.REJECTED
    answer = await trespasser.call("release_key", load.command())
    assert answer["refused"] == Reason.WRONG_STAGE
    with bench.rows() as rows:
        rows.execute(
            "UPDATE loading_requests SET stage = 'AWAITING_CONFIRMATION' WHERE request_id = ?",
            (load.request_id,),
        )
    answer = await trespasser.call("release_key", load.command())
    assert answer["refused"] == Reason.NOT_APPROVED
    assert not load.account.keys
    assert not other.account.keys


async def test_key_worker_counts_guesses_by_itself(bench: Bench, trespasser: Trespasser) -> None:
    """Approval codes guessed past the workflow: it is terminated, and release_key called directly.

    A technician with the device key confirms again and again with guessed codes, which the API
    stores; the Temporal writer has each of them tried. After five the right code is no use either.
    """
    load = await Ceremony.at(bench, Stage.AWAITING_CONFIRMATION)
    right = await load.approval_code()
    await trespasser.handle(load.place.terminal_no).terminate("attack")
    wrong = [f"{(int(right) + step) % 10_000:04}" for step in range(1, 8)]
    answers = []
    for code in (*wrong, right):
        assert (await load.confirm(code=code)).status_code == 409
        answers.append((await trespasser.call("release_key", load.command()))["refused"])
    assert answers[:5] == [Reason.APPROVAL_CODE_WRONG] * 5
    assert set(answers[5:]) == {Reason.CONFIRMATION_TRIES_EXHAUSTED}
    assert not load.account.keys


async def test_release_called_twice_gives_the_same_token_of_the_same_key(
    bench: Bench, trespasser: Trespasser
) -> None:
    """Activity release_key of a genuine release, again, before and after the receipt."""
    load = await Ceremony.at(bench, Stage.AWAITING_RECEIPT)
    before = load.account
    for _ in range(5):
        answer = await trespasser.call("release_key", load.command())
        assert answer["token_digest"] == before.tokens[load.digest("confirmation")]
    assert load.account == before
    await load.to(Stage.LOADED)
    loaded = load.account
    await trespasser.call("release_key", load.command())
    new = load.sign_confirmation()
    answer = await trespasser.call("release_key", load.command(confirmation=digest_of(new)))
    assert answer["refused"] == Reason.WRONG_STAGE
    assert load.account == loaded


async def test_settlement_believes_only_the_terminals_receipt(
    bench: Bench, trespasser: Trespasser
) -> None:
    """Activity settle_key with digests of nothing, of other statements, of others' receipts.

    How far it goes: the key is marked unconfirmed, which a later genuine receipt puts right. The
    terminal's active key stays the active one throughout.
    """
    place = await bench.place()
    active = await Ceremony.at(bench, Stage.LOADED, place)
    await trespasser.handle(place.terminal_no).result()
    other = await Ceremony.at(bench, Stage.LOADED)
    load = await Ceremony.at(bench, Stage.AWAITING_RECEIPT, place)
    settle = {"request_id": load.request_id, "terminal_no": place.terminal_no}
    for receipt in (
        NOTHING,
        load.digest("confirmation"),
        active.digest("receipt"),
        other.digest("receipt"),
        None,
    ):
        answer = await trespasser.call("settle_key", {**settle, "receipt": receipt})
        assert (answer["active"], answer["kcv"]) == (False, None)
    assert load.account.keys[active.request_id][0] == "active"
    assert load.account.states == ["active", "unconfirmed"]
    # About keys that are active, of no request, or of another terminal.
    for request_id in (active.request_id, "n4bQgYhMfWWaL-qgxVrQFaO_", other.request_id):
        command = {**settle, "request_id": request_id}
        for receipt in (None, NOTHING, load.digest("confirmation")):
            await trespasser.call("settle_key", {**command, "receipt": receipt})
    assert load.account.states == ["active", "unconfirmed"]
    assert other.account.states == ["active"]
    await load.to(Stage.LOADED)
    assert load.account.states == ["active", "retired"]


async def test_forged_states_get_a_confirmation_checked_but_no_key(
    bench: Bench, trespasser: Trespasser
) -> None:
    """Activities record_* with made-up states: approved, released, settled, by the forger's word.

    How far it goes: the projection can be made to show any stage, even LOADED, with any reason;
    the key worker is not impressed, and no key row, token or SMS follows.
    """
    load = await Ceremony.at(bench, Stage.AWAITING_REVIEW)
    number, request_id = load.place.terminal_no, load.request_id
    soon = int(time.time()) + 3_000
    approved = await state_of(
        trespasser,
        load,
        stage=Stage.AWAITING_CONFIRMATION,
        decision_digest=NOTHING,
        approval_expires_at=soon,
    )
    await trespasser.handle(number).terminate("attack")
    assert (await load.confirm(code="0000")).status_code == 409
    confirmation = load.digest("confirmation")
    checked = await trespasser.call("record_statement", {"state": approved, "digest": confirmation})
    assert checked["verdict"]["reasons"] in ([], [Reason.APPROVAL_CODE_WRONG])
    answer = await trespasser.call("release_key", load.command(decision=NOTHING))
    assert answer["refused"] == Reason.STATEMENT_MISSING
    released = {**approved, "confirmation_digest": confirmation}
    await trespasser.call(
        "record_release",
        {"state": released, "digest": confirmation, "outcome": {"token_digest": NOTHING}},
    )
    awaiting = {
        **released,
        "stage": Stage.AWAITING_RECEIPT,
        "token_digest": NOTHING,
        "receipt_digest": NOTHING,
    }
    settled = {"active": True, "reason": Reason.LOADED, "kcv": KCV}
    await trespasser.call("record_settlement", {"state": awaiting, "settlement": settled})
    await trespasser.call("record_event", {"state": awaiting, "event": "deadline"})
    await trespasser.call(
        "settle_key", {"request_id": request_id, "terminal_no": number, "receipt": NOTHING}
    )
    assert not load.account.keys
    assert bench.value("SELECT count(*) FROM keys WHERE request_id = ?", request_id) == 0
    assert bench.value("SELECT count(*) FROM tokens WHERE request_id = ?", request_id) == 0


async def test_a_forged_opening_opens_nothing(bench: Bench, trespasser: Trespasser) -> None:
    """Activity record_opening with statements that are not there, or another terminal's."""
    load = await Ceremony.at(bench, Stage.AWAITING_REVIEW)
    spare = await bench.place()
    for digest in (NOTHING, load.digest("application"), load.digest("request")):
        opening = {
            "request_id": "n4bQgYhMfWWaL-qgxVrQFaO_",
            "terminal_no": spare.terminal_no,
            "digest": digest,
        }
        await trespasser.call("record_opening", opening)
    sql = "SELECT count(*) FROM loading_requests WHERE terminal_no = ?"
    assert bench.value(sql, spare.terminal_no) == 0
    assert load.stage is Stage.AWAITING_REVIEW


async def test_synchronising_on_order_changes_nothing(bench: Bench, trespasser: Trespasser) -> None:
    """The activity synchronise from a foreign workflow, with made-up removal orders and sources."""
    load = await Ceremony.at(bench, Stage.AWAITING_CONFIRMATION)
    for order in (None, "forged", load.said["decision"]):
        report = await trespasser.call("synchronise", {"order": order})
        assert (report["added"], report["changed"], report["removed"]) == (0, 0, 0)
    refused = await trespasser.call("synchronise", {"order": None, "source": "/etc/passwd"})
    assert GIVEN_UP in refused
    await load.to(Stage.LOADED)
