"""The registry synchronisation end to end: feed, workflow, registry, and the requests concerned."""

from dataclasses import replace

from temporalio.client import Client

from ceremony import names
from ceremony.messages import SyncOrder, SyncReport
from ceremony.reasons import Reason
from ceremony.signing import sign
from ceremony.stages import Stage
from ceremony.statements import RemovalOrderPayload
from records import syncruns, terminalentries
from tests.support.backstage import Backstage
from tests.support.identities import signing_key, terminal
from tests.support.load import Load
from tests.support.world import World

NEW_NO = "ATM-0003"


async def synchronise(client: Client, order: str | None = None) -> SyncReport:
    """Run one synchronisation."""
    report: SyncReport = await client.execute_workflow(
        names.REGISTRY_SYNC,
        SyncOrder(order=order),
        id=names.REGISTRY_SYNC_ID,
        task_queue=names.CEREMONY_QUEUE,
        result_type=SyncReport,
    )
    return report


def feed_of(world: World, *terminal_nos: str) -> list[str]:
    """Newer entries of these terminals, as the back office signs them now."""
    world.seq += 1
    known = {one.terminal_no: one for one in (world.terminal, world.other)}
    return [world.terminal_entry(known.get(no) or terminal(no)) for no in terminal_nos]


def in_force(stage: Backstage) -> set[str]:
    """The numbers of all terminals in force."""
    with stage.database.read() as session:
        return {row.terminal_no for row in terminalentries.newest_terminals(session) if row.current}


async def test_a_run_brings_the_registry_up_to_date(running: Backstage, client: Client) -> None:
    """Added, changed and removed terminals are counted; bad rows are named and stop nothing."""
    world = running.world
    load = await Load.open(running, client)
    other = await Load.open(running, client, about=world.other)
    (added,) = feed_of(world, NEW_NO)
    handed_over = replace(world.terminal, second=world.third.person)
    alien = signing_key("a back office of nobody")
    running.feed.envelopes = [
        added,
        "no envelope",
        world.terminal_entry(terminal("ATM-0004"), signers=[alien]),
        world.terminal_entry(handed_over, signers=(world.feed, *world.officers[:2])),
    ]
    report = await synchronise(client)
    assert (report.added, report.changed, report.removed, report.unchanged) == (1, 1, 1, 0)
    assert [(row.position, row.terminal_no, row.reason) for row in report.refused] == [
        ("line 2", None, Reason.MALFORMED),
        ("line 3", "ATM-0004", Reason.WRONG_SIGNER),
    ]
    assert in_force(running) == {world.terminal.terminal_no, NEW_NO}
    assert sorted(report.ended) == [world.terminal.terminal_no, world.other.terminal_no]
    for ended in (load, other):
        result = await ended.result()
        assert (result.stage, result.reason) == (Stage.FAILED, Reason.REGISTRY_CHANGED)
    with running.database.read() as session:
        (row,) = syncruns.latest(session)
    assert (row.run_id, row.added, row.note) == (report.run_id, 1, None)

    again = await synchronise(client)
    assert (again.added, again.changed, again.removed, again.unchanged) == (0, 0, 0, 2)


async def test_an_untouched_terminal_keeps_its_request(running: Backstage, client: Client) -> None:
    """A run that changes other terminals leaves an open request alone."""
    world = running.world
    load = await (await Load.open(running, client)).to(Stage.AWAITING_REVIEW)
    mine = world.terminal_envelopes[world.terminal.terminal_no]
    running.feed.envelopes = [mine, *feed_of(world, world.other.terminal_no, NEW_NO)]
    report = await synchronise(client)
    assert (report.added, report.changed, report.unchanged) == (1, 1, 1)
    assert report.ended == ()
    assert (await load.decide()).accepted


async def test_too_many_removals_stop_the_run(running: Backstage, client: Client) -> None:
    """A feed without most terminals changes nothing, not even what it adds."""
    load = await Load.open(running, client)
    before = in_force(running)
    running.feed.envelopes = feed_of(running.world, NEW_NO)
    report = await synchronise(client)
    assert report.stopped is Reason.TOO_MANY_REMOVED
    assert (report.added, report.removed) == (0, 0)
    assert in_force(running) == before
    assert (await load.cancel()).accepted


async def test_an_officer_orders_a_removal_once(running: Backstage, client: Client) -> None:
    """An officer's order lets one run remove so many; the same order serves no second run."""
    world = running.world
    payload = RemovalOrderPayload(**world.common(), most=2, expires_at=world.now + 3_600)
    forged = sign(payload, signing_key("no officer"))
    order = sign(payload, world.officers[0])
    running.feed.envelopes = feed_of(world, NEW_NO)
    assert (await synchronise(client, forged)).stopped is Reason.TOO_MANY_REMOVED
    ordered = await synchronise(client, order)
    assert (ordered.stopped, ordered.removed, ordered.added) == (None, 2, 1)
    assert in_force(running) == {NEW_NO}

    numbers = (world.terminal.terminal_no, world.other.terminal_no)
    running.feed.envelopes = feed_of(world, NEW_NO, *numbers)
    assert (await synchronise(client)).added == 2
    running.feed.envelopes = feed_of(world, NEW_NO)
    assert (await synchronise(client, order)).stopped is Reason.TOO_MANY_REMOVED
