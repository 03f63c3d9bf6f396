"""The connection to Temporal that the API and the workers share."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Final

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client, Interceptor
from temporalio.common import HeaderCodecBehavior
from temporalio.converter import PayloadCodec
from temporalio.runtime import Runtime
from temporalio.service import RPCError, RPCStatusCode

from engine.converter import data_converter
from engine.transport import PLAIN, Transport

DEFAULT_WAIT: Final = timedelta(seconds=30)
"""How long `connect` waits for a server that is still coming up."""

_ATTEMPT_TIMEOUT: Final = timedelta(seconds=5)
_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0


@dataclass(frozen=True)
class TemporalTarget:
    """Where the Temporal service is.

    Attributes:
        address: `host:port` of the gRPC frontend, without a scheme.
        namespace: The namespace that holds all of Keyfill's workflows.
        transport: TLS and API key; by default none, as on this machine.
    """

    address: str
    namespace: str = "default"
    transport: Transport = field(default=PLAIN, repr=False)


class Unavailability(StrEnum):
    """Why there is no connection."""

    UNREACHABLE = "unreachable"
    NAMESPACE_UNKNOWN = "namespace-unknown"


_REASONS: Final = {
    RPCStatusCode.NOT_FOUND: Unavailability.NAMESPACE_UNKNOWN,
    RPCStatusCode.UNAVAILABLE: Unavailability.UNREACHABLE,
    RPCStatusCode.DEADLINE_EXCEEDED: Unavailability.UNREACHABLE,
    RPCStatusCode.CANCELLED: Unavailability.UNREACHABLE,
}


class TemporalUnavailable(Exception):
    """No connection to Temporal within the time allowed; the SDK's own error is the cause.

    Attributes:
        target: What was tried.
        reason: What was wrong at the last attempt.
    """

    def __init__(self, target: TemporalTarget, reason: Unavailability) -> None:
        self.target = target
        self.reason = reason
        super().__init__(f"Temporal at {target.address}, namespace {target.namespace}: {reason}")


async def connect(
    target: TemporalTarget,
    *,
    codec: PayloadCodec | None = None,
    wait: timedelta = DEFAULT_WAIT,
    identity: str | None = None,
    runtime: Runtime | None = None,
    interceptors: Sequence[Interceptor] = (),
) -> Client:
    """Connect to Temporal, trying again while the server comes up.

    Returns only when the server answers and knows the namespace, so that a caller's first call
    does not fail on either.

    Args:
        target: The server and the namespace.
        codec: The deployment's payload codec, or None (see `engine.converter.data_converter`).
        wait: Total time before giving up; zero means exactly one attempt.
        identity: What the Web UI shows as the author of this client's calls; by default the
            process id and host name. Never a person or a secret.
        runtime: The process's own, where its metrics are served; by default the SDK's.
        interceptors: Of this client's calls and of the workers that it is given to (traces, logs).

    Raises:
        TemporalUnavailable: The server did not answer, or lacks the namespace, for all of `wait`.
        RPCError: The server answered with anything else, such as a refused permission: waiting
            would not help.
    """
    deadline = time.monotonic() + wait.total_seconds()
    pause = _FIRST_PAUSE_S
    while True:
        try:
            return await _attempt(target, codec, identity, runtime, interceptors)
        except TemporalUnavailable:
            if time.monotonic() + pause > deadline:
                raise
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE_S)


async def check(client: Client, timeout: timedelta = timedelta(seconds=2)) -> None:
    """Make sure that the server still answers for the client's namespace (a readiness probe).

    Raises:
        TemporalUnavailable: It did not within `timeout`, or no longer has the namespace.
        RPCError: The server answered with another error.
    """
    address = client.service_client.config.target_host
    await _ask(client, TemporalTarget(address, client.namespace), timeout)


async def _attempt(
    target: TemporalTarget,
    codec: PayloadCodec | None,
    identity: str | None,
    runtime: Runtime | None,
    interceptors: Sequence[Interceptor],
) -> Client:
    try:
        client = await Client.connect(
            target.address,
            namespace=target.namespace,
            data_converter=data_converter(codec),
            identity=identity,
            tls=target.transport.tls,
            api_key=target.transport.api_key,
            rpc_metadata=target.transport.metadata,
            interceptors=interceptors,
            # The only header is the trace's, two ids, which is read without the codec.
            header_codec_behavior=HeaderCodecBehavior.NO_CODEC,
            connect_timeout=_ATTEMPT_TIMEOUT,
            runtime=runtime,
        )
    except RuntimeError as error:
        # The SDK has no narrower type for a refused or timed-out connection.
        raise TemporalUnavailable(target, Unavailability.UNREACHABLE) from error
    await _ask(client, target, _ATTEMPT_TIMEOUT)
    return client


async def _ask(client: Client, target: TemporalTarget, timeout: timedelta) -> None:
    """Ask for the namespace: unlike a health check this also says whether it exists."""
    try:
        await client.workflow_service.describe_namespace(
            DescribeNamespaceRequest(namespace=target.namespace), retry=False, timeout=timeout
        )
    except RPCError as error:
        reason = _REASONS.get(error.status)
        if reason is None:
            raise
        raise TemporalUnavailable(target, reason) from error
