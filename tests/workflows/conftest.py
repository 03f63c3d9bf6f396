"""One embedded Temporal server for all tests of the workflows; a namespace for each of them."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client

from engine.client import TemporalTarget, connect
from engine.embedded import EmbeddedOptions, EmbeddedServer
from engine.searchattributes import register_missing
from tests.support.backstage import Backstage
from tests.support.world import World

RETENTION_S = 86_400


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedServer]:
    """A running embedded server, shared because a start and a stop take two seconds."""
    log_file = tmp_path_factory.mktemp("temporal") / "temporal.log"
    async with await EmbeddedServer.start(EmbeddedOptions(log_file, headless=True)) as running:
        yield running


@pytest.fixture(scope="session")
def new_namespace(server: EmbeddedServer) -> Callable[[], Awaitable[TemporalTarget]]:
    """Makes a namespace that nobody else has."""

    async def make() -> TemporalTarget:
        target = TemporalTarget(server.target.address, f"test-{uuid4()}")
        client = await connect(server.target)
        await client.workflow_service.register_namespace(
            RegisterNamespaceRequest(
                namespace=target.namespace,
                workflow_execution_retention_period=Duration(seconds=RETENTION_S),
            )
        )
        await register_missing(await connect(target))
        return target

    return make


@pytest.fixture
async def target(new_namespace: Callable[[], Awaitable[TemporalTarget]]) -> TemporalTarget:
    """A namespace of this test's own: workflows and task queues of other tests stay apart."""
    return await new_namespace()


@pytest.fixture
async def client(target: TemporalTarget) -> Client:
    """A client of this test's namespace."""
    return await connect(target, identity="test")


@pytest.fixture
def world() -> World:
    """A world that stands at the present."""
    return World.make(now=int(time.time()))


@pytest.fixture
def stage(tmp_path: Path, world: World) -> Iterator[Backstage]:
    """Records and journal of this test, with the world's registry in force; no worker runs."""
    made = Backstage.make(tmp_path, world)
    yield made
    made.close()


@pytest.fixture
async def running(stage: Backstage, client: Client) -> AsyncIterator[Backstage]:
    """`stage` with both its workers running."""
    async with stage.workers(client):
        yield stage
