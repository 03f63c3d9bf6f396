"""Officers' order about a key goes to the key worker by Temporal, and its answer comes back."""

from concurrent.futures import ThreadPoolExecutor

from temporalio.client import Client

from ceremony import names
from ceremony.keyorders import draft_order
from ceremony.messages import KeyOrderAnswer, KeyOrderNote
from ceremony.reasons import Reason
from ceremony.stages import Stage
from records import keystore
from records.tables.key import KeyState
from taskqueues import THREADS, make_worker
from tests.support.backstage import Backstage
from tests.support.keyorders import note
from tests.support.load import Load


async def bring(client: Client, stage: Backstage, envelope: str) -> KeyOrderAnswer:
    """Bring an order as `keyfill keys` does."""
    digest = draft_order(envelope, stage.world.trust).digest
    answer: KeyOrderAnswer = await client.execute_workflow(
        names.KEY_ORDER,
        KeyOrderNote(order=envelope),
        id=names.key_order_id(digest),
        task_queue=names.CEREMONY_QUEUE,
        result_type=KeyOrderAnswer,
    )
    return answer


def state_of(stage: Backstage, load: Load) -> KeyState:
    """A key's published state."""
    with stage.database.read() as session:
        row = keystore.key(session, load.request_id)
    assert row is not None
    return row.state


async def test_an_order_is_carried_out_and_answered_again(
    running: Backstage, client: Client
) -> None:
    """An unconfirmed key is settled; the same order again gets the same answer; a forged one none.

    Then the terminal is loaded anew, and the settled key retires.
    """
    load = await (await Load.open(running, client)).to(Stage.AWAITING_RECEIPT)
    early = note(running.world, "settle-loaded", load.request_id)
    refused = KeyOrderAnswer(refused=Reason.KEY_STATE_REFUSED)
    assert await bring(client, running, early) == refused
    await load.receive(kcv="000000")
    assert (await load.result()).stage is Stage.UNCONFIRMED
    alone = note(running.world, "settle-loaded", load.request_id, officers=1)
    assert (await bring(client, running, alone)).refused is Reason.OFFICERS_MISSING
    settled = note(running.world, "settle-loaded", load.request_id)
    for _ in range(2):
        assert await bring(client, running, settled) == KeyOrderAnswer(state=KeyState.ACTIVE)
        assert await bring(client, running, early) == refused
    assert state_of(running, load) is KeyState.ACTIVE
    again = await (await Load.open(running, client)).to(Stage.LOADED)
    assert (await again.result()).stage is Stage.LOADED
    assert (state_of(running, load), state_of(running, again)) == (
        KeyState.RETIRED,
        KeyState.ACTIVE,
    )


async def test_a_key_that_is_lost_while_it_is_loaded_ends_unconfirmed(
    running: Backstage, client: Client
) -> None:
    """An officer's word between token and receipt: the genuine receipt activates nothing."""
    load = await (await Load.open(running, client)).to(Stage.AWAITING_RECEIPT)
    revoked = note(running.world, "revoke", load.request_id, officers=1)
    assert (await bring(client, running, revoked)).state is KeyState.COMPROMISED
    assert (await load.receive()).accepted
    result = await load.result()
    assert (result.stage, result.reason, result.kcv) == (
        Stage.UNCONFIRMED,
        Reason.KEY_COMPROMISED,
        None,
    )
    assert state_of(running, load) is KeyState.COMPROMISED


async def test_an_order_waits_for_the_key_worker(stage: Backstage, client: Client) -> None:
    """Brought while it is away, it is carried out as soon as there is one."""
    with ThreadPoolExecutor(THREADS) as executor:
        async with make_worker(client, stage.ceremony(), executor):
            envelope = note(stage.world, "destroy", "A" * 24)
            handle = await client.start_workflow(
                names.KEY_ORDER,
                KeyOrderNote(order=envelope),
                id="key-order/waiting",
                task_queue=names.CEREMONY_QUEUE,
                result_type=KeyOrderAnswer,
            )
            async with make_worker(client, stage.keys(), executor):
                answer: KeyOrderAnswer = await handle.result()
    assert answer == KeyOrderAnswer(refused=Reason.KEY_UNKNOWN)
