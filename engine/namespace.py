"""A namespace of our own: made once, with a retention, and with our search attributes."""

import asyncio
import time
from datetime import timedelta
from typing import Final

from google.protobuf.duration_pb2 import Duration
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from engine.client import TemporalTarget, TemporalUnavailable, Unavailability, connect
from engine.searchattributes import register_missing

_KNOWN_WITHIN: Final = timedelta(seconds=30)
_PAUSE_S: Final = 0.2


async def prepare(target: TemporalTarget, retention: timedelta) -> tuple[bool, list[str]]:
    """Make the namespace if it is not there, and register the attributes that it lacks.

    The retention of a namespace that is there is left as it is. Again is harmless.

    Returns:
        Whether the namespace was made, and the names of the attributes that were missing.

    Raises:
        TemporalUnavailable: The server does not answer.
        SearchAttributeMismatch, SearchAttributesNotVisible: See `register_missing`.
        RPCError: The server refused, for example because this client is not an operator.
    """
    try:
        return False, await register_missing(await connect(target, wait=timedelta(0)))
    except TemporalUnavailable as error:
        if error.reason is not Unavailability.NAMESPACE_UNKNOWN:
            raise
    made = await _register(target, retention)
    client = await connect(target)
    deadline = time.monotonic() + _KNOWN_WITHIN.total_seconds()
    while True:
        try:
            return made, await register_missing(client)
        except RPCError as error:
            # Parts of the server go on for seconds with what they knew of namespaces.
            if error.status is not RPCStatusCode.NOT_FOUND or time.monotonic() > deadline:
                raise
        await asyncio.sleep(_PAUSE_S)


async def _register(target: TemporalTarget, retention: timedelta) -> bool:
    client = await Client.connect(
        target.address,
        namespace=target.namespace,
        tls=target.transport.tls,
        api_key=target.transport.api_key,
        rpc_metadata=target.transport.metadata,
    )
    seconds = Duration(seconds=int(retention.total_seconds()))
    try:
        await client.workflow_service.register_namespace(
            RegisterNamespaceRequest(
                namespace=target.namespace, workflow_execution_retention_period=seconds
            )
        )
    except RPCError as error:
        if error.status is not RPCStatusCode.ALREADY_EXISTS:
            raise
        return False
    return True
