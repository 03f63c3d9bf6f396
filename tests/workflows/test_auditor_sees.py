"""What an auditor sees in Temporal's own data, and what nobody ever sees there."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import Client, WorkflowHandle

from ceremony import names
from ceremony.stages import Stage
from engine import searchattributes
from tests.support.backstage import Backstage
from tests.support.load import WRONG_APPROVAL_CODE, WRONG_SMS_CODE, Load

METADATA_QUERY = "__temporal_workflow_metadata"
HOSTILE_BRANCH = "**Main** <img src=x onerror=alert(1)> [a](http://e.test) `b` #1 a_b"
TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")


async def details_of(handle: WorkflowHandle[Any, Any]) -> str:
    """The current details, as the Web UI asks for them."""
    metadata: WorkflowMetadata = await handle.query(METADATA_QUERY, result_type=WorkflowMetadata)
    return metadata.current_details


async def found(client: Client, query: str) -> list[str]:
    """The ids of the workflows that a list query finds."""
    return [one.id async for one in client.list_workflows(query)]


async def eventually_found(stage: Backstage, client: Client, query: str) -> list[str]:
    """The same, when the server's visibility has caught up."""
    for _ in range(100):
        if ids := await found(client, query):
            return ids
        # Visibility gives no sign of its own when it has caught up.
        await stage.breathe()
    return []


def payloads_in(message: Message) -> Iterator[Payload]:
    """Every payload anywhere in a Temporal message."""
    if isinstance(message, Payload):
        yield message
        return
    for field, value in message.ListFields():
        if field.type != field.TYPE_MESSAGE:
            continue
        kind = field.message_type
        if kind is not None and kind.GetOptions().map_entry:
            inner = value.values() if hasattr(value, "values") else ()
            parts = [one for one in inner if isinstance(one, Message)]
        else:
            parts = list(value) if field.is_repeated else [value]
        for part in parts:
            yield from payloads_in(part)


async def seen_of(load: Load) -> str:
    """All that Temporal gives of a request: every payload, and the current details."""
    history = await load.handle.fetch_history()
    description = await load.handle.describe()
    payloads = [
        one.data.decode()
        for message in (*history.events, description.raw_description)
        for one in payloads_in(message)
    ]
    assert len(payloads) > len(history.events) // 2
    return "\n".join([*payloads, await details_of(load.handle)])


async def words_of(load: Load) -> set[str]:
    """The single words in it, without times."""
    return set(re.findall(r"[A-Za-z0-9_-]+", TIME.sub("", await seen_of(load))))


def summary_of(event: Any) -> str | None:
    """An event's summary in its user metadata."""
    data = event.user_metadata.summary.data
    return json.loads(data) if data else None


@pytest.fixture
async def told(running: Backstage, client: Client) -> Load:
    """A load at AWAITING_RECEIPT, with refusals on the way, by the right and by other people."""
    world = running.world
    load = await Load.open(running, client)
    await load.apply(code=WRONG_SMS_CODE)
    await load.apply(signer=world.second.signer, administrator=world.second.staff_no)
    await load.apply()
    await load.told("review")
    await load.decide(signer=world.first.signer, administrator=world.first.staff_no)
    await load.decide()
    await load.told("approved")
    await load.confirm(code=WRONG_APPROVAL_CODE)
    await load.confirm()
    return load


async def test_a_request_is_found_by_what_it_is_about(
    running: Backstage, client: Client, told: Load
) -> None:
    """List queries find a request by id, terminal, stage, branch and either administrator."""
    world = running.world
    values = {
        names.SEARCH_REQUEST: told.request_id,
        names.SEARCH_TERMINAL: world.terminal.terminal_no,
        names.SEARCH_STAGE: Stage.AWAITING_RECEIPT,
        names.SEARCH_FIRST: world.first.staff_no,
        names.SEARCH_SECOND: world.second.staff_no,
        names.SEARCH_BRANCH: "Main Street",
    }
    query = " AND ".join(f'{name}="{value}"' for name, value in values.items())
    assert await eventually_found(running, client, query) == [told.handle.id]
    assert await found(client, f'{names.SEARCH_STAGE}="{Stage.AWAITING_REVIEW}"') == []

    await told.receive()
    await told.result()
    loaded = f'{names.SEARCH_STAGE}="{Stage.LOADED}" AND ExecutionStatus="Completed"'
    assert await eventually_found(running, client, loaded) == [told.handle.id]


async def test_the_description_says_what_it_is_about(
    running: Backstage, client: Client, told: Load
) -> None:
    """Summary, memo and typed search attributes tell request, terminal, people and stage."""
    await told.receive()
    await told.result()
    description = await told.handle.describe()
    world = running.world
    assert await description.static_summary() == f"TMK for terminal {world.terminal.terminal_no}"
    assert await description.memo() == {"request_id": told.request_id}
    attributes = description.typed_search_attributes
    assert [attributes.get(key) for key in searchattributes.ALL] == [
        told.request_id,
        Stage.LOADED,
        world.terminal.terminal_no,
        world.first.staff_no,
        world.second.staff_no,
        "Main Street",
    ]


async def test_the_details_tell_who_did_what_when(told: Load) -> None:
    """The current details give stage, people, and each act with its time and reason codes."""
    details = await details_of(told.handle)
    assert details.startswith("**AWAITING_RECEIPT**")
    assert "first administrator A1001, second administrator A1002" in details
    lines = [line.removeprefix("- ") for line in details.splitlines() if line.startswith("- ")]
    assert all(TIME.match(line) for line in lines)
    acts = [TIME.sub("", line).strip().replace("\\", "") for line in lines]
    assert acts == [
        "request by terminal ATM-0001: accepted",
        "stage AWAITING_APPLICATION",
        "SMS code 1 to administrator A1001",
        "application by administrator A1001: refused (sms-code-wrong)",
        "application by somebody else: refused (not-first-administrator)",
        "application by administrator A1001: accepted",
        "stage AWAITING_REVIEW",
        "decision by somebody else: refused (not-second-administrator)",
        "decision by administrator A1002: accepted",
        "stage AWAITING_CONFIRMATION",
        "confirmation by terminal ATM-0001: refused (approval-code-wrong)",
        "confirmation by terminal ATM-0001: accepted",
        "stage AWAITING_RECEIPT",
    ]


async def test_the_details_tell_how_it_ended(told: Load) -> None:
    """An ended request still tells its stage, its reason and its whole course."""
    await told.receive(kcv="000000")
    await told.result()
    details = await details_of(told.handle)
    assert details.startswith("**UNCONFIRMED** (kcv-wrong)")
    assert "receipt by terminal" in details


async def test_the_history_names_every_step(told: Load) -> None:
    """Every activity, local activity and timer of the history carries a summary."""
    await told.receive()
    await told.result()
    history = await told.handle.fetch_history()
    kinds = {
        "activity_task_scheduled_event_attributes",
        "marker_recorded_event_attributes",
        "timer_started_event_attributes",
    }
    steps = [
        summary_of(event) for event in history.events if event.WhichOneof("attributes") in kinds
    ]
    assert None not in steps
    named = [step for step in steps if step and not step.startswith("deadline at")]
    assert len(steps) > len(named)
    assert named == [
        "record opening",
        "SMS code 1",
        "record application",
        "record application",
        "record application",
        "SMS notice: review",
        "record decision",
        "record decision",
        "SMS notice: approved",
        "record confirmation",
        "key worker: release",
        "record release",
        "record confirmation",
        "key worker: release",
        "record release",
        "record receipt",
        "key worker: settle",
        "record settlement",
        "SMS notice: ended",
    ]


async def test_the_history_holds_nothing_that_authorises(running: Backstage, told: Load) -> None:
    """No telephone number, code, QR text, statement or key token is anywhere in Temporal."""
    await told.receive()
    await told.result()
    world = running.world
    codes = {world.sms_code(told.request), world.approval_code(told.request)}
    texts = [told.request.text, told.application.text, told.confirmation.text]
    forbidden = [
        *(person.number.removeprefix("+") for person in (world.first, world.second)),
        world.qr_token(told.request),
        *(text.rsplit(".", 1)[-1] for text in texts),
        *(token.value for token in told.tokens()),
    ]
    seen = await seen_of(told)
    assert "sms-code-wrong" in seen
    for secret in forbidden:
        assert secret not in seen
    assert (await words_of(told)).isdisjoint(codes)


async def test_the_check_value_comes_after_the_receipt(running: Backstage, told: Load) -> None:
    """Before the receipt nobody can read the KCV in Temporal, which a terminal could copy."""
    kcv = running.journal.kcv_of(told.request_id)
    assert kcv not in await words_of(told)
    await told.receive()
    await told.result()
    assert kcv in await words_of(told)


async def test_free_text_is_shown_as_text(running: Backstage, client: Client) -> None:
    """Markdown and HTML in a branch's name come out escaped in the details."""
    world = running.world
    world.seq += 1
    world.terminal_envelopes[world.terminal.terminal_no] = world.terminal_entry(
        branch=HOSTILE_BRANCH
    )
    running.register()
    load = await Load.open(running, client)
    details = await details_of(load.handle)
    (line,) = [line for line in details.splitlines() if line.startswith("Terminal")]
    shown = line.partition("branch ")[2].partition("; first")[0]
    assert shown.replace("\\", "") == HOSTILE_BRANCH
    assert re.findall(r"(?<!\\)[*_`<>\[\]()#]", shown) == []
