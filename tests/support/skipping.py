"""A Temporal server that skips time, with a stage whose clock follows it."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.testing import WorkflowEnvironment

from engine.converter import data_converter
from engine.programs import test_server_path
from engine.searchattributes import registrations
from tests.support.backstage import Backstage
from tests.support.changes import begin_cooling_off
from tests.support.load import Load
from tests.support.world import World


@dataclass
class Skipping:
    """A time-skipping server and a stage; use `start`.

    Time moves only while somebody waits for a result or in `skip`. The world's clock, which is
    also the activities', is set by `now` and `skip`.
    """

    env: WorkflowEnvironment
    stage: Backstage

    @classmethod
    @contextlib.asynccontextmanager
    async def start(
        cls, folder: Path, *, identity: str = "test", cooling_off: int = 0
    ) -> "AsyncIterator[Skipping]":
        """Start a server for one test, because one that skipped may not serve another.

        With `cooling_off` seconds the key worker knows the registry, and changes of it wait.
        """
        async with await WorkflowEnvironment.start_time_skipping(
            test_server_existing_path=str(test_server_path()),
            data_converter=data_converter(),
            identity=identity,
        ) as env:
            # It cannot list attributes, so `register_missing` is of no use here.
            await env.client.operator_service.add_search_attributes(
                AddSearchAttributesRequest(
                    namespace=env.client.namespace,
                    search_attributes=dict.fromkeys(
                        registrations(), IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
                    ),
                )
            )
            world = World.make(now=int((await env.get_current_time()).timestamp()))
            stage = Backstage.make(folder, world, clock=lambda: world.now)
            if cooling_off:
                begin_cooling_off(stage, cooling_off)
            async with stage.workers(env.client):
                yield cls(env, stage)
            stage.close()

    async def open(self) -> Load:
        """Let the world's terminal ask for a key."""
        return await Load.open(self.stage, self.env.client)

    async def now(self) -> datetime:
        """The server's time; the world's clock is set by it."""
        now = await self.env.get_current_time()
        self.stage.world.now = int(now.timestamp())
        return now

    async def skip(self, time: timedelta) -> None:
        """Let time pass for everybody."""
        await self.env.sleep(time)
        await self.now()

    async def ended_after(self, load: Load, since: datetime) -> timedelta:
        """Wait for the end of a load, and give how long after `since` it came."""
        await load.result()
        description = await load.handle.describe()
        assert description.close_time is not None
        return description.close_time - since
