"""A change of an administrator as a durable workflow: it waits, tells, and ends one way."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from temporalio import workflow
from temporalio.client import Client, WorkflowExecutionStatus

from ceremony import names
from ceremony.messages import ChangeNote, ChangeOrder, ChangeResult, SyncOrder, SyncReport
from ceremony.reasons import Reason
from ceremony.registry import envelope_statements, seal_envelope
from ceremony.stages import Stage
from commands.registrychanges import _start
from engine.client import TemporalTarget
from records import credentialentries, registrychanges
from records.tables.registry_change import ChangeState
from settings import Settings
from taskqueues import THREADS, make_worker
from tests.support.backstage import Backstage
from tests.support.changes import (
    administrators_of,
    begin_cooling_off,
    bring_in,
    change,
    events,
    number_of,
    start,
    with_new_phone,
    withdraw,
)
from tests.support.load import Load
from tests.support.skipping import Skipping

SOON = 2
"""Seconds: a cooling-off time that a test can wait for."""
LONG = 86_400


@pytest.fixture
def cooling(stage: Backstage) -> Backstage:
    """A stage whose key worker is about to know its registry; a test says how long changes wait."""
    return stage


async def until_cooling(stage: Backstage, order: ChangeOrder) -> int:
    """Wait until the key worker has said when a change takes effect."""
    return await stage.until(lambda: change(stage, order).effective_at)


async def test_a_change_takes_effect_a_day_later(tmp_path: Path) -> None:
    """Former and new number are told at once; for a day everything goes by the former."""
    async with Skipping.start(tmp_path, cooling_off=LONG) as skipping:
        stage, world = skipping.stage, skipping.stage.world
        new = with_new_phone(world.second)
        order = bring_in(stage, new)
        handle = await start(skipping.env.client, order)
        due = await until_cooling(stage, order)
        assert due == world.now + LONG
        await stage.until(lambda: len(stage.memory.sent) == 2 or None)
        assert [to for _, to, _ in stage.memory.sent] == [world.second.number, new.number]
        assert all(world.second.staff_no in text for _, _, text in stage.memory.sent)
        assert number_of(stage, new.person) == world.second.number
        world.pass_time(LONG - 60)
        await skipping.env.sleep(timedelta(seconds=LONG - 60))
        assert change(stage, order).state is ChangeState.COOLING
        assert number_of(stage, new.person) == world.second.number
        world.pass_time(61)
        assert await handle.result() == ChangeResult(outcome="effective")
        assert number_of(stage, new.person) == new.number
        assert stage.journal.known_seqs("person", [new.person]) == {new.person: 2}
        assert events(stage) == [
            "credential-change-begun",
            "registry-change-cooling",
            "registry-change-effective",
        ]
        assert len(stage.memory.sent) == 2


async def test_a_withdrawn_change_ends_and_the_key_worker_forgets_it(
    cooling: Backstage, client: Client, target: TemporalTarget
) -> None:
    """The former entry goes on, also when the entry is shown again; by the commands' own hand."""
    begin_cooling_off(cooling, LONG)
    settings = Settings(temporal_address=target.address, temporal_namespace=target.namespace)
    async with cooling.workers(client):
        order = bring_in(cooling, with_new_phone(cooling.world.second))
        for _ in range(2):
            await _start(settings, [order], woken=False)
        await until_cooling(cooling, order)
        withdraw(cooling, cooling.world.second.person)
        await _start(settings, [order], woken=True)
        handle = await start(client, order)
        assert (await handle.result()).outcome == "withdrawn"
        assert number_of(cooling, cooling.world.second.person) == cooling.world.second.number
        note = ChangeNote(subject=order.subject, name=order.name, digest=order.digest)
        memory = cooling.memory_of_registry()
        assert memory.note_change(note).refused is Reason.STATEMENT_MISSING
        # Not even somebody who puts the row back gets it on.
        with cooling.database.write() as session:
            session.execute(text("DELETE FROM registry_changes"))
        assert memory.note_change(note).refused is Reason.ENTRY_WITHDRAWN


async def test_a_withdrawal_that_nobody_told_still_counts(tmp_path: Path) -> None:
    """Shortly before a change is due the records are asked: later the key worker would not hear."""
    async with Skipping.start(tmp_path, cooling_off=LONG) as skipping:
        stage, world = skipping.stage, skipping.stage.world
        order = bring_in(stage, with_new_phone(world.second))
        handle = await start(skipping.env.client, order)
        due = await until_cooling(stage, order)
        # As `administrators revoke` and a feed without the terminal do, while Temporal is away.
        withdraw(stage, world.second.person)
        world.pass_time(LONG - 300)
        await skipping.env.sleep(timedelta(seconds=LONG - 290))
        assert (await handle.result()).outcome == "withdrawn"
        closed = (await handle.describe()).close_time
        assert closed is not None
        assert closed.timestamp() < due
        with stage.database.write() as session:
            session.execute(text("DELETE FROM registry_changes"))
        world.pass_time(LONG)
        note = ChangeNote(subject=order.subject, name=order.name, digest=order.digest)
        assert stage.memory_of_registry().note_change(note).refused is Reason.ENTRY_WITHDRAWN
        assert stage.journal.known_seqs("person", [order.name]) == {order.name: 1}


async def test_people_are_told_for_as_long_as_a_change_waits(
    cooling: Backstage, client: Client
) -> None:
    """A provider that is away for two days of a week's wait keeps nothing from them."""
    begin_cooling_off(cooling, 7 * LONG)
    async with cooling.workers(client):
        handle = await start(client, bring_in(cooling, with_new_phone(cooling.world.second)))
        await cooling.until(lambda: len(cooling.memory.sent) == 2 or None)
        scheduled = [
            event.activity_task_scheduled_event_attributes
            async for event in handle.fetch_history_events()
        ]
        await handle.terminate()
    (telling,) = [one for one in scheduled if one.activity_type.name == "tell_change"]
    assert telling.schedule_to_close_timeout.ToTimedelta() > timedelta(seconds=7 * LONG - 60)


async def test_who_was_not_told_before_is_told_at_the_end(
    cooling: Backstage, client: Client
) -> None:
    """Whoever has the key worker see a change, and keeps its workflow away, hides nothing."""
    begin_cooling_off(cooling, LONG)
    world = cooling.world
    new = with_new_phone(world.second)
    order = bring_in(cooling, new)
    note = ChangeNote(subject=order.subject, name=order.name, digest=order.digest)
    assert cooling.memory_of_registry().note_change(note).effective_at is not None
    world.cool_off(0)
    async with cooling.workers(client):
        assert (await (await start(client, order)).result()).outcome == "effective"
    assert [to for _, to, _ in cooling.memory.sent] == [world.second.number, new.number]


async def test_a_long_history_begins_anew(
    cooling: Backstage, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where clocks never agree, or somebody signals without end; nobody is told twice."""
    begin_cooling_off(cooling, LONG)
    monkeypatch.setattr(
        workflow.Info,
        "is_continue_as_new_suggested",
        lambda info: info.continued_run_id is None,
    )
    async with cooling.workers(client):
        order = bring_in(cooling, with_new_phone(cooling.world.second))
        first = await start(client, order)
        await cooling.until(lambda: len(cooling.memory.sent) == 2 or None)
        for _ in range(2):
            await start(client, order, woken=True)
        withdraw(cooling, order.name)
        await start(client, order, woken=True)
        assert (await first.result()).outcome == "withdrawn"
        history = await client.get_workflow_handle(
            first.id, run_id=first.first_execution_run_id
        ).describe()
        assert history.status is WorkflowExecutionStatus.CONTINUED_AS_NEW
    assert len(cooling.memory.sent) == 2


async def test_a_newer_change_takes_the_place_of_one_that_waits(
    cooling: Backstage, client: Client
) -> None:
    """The older workflow ends superseded, at the latest when its time is over."""
    begin_cooling_off(cooling, SOON)
    async with cooling.workers(client):
        new = with_new_phone(cooling.world.second)
        older = bring_in(cooling, new)
        first = await start(client, older)
        await until_cooling(cooling, older)
        newer = bring_in(cooling, replace(new, number="+4915166666666"), seq=3)
        second = await start(client, newer)
        assert (await first.result()).outcome == "superseded"
        assert (await second.result()).outcome == "effective"
        assert number_of(cooling, new.person) == "+4915166666666"
        # Started once more, it finds its end, and nobody is told again.
        sent = len(cooling.memory.sent)
        assert (await (await start(client, newer)).result()).outcome == "effective"
        assert len(cooling.memory.sent) == sent


async def test_a_change_waits_for_the_key_worker(cooling: Backstage, client: Client) -> None:
    """Its time begins when the key worker sees it; while that is away the former entry goes on."""
    begin_cooling_off(cooling, SOON)
    with ThreadPoolExecutor(THREADS) as executor:
        async with make_worker(client, cooling.ceremony(), executor):
            new = with_new_phone(cooling.world.second)
            order = bring_in(cooling, new)
            handle = await start(client, order)
            await asyncio.sleep(SOON + 0.5)
            assert change(cooling, order).effective_at is None
            assert number_of(cooling, new.person) == cooling.world.second.number
            back = int(cooling.clock())
            async with make_worker(client, cooling.keys(), executor):
                assert await until_cooling(cooling, order) >= back + SOON
                assert (await handle.result()).outcome == "effective"


async def test_a_change_does_not_wait_for_sms(cooling: Backstage, client: Client) -> None:
    """While the provider is away it takes effect all the same; people are told when it is back."""
    begin_cooling_off(cooling, SOON)
    cooling.memory.away = True
    async with cooling.workers(client):
        new = with_new_phone(cooling.world.second)
        order = bring_in(cooling, new)
        handle = await start(client, order)
        await cooling.until(lambda: change(cooling, order).state is ChangeState.EFFECTIVE or None)
        assert number_of(cooling, new.person) == new.number
        assert cooling.memory.sent == []
        await handle.terminate()


async def test_what_the_key_worker_refuses_never_takes_effect(
    cooling: Backstage, client: Client
) -> None:
    """A change whose entry lost an officer's signature in the database ends refused."""
    begin_cooling_off(cooling, SOON)
    async with cooling.workers(client):
        new = with_new_phone(cooling.world.second)
        order = bring_in(cooling, new)
        with cooling.database.write() as session:
            row = credentialentries.credential_entry(session, order.digest)
            assert row is not None
            kept = envelope_statements(row.envelope)[:2]
            row.envelope = seal_envelope(kept)
        result = await (await start(client, order)).result()
        assert (result.outcome, result.reason) == ("refused", Reason.OFFICERS_MISSING)
        assert number_of(cooling, new.person) == cooling.world.second.number
        assert cooling.memory.sent == []


async def test_what_the_records_ended_the_key_worker_forgets(
    cooling: Backstage, client: Client
) -> None:
    """Also if somebody forged the key worker's refusal: else nobody's entry would count later."""
    begin_cooling_off(cooling, LONG)
    async with cooling.workers(client):
        order = bring_in(cooling, with_new_phone(cooling.world.second))
        handle = await start(client, order)
        await until_cooling(cooling, order)
        with cooling.database.write() as session:
            registrychanges.end(session, order.digest, ChangeState.REFUSED, now=1)
        await start(client, order, woken=True)
        assert (await handle.result()).outcome == "refused"
        with cooling.database.write() as session:
            session.execute(text("DELETE FROM registry_changes"))
    note = ChangeNote(subject=order.subject, name=order.name, digest=order.digest)
    assert cooling.memory_of_registry().note_change(note).refused is Reason.ENTRY_WITHDRAWN


async def test_a_synchronisation_starts_the_change_of_an_assignment(
    cooling: Backstage, client: Client
) -> None:
    """The open request goes on until the change is in effect, and ends then; who leaves is told."""
    begin_cooling_off(cooling, SOON)
    world = cooling.world
    no, other = world.terminal.terminal_no, world.other.terminal_no
    given = replace(world.terminal, second=world.third.person)
    signers = (world.feed, *world.officers[:2])
    cooling.feed.envelopes = [
        world.terminal_entry(given, seq=2, signers=signers),
        world.terminal_envelopes[other],
    ]
    async with cooling.workers(client):
        load = await Load.open(cooling, client)
        report: SyncReport = await client.execute_workflow(
            names.REGISTRY_SYNC,
            SyncOrder(),
            id=names.REGISTRY_SYNC_ID,
            task_queue=names.CEREMONY_QUEUE,
            result_type=SyncReport,
        )
        assert (report.waiting, report.changed, report.unchanged) == (1, 0, 1)
        (order,) = report.changes
        assert administrators_of(cooling, no) == (world.first.person, world.second.person)
        # Another run finds it waiting, and starts nothing twice.
        again: SyncReport = await client.execute_workflow(
            names.REGISTRY_SYNC,
            SyncOrder(),
            id=names.REGISTRY_SYNC_ID,
            task_queue=names.CEREMONY_QUEUE,
            result_type=SyncReport,
        )
        assert (again.waiting, again.unchanged, again.refused) == (0, 2, ())
        result = await (await start(client, order)).result()
        assert result == ChangeResult(outcome="effective", tells=no)
        assert administrators_of(cooling, no) == (world.first.person, world.third.person)
        ended = await load.result()
        assert (ended.stage, ended.reason) == (Stage.FAILED, Reason.REGISTRY_CHANGED)
    told = {to for step, to, _ in cooling.memory.sent if step.startswith("registry-change/")}
    assert told == {world.second.number, world.third.number}
