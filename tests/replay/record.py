"""Records the histories that every later version of the workflows must be able to replay.

    python -m tests.replay.record [SCENE ...]

Runs real ceremonies, one for each final stage, registry synchronisations, a showing of the registry
to the key worker and changes of administrators, all or those that are named, and writes their
histories next to this file. A change of the workflows that cannot replay the old histories needs a
version marker (`workflow.patched`); record anew only when no workflow of the old kind is open.
"""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from temporalio.client import Client, WorkflowHandle

from ceremony import names
from ceremony.messages import NotesOrder, SyncOrder, SyncReport
from ceremony.stages import Stage
from ceremony.state import ATTEMPTS
from engine.client import connect
from engine.embedded import EmbeddedOptions, EmbeddedServer
from engine.processes import leave
from tests.support.backstage import Backstage
from tests.support.changes import (
    begin_cooling_off,
    bring_in,
    change,
    start,
    with_new_phone,
    withdraw,
)
from tests.support.load import WRONG_APPROVAL_CODE, WRONG_SMS_CODE, Load
from tests.support.skipping import Skipping
from tests.support.world import World

HISTORIES: Final = Path(__file__).with_name("histories")
IDENTITY: Final = "recorded"
"""Who every recorded call came from; the SDK's default would be process id and host name."""

DAY: Final = 86_400

Scene = Callable[[Backstage, Client], Awaitable[WorkflowHandle[Any, Any]]]
SkippingScene = Callable[[Skipping], Awaitable[WorkflowHandle[Any, Any]]]


async def loaded(stage: Backstage, client: Client) -> WorkflowHandle[Any, Any]:
    """A load with everything that may be repeated: a code, a request, a confirmation, a nonce."""
    load = await Load.open(stage, client)
    await load.apply(code=WRONG_SMS_CODE)
    await stage.verdict((await _repeat(stage, client)).digest)
    await load.apply()
    await load.told("review")
    await load.decide()
    await load.told("approved")
    await load.confirm(code=WRONG_APPROVAL_CODE)
    await load.confirm()
    await load.confirm()
    await load.receive()
    return load.handle


async def rejected(stage: Backstage, client: Client) -> WorkflowHandle[Any, Any]:
    """The second administrator says no."""
    load = await Load.open(stage, client)
    await load.apply()
    await load.told("review")
    await load.decide("reject")
    return load.handle


async def cancelled(stage: Backstage, client: Client) -> WorkflowHandle[Any, Any]:
    """The terminal gives up while three SMS are under way."""
    stage.memory.flowing.clear()
    load = await Load.open(stage, client)
    await load.begin_code()
    load.codes = 1
    await load.to(Stage.AWAITING_CONFIRMATION)
    asked = stage.memory.asked
    await stage.until(lambda: len(asked) == 3 or None)
    await load.cancel()
    stage.memory.flowing.set()
    return load.handle


async def failed(stage: Backstage, client: Client) -> WorkflowHandle[Any, Any]:
    """Five wrong codes, after an application of somebody else."""
    load = await Load.open(stage, client)
    second = stage.world.second
    await load.apply(signer=second.signer, administrator=second.staff_no)
    for _ in range(ATTEMPTS):
        await load.apply(code=WRONG_SMS_CODE)
    return load.handle


async def unconfirmed(stage: Backstage, client: Client) -> WorkflowHandle[Any, Any]:
    """The terminal shows another KCV."""
    load = await (await Load.open(stage, client)).to(Stage.AWAITING_RECEIPT)
    await load.receive(kcv="000000")
    return load.handle


async def registry_sync(stage: Backstage, client: Client) -> WorkflowHandle[Any, Any]:
    """A synchronisation that ends an open request, and refuses a row."""
    await Load.open(stage, client)
    stage.world.seq += 1
    stage.feed.envelopes = [
        stage.world.terminal_entry(branch="Harbour Road"),
        stage.world.terminal_entry(stage.world.other),
        "no envelope",
    ]
    return await client.start_workflow(
        names.REGISTRY_SYNC,
        SyncOrder(),
        id=names.REGISTRY_SYNC_ID,
        task_queue=names.CEREMONY_QUEUE,
    )


async def registry_notes(stage: Backstage, client: Client) -> WorkflowHandle[Any, Any]:
    """The key worker is shown all of the registry."""
    return await client.start_workflow(
        names.REGISTRY_NOTES,
        NotesOrder(parts=("revocations", "persons", "terminals")),
        id=names.registry_notes_id("recorded"),
        task_queue=names.CEREMONY_QUEUE,
    )


async def sync_change(stage: Backstage, client: Client) -> WorkflowHandle[Any, Any]:
    """A synchronisation that starts the change of an assignment."""
    world = stage.world
    given = replace(world.terminal, second=world.third.person)
    signers = (world.feed, *world.officers[:2])
    stage.feed.envelopes = [
        world.terminal_entry(given, seq=2, signers=signers),
        world.terminal_entry(world.other),
    ]
    return await client.start_workflow(
        names.REGISTRY_SYNC,
        SyncOrder(),
        id=names.REGISTRY_SYNC_ID,
        task_queue=names.CEREMONY_QUEUE,
        result_type=SyncReport,
    )


async def change_told(stage: Backstage, client: Client) -> WorkflowHandle[Any, Any]:
    """A change of an assignment that takes effect, and tells the terminal's open request."""
    report = await (await sync_change(stage, client)).result()
    (order,) = report.changes
    await Load.open(stage, client)
    return await start(client, order)


async def change_withdrawn(stage: Backstage, client: Client) -> WorkflowHandle[Any, Any]:
    """A change that is withdrawn while it waits."""
    order = bring_in(stage, with_new_phone(stage.world.second))
    await start(client, order)
    await stage.until(lambda: stage.memory.sent[1:] or None)
    withdraw(stage, order.name)
    return await start(client, order, woken=True)


async def change_waited(skipping: Skipping) -> WorkflowHandle[Any, Any]:
    """A change that takes effect a day later, looked at once more shortly before."""
    stage = skipping.stage
    order = bring_in(stage, with_new_phone(stage.world.second))
    handle = await start(skipping.env.client, order)
    await stage.until(lambda: stage.memory.sent[1:] or None)
    await stage.until(lambda: change(stage, order).effective_at)
    await skipping.skip(timedelta(seconds=DAY - 200))
    stage.world.pass_time(DAY)
    return handle


async def expired(skipping: Skipping) -> WorkflowHandle[Any, Any]:
    """Nobody confirms in time."""
    load = await (await skipping.open()).to(Stage.AWAITING_REVIEW)
    # The first stage's timer fires and is armed anew, then the nearer one of the next stage.
    await skipping.skip(timedelta(minutes=30))
    await load.decide()
    return load.handle


SCENES: Final[tuple[Scene, ...]] = (
    loaded,
    rejected,
    cancelled,
    failed,
    unconfirmed,
    registry_sync,
    registry_notes,
    sync_change,
    change_told,
    change_withdrawn,
)
WAITS: Final = {sync_change: DAY, change_told: 3, change_withdrawn: DAY}
"""The cooling-off time of a scene, in seconds; in the others nothing waits."""
SKIPPING_SCENES: Final[tuple[SkippingScene, ...]] = (expired, change_waited)
NAMES: Final = frozenset(scene.__name__ for scene in (*SCENES, *SKIPPING_SCENES))


async def record(folder: Path, wanted: Collection[str] = NAMES) -> None:
    """Record the scenes of these names into `HISTORIES`; `folder` takes the databases."""
    options = EmbeddedOptions(log_file=folder / "temporal.log", headless=True)
    async with await EmbeddedServer.start(options) as server:
        client = await connect(server.target, identity=IDENTITY)
        for scene in (one for one in SCENES if one.__name__ in wanted):
            own = folder / scene.__name__
            own.mkdir()
            stage = Backstage.make(own, World.make(now=int(time.time())))
            if scene in WAITS:
                begin_cooling_off(stage, WAITS[scene])
            async with stage.workers(client):
                handle = await scene(stage, client)
                await handle.result()
                await _keep(scene.__name__, handle)
            stage.close()
    for skips in (one for one in SKIPPING_SCENES if one.__name__ in wanted):
        own = folder / skips.__name__
        own.mkdir()
        async with Skipping.start(own, identity=IDENTITY, cooling_off=DAY) as skipping:
            handle = await skips(skipping)
            await handle.result()
            await _keep(skips.__name__, handle)


async def _repeat(stage: Backstage, client: Client) -> Any:
    request = stage.world.request()
    await stage.open(client, request)
    return request


async def _keep(name: str, handle: WorkflowHandle[Any, Any]) -> None:
    history = (await handle.fetch_history()).to_json_dict()
    # One event a line: small files, and a diff that can be read.
    lines = ",\n".join(
        json.dumps(event, separators=(",", ":"), sort_keys=True) for event in history["events"]
    )
    (HISTORIES / f"{name}.json").write_text(f'{{"events":[\n{lines}\n]}}\n')


def main() -> None:
    """Record the scenes that are named, or all, into `HISTORIES`."""
    wanted = frozenset(sys.argv[1:]) or NAMES
    if not wanted <= NAMES:
        raise SystemExit(f"No such scene: {', '.join(sorted(wanted - NAMES))}")
    HISTORIES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(record(Path(folder), wanted))


if __name__ == "__main__":
    main()
    leave(0)
