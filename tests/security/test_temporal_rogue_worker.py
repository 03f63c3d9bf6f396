"""A rogue worker polls the ceremony's own task queue and answers its workflow tasks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from temporalio.client import WorkflowExecutionStatus

from ceremony import names
from ceremony.encoding import sha256_hex
from ceremony.stages import Stage
from ceremony.statements import request_id_of
from tests.support.attacked import Bench, Person
from tests.support.forgedrows import file_statement
from tests.support.genuine import NOTHING, Ceremony, digest_of
from tests.support.ledger import Account
from tests.support.roguework import KCV, SelfmadeRequest, rogue_worker
from tests.support.trespass import Trespasser
from workflows.loading_request import LoadingRequest

pytestmark = pytest.mark.asyncio(loop_scope="session")


@asynccontextmanager
async def usurped(bench: Bench, course: type = LoadingRequest) -> AsyncIterator[None]:
    """Nobody but a rogue worker polls the ceremony's queue."""
    await bench.stop("ceremony")
    try:
        async with rogue_worker(bench.client, course):
            yield
    finally:
        await bench.start_worker("ceremony")


def file(bench: Bench, load: Ceremony, text: str, signer: Person | None = None) -> str:
    """Put a statement into the submissions, as if the API had received it; gives its digest."""
    with bench.rows() as rows:
        return file_statement(rows, load, text, signer)


async def test_forged_results_of_the_ceremonys_own_activities_give_no_key(
    bench: Bench, trespasser: Trespasser
) -> None:
    """Alone on the queue, with forged results of local activities: approved, released, loaded.

    The first administrator signs the approval too, and it is filed into the database; the approval
    code is right. How far it goes: Temporal shows a LOADED load, SMS and synchronisations are
    swallowed, nobody can open a request while it lasts. There is no key, and no token. The forged
    results stay in the histories: the genuine worker is told by one that the approval was accepted,
    and still no key comes of it.
    """
    load, left = [await Ceremony.at(bench, Stage.AWAITING_REVIEW) for _ in range(2)]
    waiting = await bench.place()
    fresh = Ceremony(bench, waiting, bench.http(waiting), waiting.epp(), patient=False)
    for one in (load, left):
        await one.sends("review")
    async with usurped(bench):
        for one in (load, left):
            text = one.sign_decision(one.place.first, administrator=one.place.second.staff_no)
            message = {"request_id": one.request_id, "digest": file(bench, one, text)}
            await trespasser.signal(one.place.terminal_no, names.SIGNAL_DECISION, message)
        number = load.place.terminal_no
        state = await trespasser.handle(number).query(names.QUERY_STATUS)
        assert state["stage"] == Stage.AWAITING_CONFIRMATION
        _, approval = bench.codes(load.place, load.request_id)
        load.patient = False
        assert (await load.confirm(code=approval)).status_code == 202
        state = await trespasser.handle(number).query(names.QUERY_STATUS)
        assert state["stage"] == Stage.AWAITING_RECEIPT
        receipt = load.sign_receipt(token_digest=state["token_digest"], kcv=KCV)
        message = {"request_id": load.request_id, "digest": digest_of(receipt)}
        await trespasser.signal(number, names.SIGNAL_RECEIPT, message)
        result = await trespasser.handle(number).result()
        assert (result["stage"], result["kcv"]) == (Stage.LOADED, KCV)
        assert (await fresh.ask()).status_code == 202
        assert (await bench.synchronise()).added == 1_000_000
        assert load.stage is Stage.AWAITING_REVIEW
    await trespasser.settled(left.place.terminal_no)
    state = await trespasser.handle(left.place.terminal_no).query(names.QUERY_STATUS)
    assert state["stage"] == Stage.AWAITING_CONFIRMATION
    _, approval = bench.codes(left.place, left.request_id)
    assert (await left.confirm(code=approval)).status_code in (403, 409)
    assert left.stage in (Stage.AWAITING_REVIEW, Stage.FAILED)
    for one in (load, left):
        assert one.account == Account({}, {})
        sql = "SELECT count(*) FROM tokens WHERE request_id = ?"
        assert bench.value(sql, one.request_id) == 0
        assert "approved" not in one.steps()
    # What was swallowed is asked for again; then honest people load their keys.
    await trespasser.handle(fresh.place.terminal_no).terminate("the forged histories are of no use")
    for one in (load, left, fresh):
        if one is left and left.stage is Stage.AWAITING_REVIEW:
            # The forged acceptance was not even noticed: the second administrator decides.
            await left.to(Stage.LOADED)
        else:
            await Ceremony.at(bench, Stage.LOADED, one.place)
        assert one.account.states == ["active"]


async def test_a_workflow_that_needs_nobodys_approval_gets_no_key(
    bench: Bench, trespasser: Trespasser
) -> None:
    """The rogue's own workflow code in place of the ceremony: it calls the key worker at once.

    A technician and the first administrator help: all four statements are in the database, with
    good signatures of the two. How far it goes: Temporal shows LOADED; the terminal is answered
    202 without end. The key worker has refused every mixture.
    """
    place = await bench.place()
    load = Ceremony(bench, place, bench.http(place), place.epp(), patient=False)
    load.qr_text = f"{bench.trust.origin}/a#{'A' * 80}"
    async with usurped(bench, SelfmadeRequest):
        assert (await load.ask()).status_code == 202
        load.request_id = request_id_of(load.digest("request"))
        load.registry_digest = sha256_hex(b"never opened")
        first = place.first
        made = [
            file(bench, load, load.sign_application(), first),
            file(bench, load, load.sign_decision(first), first),
            file(
                bench, load, load.sign_decision(first, administrator=place.second.staff_no), first
            ),
            file(bench, load, load.sign_confirmation()),
        ]
        handle = trespasser.handle(place.terminal_no)
        for digest in (NOTHING, *made):
            message = {"request_id": load.request_id, "digest": digest}
            await trespasser.signal(place.terminal_no, names.SIGNAL_APPLICATION, message)
        await trespasser.signal(place.terminal_no, "end", "now")
        assert (await handle.result())["stage"] == Stage.LOADED
        answers = await handle.query("released")
    assert (await handle.describe()).status is WorkflowExecutionStatus.COMPLETED
    assert len(answers) > 30
    for answer in answers:
        assert answer.get("token_digest") is None, answer
        assert answer["refused"] is not None
    assert load.account == Account({}, {})
    assert not load.steps()
    again = await Ceremony.at(bench, Stage.LOADED, place)
    assert again.account.states == ["active"]
