"""The Temporal side of the API: opening a loading request, and signalling an open one.

A signal is durable once the server has acknowledged it, whether or not a worker runs.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final, NoReturn, Protocol, TypeVar

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError, RPCStatusCode

from ceremony import names
from ceremony.messages import CodeRequest, Opening, Submission
from engine import searchattributes
from engine.client import TemporalUnavailable, check

T = TypeVar("T")

RPC_TIMEOUT: Final = timedelta(seconds=5)
"""One call to the server, its retries included: the caller's HTTP client waits for it."""

POLLER_SECONDS: Final = 120
"""A worker's poll lasts up to a minute, so one that was not seen for two is gone."""

_AWAY: Final = frozenset(
    {
        RPCStatusCode.UNAVAILABLE,
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.RESOURCE_EXHAUSTED,
        RPCStatusCode.CANCELLED,
        RPCStatusCode.ABORTED,
    }
)


class CeremoniesAway(Exception):
    """Temporal does not answer: nothing was accepted, the same call may be made again."""


class CeremonyClosed(Exception):
    """The terminal has no open loading request."""


class Ceremonies(Protocol):
    """What the API needs of the ceremonies; each method may raise `CeremoniesAway`."""

    async def open(self, opening: Opening) -> None:
        """Open the terminal's loading request, or tell the open one of this statement."""

    async def submit(self, signal: str, terminal_no: str, submission: Submission) -> None:
        """Tell the terminal's open loading request of a statement.

        Raises:
            CeremonyClosed: it has none.
        """

    async def ask_code(self, terminal_no: str, asked: CodeRequest) -> None:
        """Ask the terminal's open loading request for an SMS code.

        Raises:
            CeremonyClosed: it has none.
        """

    async def ready(self) -> None:
        """Make sure that Temporal answers."""

    async def key_worker_polls(self) -> bool:
        """Whether a key worker asked for work lately."""


class TemporalCeremonies:
    """`Ceremonies` over a Temporal client that is connected when it is first needed.

    Args:
        connect: makes one attempt to connect; raises `TemporalUnavailable`.
    """

    def __init__(self, connect: Callable[[], Awaitable[Client]]) -> None:
        """Bind the way to connect; nothing is connected yet."""
        self._connect = connect
        self._connected: Client | None = None
        self._connecting = asyncio.Lock()

    async def open(self, opening: Opening) -> None:
        """See `Ceremonies.open`; one call both starts and signals."""
        try:
            await self._open(opening)
        except CeremonyClosed as error:
            # Nothing but the namespace can be unknown to a call that starts what is missing.
            raise CeremoniesAway from error

    async def submit(self, signal: str, terminal_no: str, submission: Submission) -> None:
        """See `Ceremonies.submit`."""
        await self._signal(signal, terminal_no, submission)

    async def ask_code(self, terminal_no: str, asked: CodeRequest) -> None:
        """See `Ceremonies.ask_code`."""
        await self._signal(names.SIGNAL_CODE_REQUESTED, terminal_no, asked)

    async def ready(self) -> None:
        """See `Ceremonies.ready`."""
        await _asked(check(await self._client()))

    async def key_worker_polls(self) -> bool:
        """See `Ceremonies.key_worker_polls`."""
        client = await self._client()
        described = await _asked(
            client.workflow_service.describe_task_queue(
                DescribeTaskQueueRequest(
                    namespace=client.namespace,
                    task_queue=TaskQueue(name=names.KEYS_QUEUE),
                    task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
                ),
                timeout=RPC_TIMEOUT,
            )
        )
        seen = [poller.last_access_time.ToSeconds() for poller in described.pollers]
        return any(at > time.time() - POLLER_SECONDS for at in seen)

    async def keep_trying(self, pause: float = 1.0) -> None:
        """Connect in the background, so that the first caller does not have to wait for it."""
        while self._connected is None:
            try:
                await self._client()
            except CeremoniesAway:
                await asyncio.sleep(pause)

    async def _open(self, opening: Opening) -> None:
        client = await self._client()
        await _asked(
            client.start_workflow(
                names.LOADING_REQUEST,
                opening,
                id=names.loading_request_id(opening.terminal_no),
                task_queue=names.CEREMONY_QUEUE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                start_signal=names.SIGNAL_REQUEST_REPEATED,
                start_signal_args=[
                    Submission(request_id=opening.request_id, digest=opening.digest)
                ],
                memo={"request_id": opening.request_id},
                search_attributes=searchattributes.opening(opening.request_id, opening.terminal_no),
                static_summary=f"TMK for terminal {opening.terminal_no}",
                rpc_timeout=RPC_TIMEOUT,
            )
        )

    async def _signal(
        self, signal: str, terminal_no: str, message: CodeRequest | Submission
    ) -> None:
        client = await self._client()
        handle = client.get_workflow_handle(names.loading_request_id(terminal_no))
        await _asked(handle.signal(signal, message, rpc_timeout=RPC_TIMEOUT))

    async def _client(self) -> Client:
        async with self._connecting:
            if self._connected is None:
                self._connected = await _asked(self._connect())
            return self._connected


async def _asked(call: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(RPC_TIMEOUT.total_seconds()):
            return await call
    except (TemporalUnavailable, TimeoutError) as error:
        raise CeremoniesAway(type(error).__name__) from error
    except RPCError as error:
        _raise_named(error)


def _raise_named(error: RPCError) -> NoReturn:
    if error.status in _AWAY:
        raise CeremoniesAway(error.status.name) from error
    if error.status is RPCStatusCode.NOT_FOUND:
        raise CeremonyClosed from error
    raise error
