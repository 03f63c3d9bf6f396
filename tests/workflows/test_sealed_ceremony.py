"""What Temporal keeps of a ceremony when payloads are sealed, and what a change of keys does."""

import asyncio
import re
from datetime import timedelta
from typing import Any, Final

import pytest
from google.protobuf.message import Message
from temporalio.api.failure.v1 import Failure
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import (
    Client,
    ScheduleActionExecutionStartWorkflow,
    ScheduleActionStartWorkflow,
    WorkflowHandle,
)

from ceremony import names
from ceremony.messages import LoadingResult, SyncOrder, SyncReport
from ceremony.sms import SmsUnavailable
from ceremony.stages import Stage
from engine.client import TemporalTarget, connect
from engine.keyring import KeyRing
from engine.payloadcodec import Place, SealingCodec, open_sealed
from engine.repetition import RUN_WITHIN, repeat
from tests.support.backstage import Backstage
from tests.support.load import WRONG_APPROVAL_CODE, WRONG_SMS_CODE, Load
from tests.support.payloads import messages_of, payloads_of, sealed

KEY: Final = "00112233445566778899aabbccddeeff" * 2
OTHER_KEY: Final = "ffeeddccbbaa99887766554433221100" * 2
RING: Final = KeyRing.read(f"k1:{KEY} k0:refused")

IN_CLEAR: Final = (
    # What auditors search by; Temporal must read it.
    re.compile(r"(.*\.)?search_attributes\.indexed_fields\[(Keyfill\w+|TemporalChangeVersion)\]"),
    # Written by the server: builds, and the schedule that started a run.
    re.compile(r"(.*\.)?search_attributes\.indexed_fields\[(BuildIds|TemporalScheduled\w+)\]"),
    # Written by the SDK's core: activity id, type, attempt and times of a local activity.
    re.compile(r"marker_recorded_event_attributes\.details\[data\]\.payloads"),
    # Likewise: the id of a patch.
    re.compile(r"marker_recorded_event_attributes\.details\[patch-data\]\.payloads"),
)
"""Every place of a payload that is not sealed: the list of docs/adr/0019-payload-encryption.md."""

EXPECTED: Final = (
    "workflow_execution_started_event_attributes.input",
    "workflow_execution_started_event_attributes.memo",
    "workflow_execution_signaled_event_attributes.input",
    "workflow_execution_completed_event_attributes.result",
    "activity_task_scheduled_event_attributes.input",
    "activity_task_started_event_attributes.last_failure",
    "activity_task_completed_event_attributes.result",
    "marker_recorded_event_attributes.details[result]",
    "user_metadata.summary",
)
"""Positions that a whole ceremony fills: a test that finds none there has looked past them."""


@pytest.fixture
async def client(target: TemporalTarget) -> Client:
    """A client whose payloads are sealed; the workers of `running` use it too."""
    return await connect(target, codec=SealingCodec(RING), identity="test")


@pytest.fixture
async def forger(target: TemporalTarget) -> Client:
    """Somebody who reaches the port, and has no payload key."""
    return await connect(target, identity="forger")


async def history_of(handle: WorkflowHandle[Any, Any]) -> list[Message]:
    """The raw events, and what Temporal tells of the workflow beside them."""
    described = await handle.describe()
    return [*(await handle.fetch_history()).events, described.raw_description]


def in_clear(messages: list[Message]) -> set[str]:
    """The places of all payloads that are neither sealed nor documented to be in clear."""
    return {
        path
        for message in messages
        for path, payload in payloads_of(message)
        if not sealed(payload) and not any(one.fullmatch(path) for one in IN_CLEAR)
    }


async def test_a_whole_ceremony_leaves_only_ciphertext(running: Backstage, client: Client) -> None:
    """Every payload of every event is sealed for its workflow, failures and summaries included.

    In clear are the search attributes and what the SDK's core writes into its own markers.
    """
    running.memory.fails = [SmsUnavailable()]
    load = await Load.open(running, client)
    await load.apply(code=WRONG_SMS_CODE)
    await load.apply()
    await load.decide()
    await load.confirm(code=WRONG_APPROVAL_CODE)
    await load.confirm()
    await load.receive()
    assert (await load.result()).stage is Stage.LOADED
    messages = await history_of(load.handle)
    assert in_clear(messages) == set()
    places = {path for message in messages for path, _ in payloads_of(message)}
    missing = [one for one in EXPECTED if not any(path.startswith(one) for path in places)]
    assert not missing
    here = Place.of(client.namespace, load.handle.id)
    for message in messages:
        for _, payload in payloads_of(message):
            if sealed(payload):
                open_sealed(RING, here, payload)
    raw = b"".join(message.SerializeToString() for message in messages)
    for word in (load.request.digest, load.application.digest, load.decision.digest):
        assert word.encode() not in raw
    assert b"TMK for terminal" not in raw


async def test_failures_say_nothing_in_clear(running: Backstage, client: Client) -> None:
    """The failure of an activity, which is tried again, has its message and stack sealed."""
    running.memory.fails = [SmsUnavailable("the number is +4917139299999")]
    load = await Load.open(running, client)
    await load.ask_code()
    messages = await history_of(load.handle)
    failures = [one for m in messages for one in messages_of(m) if isinstance(one, Failure)]
    assert failures
    for failure in failures:
        assert (failure.message, failure.stack_trace) == ("Encoded failure", "")
        assert sealed(failure.encoded_attributes)
    raw = b"".join(message.SerializeToString() for message in messages)
    assert b"+49171" not in raw


async def test_a_synchronisation_and_its_child_leave_only_ciphertext(
    running: Backstage, client: Client
) -> None:
    """Registry synchronisations, the showing that they start, and the signals that they send."""
    load = await Load.open(running, client)
    running.world.seq += 1
    running.feed.envelopes = [running.world.terminal_entry(branch="Harbour Road")]
    sync = await client.start_workflow(
        names.REGISTRY_SYNC,
        SyncOrder(),
        id=names.REGISTRY_SYNC_ID,
        task_queue=names.CEREMONY_QUEUE,
    )
    report = await sync.result()
    assert (await load.result()).stage is Stage.FAILED
    notes = client.get_workflow_handle(names.registry_notes_id(report["run_id"]))
    await notes.result()
    for handle in (sync, load.handle, notes):
        assert in_clear(await history_of(handle)) == set()


async def test_auditors_read_the_details_with_the_keys_only(
    running: Backstage, client: Client, forger: Client
) -> None:
    """What the Temporal UI shows comes sealed: with the keys it is Markdown, without nothing."""
    load = await Load.open(running, client)
    query = "__temporal_workflow_metadata"
    metadata: WorkflowMetadata = await load.handle.query(query, result_type=WorkflowMetadata)
    assert "AWAITING_APPLICATION" in metadata.current_details
    assert await (await load.handle.describe()).static_summary() == "TMK for terminal ATM-0001"
    with pytest.raises(Exception, match="keyfill-sealed"):
        await forger.get_workflow_handle(load.handle.id).query(query)


async def test_a_payload_of_before_a_rotation_is_still_read(
    stage: Backstage, client: Client, target: TemporalTarget
) -> None:
    """A load that began under the old key ends under the new one, over a change of workers."""
    async with stage.workers(client):
        load = await (await Load.open(stage, client)).to(Stage.AWAITING_REVIEW)
    ring = KeyRing.read(f"k2:{OTHER_KEY} k1:{KEY}")
    rotated = await connect(target, codec=SealingCodec(ring), identity="test")
    load.handle = rotated.get_workflow_handle(load.handle.id, result_type=LoadingResult)
    async with stage.workers(rotated):
        await load.decide()
        await load.confirm()
        await load.receive()
        assert (await load.result()).stage is Stage.LOADED
    data = [one.data for m in await history_of(load.handle) for _, one in payloads_of(m)]
    for key_id in (b"\x02k1", b"\x02k2"):
        assert any(one[1:4] == key_id for one in data)


async def test_a_scheduled_run_opens_what_its_schedule_sealed(
    running: Backstage, client: Client
) -> None:
    """The server starts it by itself, under an id with the time; its arguments and result open."""
    await every_nine_days(client)
    schedule = client.get_schedule_handle(names.REGISTRY_SYNC_ID)
    handle = await triggered(running, client)
    assert handle.id.startswith(f"{names.REGISTRY_SYNC_ID}-20")
    assert (await handle.result()).added == 0
    assert in_clear(await history_of(handle)) == set()
    await schedule.delete()


async def test_a_schedule_is_made_anew_under_the_new_key(
    stage: Backstage, client: Client, target: TemporalTarget
) -> None:
    """A worker that starts without the old key seals the argument again, and it opens.

    So do workers of the first start with keys: a plain argument becomes a sealed one. A schedule
    that somebody paused stays so, and no run lasts for ever.
    """
    plain = await connect(target, identity="test")
    assert await every_nine_days(plain)
    schedule = client.get_schedule_handle(names.REGISTRY_SYNC_ID)
    await schedule.pause(note="a change of keys")
    ring = KeyRing.read(f"k2:{OTHER_KEY} k1:refused")
    rotated = await connect(target, codec=SealingCodec(ring), identity="test")
    for one in (client, rotated):
        assert not await every_nine_days(one)
    described = await schedule.describe()
    assert (described.schedule.state.paused, described.schedule.state.note) == (
        True,
        "a change of keys",
    )
    action = described.schedule.action
    assert isinstance(action, ScheduleActionStartWorkflow)
    assert action.execution_timeout == RUN_WITHIN
    async with stage.workers(rotated):
        handle = await triggered(stage, rotated)
        async with asyncio.timeout(20):
            assert (await handle.result()).added == 0
    await schedule.delete()


async def every_nine_days(client: Client) -> bool:
    """Have the registry synchronised so seldom that no test sees it happen by itself."""
    name, queue = names.REGISTRY_SYNC_ID, names.CEREMONY_QUEUE
    every = timedelta(days=9)
    return await repeat(
        client, names.REGISTRY_SYNC, SyncOrder(), name=name, queue=queue, every=every
    )


async def triggered(stage: Backstage, client: Client) -> WorkflowHandle[Any, SyncReport]:
    """Have the schedule start a run now, and give it."""
    schedule = client.get_schedule_handle(names.REGISTRY_SYNC_ID)
    await schedule.trigger()
    async with asyncio.timeout(20):
        while not (started := (await schedule.describe()).info.recent_actions):
            await stage.breathe()
    action = started[0].action
    assert isinstance(action, ScheduleActionExecutionStartWorkflow)
    return client.get_workflow_handle(action.workflow_id, result_type=SyncReport)
