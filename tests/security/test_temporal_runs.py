"""A live Temporal writer who resets, terminates, doubles and answers workflows."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress

import pytest
from temporalio import activity
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.service import RPCError
from temporalio.worker import Worker

from ceremony import names
from ceremony.messages import (
    Opening,
    ReleaseCommand,
    ReleaseOutcome,
    SettleCommand,
    Settlement,
    Submission,
)
from ceremony.reasons import Reason
from ceremony.stages import Stage
from tests.support.attacked import Bench, Place
from tests.support.genuine import Ceremony, eventually, token_contents
from tests.support.ledger import Account
from tests.support.trespass import Trespasser

pytestmark = pytest.mark.asyncio(loop_scope="session")

FORGED = "0f" * 32
KCV = "a1b2c3"


async def run_id_of(trespasser: Trespasser, place: Place) -> str:
    """The terminal's newest run."""
    described = await trespasser.handle(place.terminal_no).describe()
    assert described.run_id is not None
    return described.run_id


async def quiet(trespasser: Trespasser, place: Place) -> None:
    """Wait until the newest run has ended, or has done all that it can for now."""
    handle = trespasser.handle(place.terminal_no)
    try:
        await handle.query(names.QUERY_STATUS)
    except RPCError:
        # It was ended in between.
        return
    if (await handle.describe()).status is not WorkflowExecutionStatus.RUNNING:
        return
    # What runs on its own account (SMS, release) ends within moments.
    for _ in range(40):
        described = await handle.describe()
        if not described.raw_description.pending_activities:
            return
        await asyncio.sleep(0.1)


async def test_reset_of_a_loaded_request_to_every_event_changes_nothing(
    bench: Bench, trespasser: Trespasser
) -> None:
    """A finished load reset to each event it can be reset to, with and without its signals."""
    load = await Ceremony.at(bench, Stage.LOADED)
    place = load.place
    await trespasser.handle(place.terminal_no).result()
    before, told = load.account, load.steps()
    original = await run_id_of(trespasser, place)
    events = await trespasser.resettable(place.terminal_no, original)
    assert len(events) > 5
    for with_signals in (True, False):
        for event in events:
            await trespasser.reset(place.terminal_no, original, event, with_signals=with_signals)
            await quiet(trespasser, place)
    assert load.account == before
    assert load.steps() == told
    assert load.stage is Stage.LOADED
    await _end(trespasser, place)
    again = await Ceremony.at(bench, Stage.LOADED, place)
    assert again.account.states == ["active", "retired"]


@pytest.mark.parametrize("stage", [Stage.AWAITING_CONFIRMATION, Stage.AWAITING_RECEIPT])
async def test_reset_of_an_open_request_to_every_event_makes_one_key(
    bench: Bench, trespasser: Trespasser, stage: Stage
) -> None:
    """An open load reset to each event, with its signals; then honest people finish it."""
    load = await Ceremony.at(bench, stage)
    before = load.account
    place, original = load.place, await run_id_of(trespasser, load.place)
    events = await trespasser.resettable(place.terminal_no, original)
    for event in events:
        await trespasser.reset(place.terminal_no, original, event)
        await quiet(trespasser, place)
        assert load.account == before
    await load.to(Stage.LOADED)
    assert load.account.states == ["active"]
    assert len(load.account.tokens) == 1


async def test_terminated_and_started_again_it_is_the_same_request_and_key(
    bench: Bench, trespasser: Trespasser
) -> None:
    """Terminated at every stage, started again with the genuine opening, all signals repeated."""
    load = await Ceremony.open(bench)
    for stage in (Stage.AWAITING_REVIEW, Stage.AWAITING_CONFIRMATION, Stage.AWAITING_RECEIPT):
        await load.to(stage)
        await trespasser.handle(load.place.terminal_no).terminate("attack")
        await _start(trespasser, load)
        await _repeat(trespasser, load)
        await quiet(trespasser, load.place)
        assert load.stage is stage
    released = load.account
    await load.to(Stage.LOADED)
    assert load.account.tokens == released.tokens
    assert load.account.states == ["active"]
    await trespasser.handle(load.place.terminal_no).result()
    await _start(trespasser, load)
    await _repeat(trespasser, load)
    await quiet(trespasser, load.place)
    assert load.account.states == ["active"]
    assert load.account.tokens == released.tokens


async def test_two_workflows_of_one_request_make_one_key(
    bench: Bench, trespasser: Trespasser
) -> None:
    """A second workflow of the same request under an id of its own, told of everything too."""
    load = await Ceremony.open(bench)
    double = f"double-of/{load.place.terminal_no}"
    await _start(trespasser, load, workflow_id=double)
    for stage in (
        Stage.AWAITING_REVIEW,
        Stage.AWAITING_CONFIRMATION,
        Stage.AWAITING_RECEIPT,
        Stage.LOADED,
    ):
        await load.to(stage)
        await _repeat(trespasser, load, workflow_id=double)
    await trespasser.client.get_workflow_handle(double).result()
    assert load.account.states == ["active"]
    assert len(load.account.tokens) == 1
    await eventually(lambda: "ended" in load.steps())
    assert sorted(load.steps()) == ["approved", "code-1", "ended", "review"]


async def test_a_made_up_opening_denies_at_most(bench: Bench, trespasser: Trespasser) -> None:
    """A workflow started with an opening of the forger's own, about a statement that is not there.

    How far it goes: if it names a genuine request id, that request is shown as FAILED, and the
    terminal has to ask again.
    """
    load = await Ceremony.at(bench, Stage.AWAITING_CONFIRMATION)
    forged = Opening(request_id=load.request_id, terminal_no=load.place.terminal_no, digest=FORGED)
    await trespasser.handle(load.place.terminal_no).terminate("attack")
    handle = await trespasser.client.start_workflow(
        names.LOADING_REQUEST,
        forged,
        id=names.loading_request_id(load.place.terminal_no),
        task_queue=names.CEREMONY_QUEUE,
        start_signal=names.SIGNAL_CONFIRMATION,
        start_signal_args=[Submission(request_id=load.request_id, digest=load.digest("decision"))],
    )
    assert (await handle.result())["stage"] == Stage.FAILED
    assert not load.account.keys
    again = await Ceremony.at(bench, Stage.LOADED, load.place)
    assert again.request_id != load.request_id
    assert again.account.states == ["active"]


async def test_cancelled_workflows_release_nothing_and_lose_nothing(
    bench: Bench, trespasser: Trespasser
) -> None:
    """Cancelled by Temporal's own means, before and after release.

    How far it goes: the load is denied; a released key stays released, and the one before active.
    """
    place = await bench.place()
    first = await Ceremony.at(bench, Stage.LOADED, place)
    await trespasser.handle(place.terminal_no).result()
    second = await Ceremony.at(bench, Stage.AWAITING_CONFIRMATION, place)
    await trespasser.handle(place.terminal_no).cancel()
    await _ended(trespasser, place)
    assert (await second.confirm()).status_code == 409
    third = await Ceremony.at(bench, Stage.AWAITING_RECEIPT, place)
    await trespasser.handle(place.terminal_no).cancel()
    await _ended(trespasser, place)
    assert third.account.states == ["active", "released"]
    assert third.account.keys[first.request_id][0] == "active"


@asynccontextmanager
async def rogue_key_worker(bench: Bench) -> AsyncIterator[None]:
    """Nobody but a rogue worker polls the key worker's queue, and says yes to everything."""
    await bench.stop("keys")
    with ThreadPoolExecutor(2) as executor:
        async with Worker(
            bench.client,
            task_queue=names.KEYS_QUEUE,
            activities=[release_key, settle_key],
            activity_executor=executor,
        ):
            yield
    await bench.start_worker("keys")


@activity.defn
def release_key(command: ReleaseCommand) -> ReleaseOutcome:
    """Claim a release."""
    return ReleaseOutcome(token_digest=FORGED if command.request_id else None)


@activity.defn
def settle_key(command: SettleCommand) -> Settlement:
    """Claim a settlement."""
    return Settlement(active=bool(command.request_id), reason=Reason.LOADED, kcv=KCV)


async def test_forged_activity_results_give_no_key(bench: Bench) -> None:
    """A rogue worker answers release and settlement in the key worker's place.

    What it claims was never published, so it is not recorded: no stage, no token, no key. The same
    confirmation, sent again with the key worker back, gets its token.
    """
    load = await Ceremony.at(bench, Stage.AWAITING_CONFIRMATION)
    code = await load.approval_code()
    load.sign_confirmation()
    async with rogue_key_worker(bench):
        path = f"/v1/loading-requests/{load.request_id}/confirmation"
        body = {"statement": load.said["confirmation"], "approval_code": code}
        answer = await load.http.post(path, json=body)
        assert answer.status_code == 202
        assert load.stage is Stage.AWAITING_CONFIRMATION
        assert Reason.TOKEN_UNKNOWN in bench.reasons(load.place.terminal_no)
        receipt = await load.receive(token_digest=FORGED, kcv=KCV)
        assert receipt.status_code == 409
        assert load.account == Account({}, {})
        sql = "SELECT count(*) FROM tokens WHERE request_id = ?"
        assert bench.value(sql, load.request_id) == 0
    bench.expected.add(load.request_id)
    confirmed = await load.confirm_again(code)
    assert confirmed.status_code == 200, confirmed.text
    assert load.account.states == ["released"]


async def test_a_released_token_is_only_for_its_own_epp(bench: Bench) -> None:
    """What an eavesdropper on Temporal, database or API gets: a token for one EPP and one nonce."""
    load = await Ceremony.at(bench, Stage.AWAITING_RECEIPT)
    said = token_contents(load.token)
    assert said["epp_fingerprint"] == load.epp.fingerprint
    assert said["terminal_no"] == load.place.terminal_no
    history = await bench.client.get_workflow_handle(
        names.loading_request_id(load.place.terminal_no)
    ).fetch_history()
    assert load.token not in history.to_json()


async def _start(trespasser: Trespasser, load: Ceremony, *, workflow_id: str | None = None) -> None:
    await trespasser.client.start_workflow(
        names.LOADING_REQUEST,
        Opening(
            request_id=load.request_id,
            terminal_no=load.place.terminal_no,
            digest=load.digest("request"),
        ),
        id=workflow_id or names.loading_request_id(load.place.terminal_no),
        task_queue=names.CEREMONY_QUEUE,
    )


async def _repeat(
    trespasser: Trespasser, load: Ceremony, *, workflow_id: str | None = None
) -> None:
    handle = trespasser.client.get_workflow_handle(
        workflow_id or names.loading_request_id(load.place.terminal_no)
    )
    signals = {
        "request": names.SIGNAL_REQUEST_REPEATED,
        "application": names.SIGNAL_APPLICATION,
        "decision": names.SIGNAL_DECISION,
        "confirmation": names.SIGNAL_CONFIRMATION,
        "receipt": names.SIGNAL_RECEIPT,
    }
    for kind in [kind for kind in signals if kind in load.said]:
        message = Submission(request_id=load.request_id, digest=load.digest(kind))
        try:
            await handle.signal(signals[kind], message)
        except RPCError:
            # It ended by an earlier one.
            return


async def _end(trespasser: Trespasser, place: Place) -> None:
    # Nothing to end if the last run has ended by itself.
    with suppress(RPCError):
        await trespasser.handle(place.terminal_no).terminate("the attack is over")


async def _ended(trespasser: Trespasser, place: Place) -> None:
    with pytest.raises(WorkflowFailureError):
        await trespasser.handle(place.terminal_no).result()
