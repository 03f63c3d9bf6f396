"""The whole ceremony on a real Temporal server: a key loaded, within its history budget."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from temporalio.client import Client

from ceremony.stages import Stage
from ceremony.statements import Kind, request_id_of
from engine.client import connect
from engine.embedded import EmbeddedOptions, EmbeddedServer
from records import keystore
from records.tables.key import KeyState
from tests.support.backstage import Backstage, MemorySms
from tests.support.world import World


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    """A client of a real, embedded Temporal server."""
    options = EmbeddedOptions(log_file=tmp_path / "temporal.log", headless=True)
    async with await EmbeddedServer.start(options) as server:
        yield await connect(server.target)


async def test_a_key_is_loaded_within_the_budget(tmp_path: Path, client: Client) -> None:
    """Two approvals, a release and a receipt end LOADED, in 80 events and 40 KiB at most."""
    world = World.make(now=int(time.time()))
    stage = Backstage.make(tmp_path, world)
    sms = stage.sms
    assert isinstance(sms, MemorySms)
    async with stage.workers(client):
        request = world.request()
        request_id = request_id_of(request.digest)
        handle = await stage.open(client, request)
        opened = await stage.verdict(request.digest)
        assert (opened.accepted, opened.stage) == (True, Stage.AWAITING_APPLICATION)
        await asyncio.sleep(0.3)

        await stage.ask_code(handle, request)
        await asyncio.sleep(0.3)
        application = world.application(request)
        filed = stage.file_application(request, application, code=world.sms_code(request))
        applied = await stage.signal(handle, Kind.APPLICATION, filed)
        assert (applied.reason, applied.stage) == (None, Stage.AWAITING_REVIEW)
        await asyncio.sleep(0.3)

        decision = world.decision(application)
        decided = await stage.signal(handle, Kind.DECISION, stage.file(decision))
        assert (decided.reason, decided.stage) == (None, Stage.AWAITING_CONFIRMATION)
        await asyncio.sleep(0.3)

        confirmation = world.confirmation(application)
        code = world.approval_code(request)
        confirmed = await stage.signal(
            handle, Kind.CONFIRMATION, stage.file_confirmation(confirmation, code=code)
        )
        assert (confirmed.reason, confirmed.stage) == (None, Stage.AWAITING_RECEIPT)
        await asyncio.sleep(0.3)
        with stage.database.read() as session:
            token = keystore.token_for(session, confirmation.digest)
        assert token is not None

        receipt = world.receipt(
            confirmation,
            token_digest=token.token_digest,
            kcv=stage.journal.kcv_of(request_id),
        )
        acknowledged = await stage.signal(handle, Kind.RECEIPT, stage.file(receipt))
        assert acknowledged.reason is None
        result = await handle.result()
        assert result.stage is Stage.LOADED
        assert result.token_digest == token.token_digest
        assert result.kcv == stage.journal.kcv_of(request_id)

        history = await handle.fetch_history()
        print([e.event_type for e in history.events])
        size = sum(event.ByteSize() for event in history.events)
        print(len(history.events), size)
        assert len(history.events) <= 80
        assert size <= 40 * 1024
    with stage.database.read() as session:
        key = keystore.key(session, request_id)
    assert key is not None
    assert (key.state, key.kcv) == (KeyState.ACTIVE, result.kcv)
    assert stage.row(request_id).stage is Stage.LOADED
    assert [step.rsplit("/", 1)[1] for step, _, _ in sms.sent] == [
        "code-1",
        "review",
        "approved",
        "ended",
    ]
    assert [to for _, to, _ in sms.sent] == [
        world.first.number,
        world.second.number,
        world.first.number,
        world.first.number,
    ]
    stage.close()
