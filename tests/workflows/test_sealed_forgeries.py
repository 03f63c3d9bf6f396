"""What a forger gains at Temporal when payloads are sealed: nothing, and no load is lost."""

import asyncio
from typing import Any, Final

import pytest
from temporalio.api.common.v1 import Payload, Payloads, WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import SignalWorkflowExecutionRequest
from temporalio.client import Client, WorkflowHandle

from ceremony import names
from ceremony.encoding import canonical_json
from ceremony.messages import Opening, Submission
from ceremony.stages import Stage
from ceremony.statements import Kind
from engine.client import TemporalTarget, connect
from engine.keyring import KeyRing
from engine.payloadcodec import Place, SealingCodec, seal
from records import projection
from tests.support.backstage import Backstage
from tests.support.load import Load

KEY: Final = "00112233445566778899aabbccddeeff" * 2
OTHER_KEY: Final = "ffeeddccbbaa99887766554433221100" * 2
RING: Final = KeyRing.read(f"k1:{KEY} k0:refused")


@pytest.fixture
async def client(target: TemporalTarget) -> Client:
    """A client whose payloads are sealed; the workers of `running` use it too."""
    return await connect(target, codec=SealingCodec(RING), identity="test")


@pytest.fixture
async def forger(target: TemporalTarget) -> Client:
    """Somebody who reaches the port, and has no payload key."""
    return await connect(target, identity="forger")


async def inject(client: Client, workflow_id: str, signal: str, payload: Payload) -> None:
    """Signal a workflow with a payload as it stands."""
    await client.workflow_service.signal_workflow_execution(
        SignalWorkflowExecutionRequest(
            namespace=client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=workflow_id),
            signal_name=signal,
            input=Payloads(payloads=[payload]),
        )
    )


def plain(submission: Submission) -> Payload:
    """A message as plaintext."""
    data = canonical_json(submission.model_dump())
    return Payload(metadata={"encoding": b"json/plain"}, data=data)


def forgeries(namespace: str, workflow_id: str, payload: Payload) -> dict[str, Payload]:
    """The same message as forgers and thieves would bring it, by what is wrong with it."""
    right = seal(RING, Place.of(namespace, workflow_id), payload)
    elsewhere = seal(RING, Place.of(namespace, f"{workflow_id}9"), payload)
    another = seal(RING, Place.of("default", workflow_id), payload)
    old = seal(KeyRing.read(f"k0:{OTHER_KEY}"), Place.of(namespace, workflow_id), payload)
    short = Payload(metadata=right.metadata, data=right.data[:-1])
    stub = Payload(metadata=right.metadata, data=right.data[:5])
    return {
        "plaintext": payload,
        "nothing": Payload(),
        "from another workflow": elsewhere,
        "from another namespace": another,
        "under a refused key": old,
        "shortened": short,
        "a stub": stub,
    }


async def test_a_forged_signal_is_dropped_and_the_load_goes_on(
    running: Backstage, client: Client, forger: Client
) -> None:
    """Plaintext, moved, under an old key, shortened: of no effect, and no workflow task fails.

    Brought with a genuine statement that waits in the records, it would have been judged; so what
    is dropped is the payload. Sealed rightly, the same message is then taken.
    """
    load = await Load.open(running, client)
    await load.ask_code()
    load.sign_application()
    code = running.world.sms_code(load.request, 1)
    filed = running.file_application(load.request, load.application, code=code)
    namespace, workflow_id = client.namespace, load.handle.id
    forged = forgeries(namespace, workflow_id, plain(filed))
    for payload in forged.values():
        await inject(forger, workflow_id, names.SIGNAL_APPLICATION, payload)
    # The query is answered after the signals before it.
    state = await load.handle.query(names.QUERY_STATUS)
    assert state["stage"] == Stage.AWAITING_APPLICATION
    assert load.row.stage == Stage.AWAITING_APPLICATION
    verdict = await running.signal(load.handle, Kind.APPLICATION, filed)
    assert verdict.accepted
    await load.decide()
    await load.confirm()
    await load.receive()
    assert (await load.result()).stage is Stage.LOADED
    events = (await load.handle.fetch_history()).events
    signals = [e for e in events if e.HasField("workflow_execution_signaled_event_attributes")]
    assert len(signals) >= len(forged)
    assert not [e for e in events if e.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED]


async def test_a_forged_start_runs_nothing(
    running: Backstage, client: Client, forger: Client
) -> None:
    """A workflow that was started with plaintext gets no further than its first task.

    It holds its terminal up until an operator terminates it: a denial, and no more.
    """
    request = running.world.request()
    filed = running.file(request)
    opening = Opening(
        request_id=filed.request_id,
        terminal_no=request.payload.terminal_no,
        digest=filed.digest,
    )
    await forger.start_workflow(
        names.LOADING_REQUEST,
        opening,
        id=names.loading_request_id(opening.terminal_no),
        task_queue=names.CEREMONY_QUEUE,
    )
    handle = client.get_workflow_handle(names.loading_request_id(opening.terminal_no))
    await task_failed(running, handle)
    with running.database.read() as session:
        assert projection.find(session, filed.request_id) is None
    await handle.terminate()
    load = await Load.open(running, client)
    assert load.row.stage == Stage.AWAITING_APPLICATION


async def task_failed(stage: Backstage, handle: WorkflowHandle[Any, Any]) -> None:
    """Wait until a task of a workflow has failed."""
    async with asyncio.timeout(20):
        while True:
            events = (await handle.fetch_history()).events
            if EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED in [one.event_type for one in events]:
                return
            await stage.breathe()


async def test_an_unknown_key_holds_a_load_up_until_it_is_given_or_refused(
    stage: Backstage, client: Client, forger: Client, target: TemporalTarget
) -> None:
    """A signal under an id that the ring does not know fails the task: it might be a new key.

    Nothing is lost by it. With `*:refused` in the ring the signal is dropped, and the load goes on.
    """
    async with stage.workers(client):
        load = await Load.open(stage, client)
        message = plain(Submission(request_id=load.request_id, digest="0" * 64))
        unknown = KeyRing.read(f"k9:{OTHER_KEY}")
        here = Place.of(client.namespace, load.handle.id)
        await inject(
            forger, here.workflow_id, names.SIGNAL_APPLICATION, seal(unknown, here, message)
        )
        await task_failed(stage, load.handle)
    assert load.row.stage == Stage.AWAITING_APPLICATION
    mended = SealingCodec(KeyRing.read(f"k1:{KEY} *:refused"))
    again = await connect(target, codec=mended, identity="test")
    async with stage.workers(again):
        await load.to(Stage.LOADED)
        assert (await load.result()).stage is Stage.LOADED
