"""`worker.py` as processes of its own: it drains when asked, and its work survives a kill."""

import asyncio
import json
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from temporalio.client import Client

from ceremony import names
from ceremony.messages import SyncOrder, SyncReport
from ceremony.stages import Stage
from ceremony.statements import Kind
from engine.client import TemporalTarget
from engine.processes import ProcessEnded, ProcessGroup
from records import syncruns
from tests.support.backstage import PATIENCE, Backstage
from tests.support.developmenthome import HomeWorld, start_worker, write_home
from tests.support.load import Load


class SlowBackOffice:
    """A feed that answers every reading only when it is told to."""

    def __init__(self, envelopes: list[str]) -> None:
        self.asked = threading.Event()
        self.answer = threading.Event()
        body = json.dumps({"entries": envelopes, "next": None}).encode()
        memory = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                memory.asked.set()
                memory.answer.wait(PATIENCE)
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                """Keep the test's output clean."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/terminals"

    def close(self) -> None:
        """Stop, and wait for it."""
        self.answer.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The folder that holds database, journal, trust file and secrets."""
    return tmp_path


@pytest.fixture
def housed(home: Path) -> Iterator[Backstage]:
    """A stage whose home is ready for worker processes."""
    stage = Backstage.make(home, HomeWorld.make(now=int(time.time())))
    write_home(home, stage)
    yield stage
    stage.close()


@pytest.fixture
def back_office(housed: Backstage) -> Iterator[SlowBackOffice]:
    """A back office that sends the registry as it is."""
    running = SlowBackOffice(list(housed.world.terminal_envelopes.values()))
    yield running
    running.close()


@pytest.fixture
async def group() -> AsyncIterator[ProcessGroup]:
    """Processes that end with the test."""
    async with ProcessGroup() as running:
        yield running


async def release_scheduled(load: Load) -> bool:
    """Whether the workflow has called the key worker."""
    history = await load.handle.fetch_history()
    return any(
        event.activity_task_scheduled_event_attributes.activity_type.name == "release_key"
        for event in history.events
    )


async def test_a_stopped_worker_finishes_what_it_does(
    home: Path,
    target: TemporalTarget,
    client: Client,
    housed: Backstage,
    back_office: SlowBackOffice,
    group: ProcessGroup,
) -> None:
    """SIGTERM lets a running activity finish and report; only then the process ends, with 0."""
    process = await start_worker(group, home, target, "ceremony", source=back_office.url)
    handle = await client.start_workflow(
        names.REGISTRY_SYNC,
        SyncOrder(),
        id=names.REGISTRY_SYNC_ID,
        task_queue=names.CEREMONY_QUEUE,
        result_type=SyncReport,
    )
    assert await asyncio.to_thread(back_office.asked.wait, PATIENCE)
    os.kill(process.pid, signal.SIGTERM)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await process.wait()
    back_office.answer.set()
    async with asyncio.timeout(PATIENCE):
        assert (await process.wait()).code == 0
    with housed.database.read() as session:
        (run,) = syncruns.latest(session)
    assert (run.finished_at is not None, run.unchanged) == (True, 2)
    history = await handle.fetch_history()
    kinds = [event.WhichOneof("attributes") for event in history.events]
    assert "activity_task_completed_event_attributes" in kinds
    assert "worker drained: ceremony" in process.output()


async def test_killed_workers_lose_nothing(
    home: Path,
    target: TemporalTarget,
    client: Client,
    housed: Backstage,
    group: ProcessGroup,
) -> None:
    """Workers killed between application and release: new ones load the key, once."""
    load = await Load.begin(housed, client)
    first = await start_worker(group, home, target, "ceremony")
    await load.begin_code()
    load.codes = 1
    assert (await load.apply()).stage is Stage.AWAITING_REVIEW
    assert (await load.decide()).stage is Stage.AWAITING_CONFIRMATION
    # No key worker is there yet: the workflow waits for its release, in the middle of a step.
    load.made_confirmation = housed.world.confirmation(load.application)
    confirmed = housed.file_confirmation(
        load.confirmation, code=housed.world.approval_code(load.request)
    )
    await housed.send(load.handle, Kind.CONFIRMATION, confirmed)
    async with asyncio.timeout(PATIENCE):
        while not await release_scheduled(load):
            await housed.breathe()
    os.kill(first.pid, signal.SIGKILL)
    await first.wait()

    await start_worker(group, home, target, "keys")
    await start_worker(group, home, target, "ceremony")
    verdict = await housed.verdict(confirmed.digest)
    assert (verdict.accepted, verdict.stage) == (True, Stage.AWAITING_RECEIPT)
    await load.receive()
    result = await load.result()
    assert (result.stage, len(load.tokens())) == (Stage.LOADED, 1)


@pytest.mark.usefixtures("housed")
async def test_a_worker_without_its_secrets_does_not_start(
    home: Path, target: TemporalTarget, group: ProcessGroup
) -> None:
    """A missing secret ends the process at once, with code 2 and one sentence about it."""
    (home / "secrets" / "keys" / "keyfill_kek").unlink()
    with pytest.raises(ProcessEnded, match="keys ended with code 2") as ended:
        await start_worker(group, home, target, "keys")
    assert "keyfill_kek" in ended.value.log_tail
    assert "Traceback" not in ended.value.log_tail


@pytest.mark.usefixtures("housed")
async def test_a_worker_leaves_no_core(
    home: Path, target: TemporalTarget, group: ProcessGroup
) -> None:
    """Killed by a fault, the key worker writes no image of its memory."""
    worker = await start_worker(group, home, target, "keys")
    limits = await asyncio.to_thread(Path(f"/proc/{worker.pid}/limits").read_text)
    (line,) = (one for one in limits.splitlines() if one.startswith("Max core file size"))
    assert line.split()[4:6] == ["0", "0"]


@pytest.mark.usefixtures("housed")
async def test_a_key_worker_without_its_journal_does_not_start(
    home: Path, target: TemporalTarget, group: ProcessGroup
) -> None:
    """It would not know which keys it has released: code 2 and one sentence."""
    (home / "journal.db").unlink()
    with pytest.raises(ProcessEnded, match="keys ended with code 2") as ended:
        await start_worker(group, home, target, "keys")
    assert "Traceback" not in ended.value.log_tail
