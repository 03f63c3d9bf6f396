"""The key worker is shown what changed: after a synchronisation, and for a revocation by hand."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from ceremony import names
from ceremony.messages import NotesOrder, NotesReport, SyncOrder, SyncReport
from ceremony.reasons import Reason
from ceremony.signing import sign
from ceremony.stages import Stage
from ceremony.statements import RevocationPayload
from taskqueues import THREADS, make_worker
from tests.support.backstage import Backstage
from tests.support.identities import signing_key
from tests.support.load import Load

ONE, TWO, NEW = "ATM-0001", "ATM-0002", "ATM-0003"


async def synchronise(client: Client) -> SyncReport:
    """Run one synchronisation."""
    report: SyncReport = await client.execute_workflow(
        names.REGISTRY_SYNC,
        SyncOrder(),
        id=names.REGISTRY_SYNC_ID,
        task_queue=names.CEREMONY_QUEUE,
        result_type=SyncReport,
    )
    return report


async def shown_after(client: Client, run_id: str) -> NotesReport:
    """Wait until the key worker was shown a run's entries."""
    handle = client.get_workflow_handle(names.registry_notes_id(run_id), result_type=NotesReport)
    report: NotesReport = await handle.result()
    return report


async def show(client: Client, order: NotesOrder, occasion: str) -> NotesReport:
    """Show the key worker something by hand."""
    report: NotesReport = await client.execute_workflow(
        names.REGISTRY_NOTES,
        order,
        id=names.registry_notes_id(occasion),
        task_queue=names.CEREMONY_QUEUE,
        result_type=NotesReport,
    )
    return report


def renew(stage: Backstage, **fields: Any) -> None:
    """Publish a newer entry of the first terminal, and the other as it is."""
    world = stage.world
    stage.feed.envelopes = [
        world.terminal_entry(world.terminal, seq=5, **fields),
        world.terminal_envelopes[TWO],
    ]


def revocation(stage: Backstage, **fields: Any) -> RevocationPayload:
    """A revocation of the second administrator, unless bent."""
    world = stage.world
    said = {"person": world.second.person, "terminal_no": None, "seq": 1, "reason_code": "left"}
    return RevocationPayload(**{**world.common(), **said, **fields})


async def test_a_synchronisation_shows_the_key_worker_what_is_new(
    running: Backstage, client: Client
) -> None:
    """Persons and terminals are noted once; after the next change only that is new."""
    renew(running)
    first = await shown_after(client, (await synchronise(client)).run_id)
    # Three persons, and two entries of the first terminal beside the other's.
    assert (first.noted, first.refused) == (6, 0)
    assert running.journal.known_seqs("terminal", [ONE, TWO]) == {ONE: 5, TWO: 1}
    world = running.world
    running.feed.envelopes[0] = world.terminal_entry(world.terminal, seq=6)
    second = await shown_after(client, (await synchronise(client)).run_id)
    assert (second.noted, second.refused) == (1, 0)


async def test_a_run_that_changes_nothing_shows_nothing(running: Backstage, client: Client) -> None:
    """The key worker is left alone every quarter of an hour."""
    running.feed.envelopes = list(running.world.terminal_envelopes.values())
    report = await synchronise(client)
    with pytest.raises(RPCError) as missing:
        await client.get_workflow_handle(names.registry_notes_id(report.run_id)).describe()
    assert missing.value.status is RPCStatusCode.NOT_FOUND


async def test_a_synchronisation_does_not_wait_for_the_key_worker(
    stage: Backstage, client: Client
) -> None:
    """It ends while the key worker is away; what it found is shown as soon as there is one."""
    renew(stage)
    with ThreadPoolExecutor(THREADS) as executor:
        async with make_worker(client, stage.ceremony(), executor):
            report = await synchronise(client)
            assert report.changed == 1
            assert stage.journal.known_seqs("terminal", [ONE]) == {}
            async with make_worker(client, stage.keys(), executor):
                assert (await shown_after(client, report.run_id)).noted == 6
    assert stage.journal.known_seqs("terminal", [ONE]) == {ONE: 5}


async def test_a_revocation_ends_a_load_that_was_approved(
    running: Backstage, client: Client
) -> None:
    """Shown after the approval, with the records untouched: the confirmation is refused."""
    load = await (await Load.open(running, client)).to(Stage.AWAITING_CONFIRMATION)
    text = sign(revocation(running), running.world.officers[0])
    report = await show(client, NotesOrder(revocation=text), "by-hand")
    assert report == NotesReport(noted=0, refused=0)
    await load.confirm()
    result = await load.result()
    assert (result.stage, result.reason) == (Stage.FAILED, Reason.ENTRY_REVOKED)
    assert running.journal.key_of(load.request_id) is None


async def test_a_forged_revocation_is_answered_with_its_reason(
    running: Backstage, client: Client
) -> None:
    """And takes nothing away: the load goes on."""
    load = await (await Load.open(running, client)).to(Stage.AWAITING_CONFIRMATION)
    forged = sign(revocation(running), signing_key("no officer"))
    report = await show(client, NotesOrder(revocation=forged), "forged")
    assert report.revocation_refused is Reason.UNKNOWN_KEY
    await load.confirm()
    await load.receive()
    assert (await load.result()).stage is Stage.LOADED
