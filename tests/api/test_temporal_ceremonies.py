"""The Temporal side of the API: which of the server's errors mean away, closed, or a fault."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from api.ceremonies import CeremoniesAway, CeremonyClosed, TemporalCeremonies
from ceremony import names
from ceremony.messages import CodeRequest, Opening, Submission
from engine.client import TemporalTarget, TemporalUnavailable, Unavailability, connect
from engine.embedded import EmbeddedOptions, EmbeddedServer

TARGET = TemporalTarget("127.0.0.1:1")
SUBMISSION = Submission(request_id="r", digest="d")


class BrokenClient:
    """A client whose every signal ends in one status; counts how often it was asked."""

    namespace = "default"

    def __init__(self, status: RPCStatusCode) -> None:
        self.status = status
        self.asked: list[str] = []

    def get_workflow_handle(self, workflow_id: str) -> "BrokenClient":
        """Give the handle, which is this same object."""
        self.asked.append(workflow_id)
        return self

    async def signal(self, *_: Any, **__: Any) -> None:
        """Fail."""
        raise RPCError("planted", self.status, b"")


def over(client: Any) -> TemporalCeremonies:
    """Ceremonies over this client."""

    async def connect() -> Client:
        made: Client = client
        return made

    return TemporalCeremonies(connect)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (RPCStatusCode.UNAVAILABLE, CeremoniesAway),
        (RPCStatusCode.DEADLINE_EXCEEDED, CeremoniesAway),
        (RPCStatusCode.RESOURCE_EXHAUSTED, CeremoniesAway),
        (RPCStatusCode.NOT_FOUND, CeremonyClosed),
        (RPCStatusCode.PERMISSION_DENIED, RPCError),
    ],
)
async def test_each_rpc_error_has_one_meaning(
    status: RPCStatusCode, expected: type[Exception]
) -> None:
    """Away may be repeated, closed may not, and anything else is a fault of the deployment."""
    client = BrokenClient(status)
    with pytest.raises(expected):
        await over(client).submit("signal", "ATM-0001", SUBMISSION)
    assert client.asked == ["loading-request/ATM-0001"]


async def test_a_connection_is_tried_anew_at_each_call_and_then_kept() -> None:
    """A server that comes up later is found; once connected there is one client."""
    attempts = 0

    async def connect() -> Client:
        nonlocal attempts
        attempts += 1
        if attempts < 3:
            raise TemporalUnavailable(TARGET, Unavailability.UNREACHABLE)
        made: Any = BrokenClient(RPCStatusCode.NOT_FOUND)
        client: Client = made
        return client

    ceremonies = TemporalCeremonies(connect)
    for expected in (CeremoniesAway, CeremoniesAway, CeremonyClosed, CeremonyClosed):
        with pytest.raises(expected):
            await ceremonies.submit("signal", "ATM-0001", SUBMISSION)
    assert attempts == 3


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedServer]:
    """A real server, without workers."""
    options = EmbeddedOptions(log_file=tmp_path / "temporal.log", headless=True)
    async with await EmbeddedServer.start(options) as running:
        yield running


async def test_a_real_server_opens_signals_and_knows_no_key_worker(
    server: EmbeddedServer,
) -> None:
    """Opening starts or finds the terminal's one workflow; signals reach it, and no other."""
    client = await connect(server.target)
    ceremonies = over(client)
    await ceremonies.ready()
    with pytest.raises(CeremonyClosed):
        await ceremonies.submit(names.SIGNAL_APPLICATION, "ATM-0001", SUBMISSION)
    for digest in ("first", "second"):
        await ceremonies.open(Opening(request_id="r", terminal_no="ATM-0001", digest=digest))
    await ceremonies.ask_code("ATM-0001", CodeRequest(request_id="r", n=1))
    handle = client.get_workflow_handle(names.loading_request_id("ATM-0001"))
    description = await handle.describe()
    assert description.workflow_type == names.LOADING_REQUEST
    assert description.task_queue == names.CEREMONY_QUEUE
    history = await handle.fetch_history()
    signals = [
        event.workflow_execution_signaled_event_attributes.signal_name
        for event in history.events
        if event.HasField("workflow_execution_signaled_event_attributes")
    ]
    repeated = names.SIGNAL_REQUEST_REPEATED
    assert signals == [repeated, repeated, names.SIGNAL_CODE_REQUESTED]
    assert await ceremonies.key_worker_polls() is False
