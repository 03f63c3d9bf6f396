"""The API in front of a real Temporal server and both real workers."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from temporalio.client import Client

from api.ceremonies import TemporalCeremonies
from ceremony import names
from engine.client import connect
from engine.embedded import EmbeddedOptions, EmbeddedServer
from tests.support.apihouse import House, wire


@pytest_asyncio.fixture
async def temporal(tmp_path: Path) -> AsyncIterator[Client]:
    """A client of a real server."""
    options = EmbeddedOptions(log_file=tmp_path / "temporal.log", headless=True)
    async with await EmbeddedServer.start(options) as running:
        yield await connect(running.target)


@pytest_asyncio.fixture
async def real_house(tmp_path: Path, temporal: Client) -> AsyncIterator[House]:
    """A house whose ceremonies are Temporal workflows."""

    async def connected() -> Client:
        return temporal

    made = House.make(tmp_path, wait_seconds=10)
    made.parts = dataclasses.replace(made.parts, ceremonies=TemporalCeremonies(connected))
    made.app.state.parts = made.parts
    yield made
    await made.close()


async def test_a_whole_load_through_temporal(real_house: House, temporal: Client) -> None:
    """Every call is answered by the workflow's own verdict, and readiness sees the key worker."""
    async with real_house.backstage.workers(temporal):
        load = await real_house.open()
        await load.confirm()
        assert load.confirmation is not None
        assert (await real_house.get("/readyz")).json()["key_worker"] == "ok"
        refused = real_house.world.receipt(
            load.confirmation, token_digest=load.token_digest, outcome="refused"
        )
        response = await real_house.post(f"{load.path}/receipt", {"statement": wire(refused)})
        assert response.json() == {"stage": "UNCONFIRMED", "kcv": None}
        handle = temporal.get_workflow_handle(names.loading_request_id("ATM-0001"))
        result = await asyncio.wait_for(handle.result(), 20)
        assert result["stage"] == "UNCONFIRMED"

        late = real_house.world.cancellation(load.request)
        response = await real_house.post(f"{load.path}/cancellation", {"statement": wire(late)})
        assert (response.status_code, response.json()["stage"]) == (409, "UNCONFIRMED")


async def test_what_was_sent_while_no_worker_ran_is_answered_later(
    real_house: House, temporal: Client
) -> None:
    """An acknowledged statement waits in Temporal: the same POST fetches its answer."""
    real_house.parts = dataclasses.replace(real_house.parts, wait_seconds=0.1)
    real_house.app.state.parts = real_house.parts
    said = {"statement": wire(real_house.request())}
    first = await real_house.post("/v1/loading-requests", said)
    assert first.status_code == 202
    async with real_house.backstage.workers(temporal):
        for _ in range(100):
            response = await real_house.post("/v1/loading-requests", said)
            if response.status_code == 201:
                break
            await asyncio.sleep(0.1)
    assert response.json()["stage"] == "AWAITING_APPLICATION"
