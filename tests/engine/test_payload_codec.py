"""A payload opens where it was sealed, and nowhere else."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.converter import (
    ActivitySerializationContext,
    DataConverter,
    WorkflowSerializationContext,
)
from temporalio.exceptions import ApplicationError

from engine.converter import data_converter
from engine.keyring import KeyRing
from engine.payloadcodec import (
    ContextMissing,
    PayloadKeyUnknown,
    PayloadRefused,
    Place,
    SealingCodec,
    codec_of,
    open_sealed,
    seal,
)

KEY = "00112233445566778899aabbccddeeff" * 2
OTHER = "ffeeddccbbaa99887766554433221100" * 2
RING = KeyRing.read(f"k1:{KEY}")
HERE = Place.of("keyfill", "loading-request/ATM-0001")
PLAIN = Payload(metadata={"encoding": b"json/plain"}, data=b'{"digest":"00ff"}')


def refusal(ring: KeyRing, place: Place, payload: Payload) -> str:
    """Why a payload is refused."""
    with pytest.raises(PayloadRefused) as refused:
        open_sealed(ring, place, payload)
    return refused.value.refusal


def at(workflow_id: str = HERE.workflow_id, namespace: str = HERE.namespace) -> DataConverter:
    """The converter of one workflow's payloads."""
    context = WorkflowSerializationContext(namespace=namespace, workflow_id=workflow_id)
    return data_converter(SealingCodec(RING)).with_context(context)


def test_a_sealed_payload_opens_where_it_belongs() -> None:
    """It comes back whole, metadata included; the wire shows none of it, and differs each time."""
    sealed, again = seal(RING, HERE, PLAIN), seal(RING, HERE, PLAIN)
    assert open_sealed(RING, HERE, sealed) == PLAIN
    assert b"00ff" not in sealed.SerializeToString()
    assert sealed.data != again.data


@pytest.mark.parametrize(
    "place",
    [
        Place.of("keyfill", "loading-request/ATM-0002"),
        Place.of("default", "loading-request/ATM-0001"),
        # The same characters, parted elsewhere.
        Place.of("keyfilll", "oading-request/ATM-0001"),
    ],
)
def test_a_moved_payload_does_not_open(place: Place) -> None:
    """Sealed for another workflow or namespace, it is refused, whatever it claims itself."""
    moved = seal(RING, place, PLAIN)
    moved.metadata["keyfill-workflow"] = HERE.workflow_id.encode()
    assert refusal(RING, HERE, moved) == "payload-not-authentic"


def test_plaintext_is_refused() -> None:
    """What was never sealed is refused, under its own encoding and under one that it claims."""
    assert refusal(RING, HERE, PLAIN) == "payload-not-sealed"
    assert refusal(RING, HERE, Payload()) == "payload-not-sealed"
    marked = Payload(metadata={"encoding": b"binary/keyfill-refused"}, data=b"payload-not-sealed")
    assert refusal(RING, HERE, marked) == "payload-not-sealed"
    claimed = Payload(metadata={"encoding": b"binary/keyfill-sealed"}, data=PLAIN.data)
    assert refusal(RING, HERE, claimed) == "payload-malformed"


@given(some.data())
def test_every_changed_or_shortened_payload_is_refused(data: some.DataObject) -> None:
    """Any bit changed and any length but its own: refused, or an unknown key, and never opened."""
    sealed = seal(RING, HERE, PLAIN)
    size = len(sealed.data)
    changed = bytearray(sealed.data)
    if data.draw(some.booleans()):
        where = data.draw(some.integers(0, size * 8 - 1))
        changed[where // 8] ^= 1 << where % 8
    else:
        changed = changed[: data.draw(some.integers(0, size - 1))]
    with pytest.raises((PayloadRefused, PayloadKeyUnknown)):
        open_sealed(RING, HERE, Payload(metadata=sealed.metadata, data=bytes(changed)))


def test_a_rotated_ring_opens_the_old_and_seals_with_the_new() -> None:
    """After a rotation the old payloads open; once the id is refused, they do not."""
    old = seal(RING, HERE, PLAIN)
    both = KeyRing.read(f"k2:{OTHER} k1:{KEY}")
    assert open_sealed(both, HERE, old) == PLAIN
    assert b"\x02k2" in seal(both, HERE, PLAIN).data
    assert refusal(KeyRing.read(f"k2:{OTHER} k1:refused"), HERE, old) == "payload-key-refused"
    with pytest.raises(PayloadKeyUnknown):
        open_sealed(KeyRing.read(f"k2:{OTHER}"), HERE, old)


async def test_an_activity_opens_what_its_workflow_sealed() -> None:
    """Arguments and results cross between a workflow and the activities that it started."""
    context = ActivitySerializationContext(
        namespace=HERE.namespace,
        activity_id="7",
        activity_type="release_key",
        activity_task_queue="keyfill-keys",
        workflow_id=HERE.workflow_id,
        workflow_type="LoadingRequest",
        is_local=False,
    )
    activity = data_converter(SealingCodec(RING)).with_context(context)
    assert await activity.decode(await at().encode(["a", 1])) == ["a", 1]


async def test_the_arguments_of_a_schedule_open_in_each_of_its_runs() -> None:
    """A schedule seals for the id as configured; its runs have their time after it."""
    sealed = await at("registry-sync").encode(["order"])
    assert await at("registry-sync-2026-11-23T04:15:00Z").decode(sealed) == ["order"]
    with pytest.raises(PayloadRefused):
        await at("registry-sync-2").decode(sealed)


async def test_a_refused_payload_is_refused_by_whoever_wants_its_value() -> None:
    """Decoding marks it, so that its neighbours arrive; the value itself raises the reason."""
    sealed, foreign = await at().encode(["mine"]), await at("elsewhere").encode(["theirs"])
    codec = at().payload_codec
    assert codec is not None
    mine, marked = await codec.decode([*sealed, *foreign])
    assert at().payload_converter.from_payloads([mine]) == ["mine"]
    with pytest.raises(PayloadRefused, match="payload-not-authentic"):
        at().payload_converter.from_payloads([marked])


async def test_what_is_not_opened_is_told() -> None:
    """A refused payload and one under an unknown key are told apart, also by a workflow's codec."""
    told: list[bool] = []
    codec = codec_of(f"k1:{KEY}", told.append)
    assert codec is not None
    context = WorkflowSerializationContext(namespace=HERE.namespace, workflow_id=HERE.workflow_id)
    here = codec.with_context(context)
    await here.decode([PLAIN, seal(RING, HERE, PLAIN)])
    assert told == [False]
    with pytest.raises(PayloadKeyUnknown):
        await here.decode([seal(KeyRing.read(f"k2:{OTHER}"), HERE, PLAIN)])
    assert told == [False, True]


async def test_a_payload_outside_of_any_workflow_is_not_sealed() -> None:
    """Without a workflow there is nothing to bind a payload to: both directions refuse."""
    converter = data_converter(SealingCodec(RING))
    with pytest.raises(ContextMissing):
        await converter.encode(["x"])
    with pytest.raises(ContextMissing):
        await converter.decode([seal(RING, HERE, PLAIN)])


async def test_a_failure_is_sealed_with_its_details() -> None:
    """Message, stack trace and details are sealed; the type, a code of ours, stays in clear."""
    failure = Failure()
    error: Any = ApplicationError("why-it-failed", "a detail", type="refused")
    await at().encode_failure(error, failure)
    wire = failure.SerializeToString()
    assert b"why-it-failed" not in wire
    assert b"a detail" not in wire
    assert b"refused" in wire
    decoded = await at().decode_failure(failure)
    assert isinstance(decoded, ApplicationError)
    assert (decoded.message, *decoded.details) == ("why-it-failed", "a detail")


def test_without_keys_there_is_no_codec() -> None:
    """Development without payload keys has readable payloads, as has the replay of histories."""
    assert codec_of(None) is None
    assert codec_of(f"k1:{KEY}") is not None
