"""SMS that are slow, fail or may have been sent: the ceremony never waits for them."""

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client

from ceremony.sms import SmsAmbiguous, SmsRefused, SmsUnavailable
from ceremony.stages import Stage
from records import messages
from records.tables.sms_message import SmsStatus
from taskqueues import ACTIVITIES, THREADS
from tests.support.backstage import Backstage
from tests.support.load import Load


def status_of(stage: Backstage, load: Load, what: str) -> tuple[SmsStatus, str | None] | None:
    """How a message ended, with its error; None while nobody knows."""
    with stage.database.read() as session:
        row = messages.message(session, f"{load.request_id}/sms/{what}")
    return None if row is None or row.status is SmsStatus.INTENT else (row.status, row.error)


async def ask(load: Load, n: int) -> None:
    """Ask for an SMS code and do not wait for it."""
    await load.begin_code(n)
    load.codes = n


async def asked_at_least(stage: Backstage, count: int) -> None:
    """Wait until the gateway was asked so often."""
    await stage.until(lambda: len(stage.memory.asked) >= count or None)


async def test_hanging_sms_block_nothing(running: Backstage, client: Client) -> None:
    """With every SMS hanging the key is loaded all the same, as fast as ever."""
    running.memory.flowing.clear()
    load = await Load.open(running, client)
    await ask(load, 1)
    await load.to(Stage.LOADED)
    assert load.sms() == []
    running.memory.flowing.set()
    assert (await load.result()).stage is Stage.LOADED


async def test_many_hanging_sms_leave_the_records_their_threads(
    running: Backstage, client: Client
) -> None:
    """As many hanging SMS as the worker has threads, and a statement is still recorded."""
    running.memory.flowing.clear()
    for n in range(1, THREADS + 1):
        load = await Load.open(running, client)
        await ask(load, 1)
        await asked_at_least(running, min(n, ACTIVITIES))
        await load.handle.terminate(reason="test")
    load = await Load.open(running, client)
    assert load.row.stage is Stage.AWAITING_APPLICATION
    running.memory.flowing.set()


async def test_open_sms_are_given_up_in_their_order(running: Backstage, client: Client) -> None:
    """At the end the SMS under way are cancelled as they were started: a replay does the same."""
    running.memory.flowing.clear()
    load = await Load.open(running, client)
    await ask(load, 1)
    await load.to(Stage.AWAITING_CONFIRMATION)
    await asked_at_least(running, 3)
    await load.cancel()
    running.memory.flowing.set()
    await load.result()
    history = await load.handle.fetch_history()
    cancelled = [
        event.activity_task_cancel_requested_event_attributes.scheduled_event_id
        for event in history.events
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED
    ]
    assert len(cancelled) == 3
    assert cancelled == sorted(cancelled)


async def test_what_was_surely_not_sent_is_sent_again(running: Backstage, client: Client) -> None:
    """A provider that is away twice is asked a third time: the code comes once."""
    running.memory.fails += [SmsUnavailable("timeout"), SmsUnavailable("timeout")]
    load = await Load.open(running, client)
    await load.ask_code()
    assert load.sms() == ["code-1"]
    assert len(running.memory.asked) == 3
    assert (await load.apply()).accepted


async def test_what_may_have_been_sent_is_not_sent_again(
    running: Backstage, client: Client
) -> None:
    """An ambiguous outcome is recorded and left alone; the code counts if it did arrive."""
    running.memory.fails.append(SmsAmbiguous("timeout"))
    load = await Load.open(running, client)
    await ask(load, 1)
    status = await running.until(lambda: status_of(running, load, "code-1"))
    assert status == (SmsStatus.AMBIGUOUS, "timeout")
    assert (await load.apply()).accepted
    await load.told("review")
    assert [step for step in running.memory.asked if step.endswith("code-1")] == [
        f"{load.request_id}/sms/code-1"
    ]


async def test_what_the_provider_refused_is_not_sent_again(
    running: Backstage, client: Client
) -> None:
    """A refused notice is recorded with the provider's code, and the ceremony goes on."""
    load = await Load.open(running, client)
    await load.ask_code()
    running.memory.fails.append(SmsRefused("21211"))
    await load.apply()
    status = await running.until(lambda: status_of(running, load, "review"))
    assert status == (SmsStatus.FAILED, "21211")
    assert ("sms-failed", "21211") in load.events()
    assert (await load.decide()).accepted
    await load.told("approved")
    assert "review" not in load.sms()
