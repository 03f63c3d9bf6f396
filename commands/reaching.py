"""What `keyfill doctor` finds when it calls: Temporal, its namespace and workers, our servers."""

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import httpx
from cryptography import x509

from ceremony import names
from commands import checks
from commands.checks import Finding
from commands.temporal import connected
from settings import Settings, SettingsError

if TYPE_CHECKING:
    from temporalio.client import Client
    from temporalio.service import TLSConfig

ANSWER_WITHIN: Final = timedelta(seconds=5)
POLLED_WITHIN: Final = 120.0
"""A worker's poll lasts up to a minute, so one that was not seen for two is gone."""


async def temporal_findings(
    settings: Settings, clock: Callable[[], float]
) -> AsyncIterator[Finding]:
    """Reachable, authorised, namespace, attributes, workers, and its clock as far as it tells."""
    from temporalio.service import RPCError

    from engine.client import TemporalUnavailable, Unavailability
    from engine.keyring import KeyRingError
    from engine.transport import TransportRefused

    check = "Temporal"
    try:
        client = await connected(settings, timedelta(0))
    except (SettingsError, TransportRefused, KeyRingError) as error:
        yield checks.bad(check, f"{error}")
    except TemporalUnavailable as error:
        if error.reason is Unavailability.NAMESPACE_UNKNOWN:
            yield checks.bad(check, f"Run `keyfill prepare-temporal`: {error}.")
        else:
            yield checks.away(check, f"Start it, or mend KEYFILL_TEMPORAL_ADDRESS: {error}.")
    except RPCError as error:
        yield checks.bad(check, f"Give this client access: it answers {error.status.name}.")
    else:
        yield checks.good(check, f"It answers for namespace {client.namespace}.")
        try:
            async for finding in _of_namespace(client, clock):
                yield finding
        except RPCError as error:
            yield checks.bad(check, f"Let this client describe it: {error.status.name}.")


def transport_findings(settings: Settings, clock: Callable[[], float]) -> Iterator[Finding]:
    """How long the certificates last that this process shows to Temporal and expects of it."""
    from engine.transport import TransportRefused, transport_to

    try:
        tls = transport_to(settings.temporal_address, required=False).tls
    except TransportRefused:
        # Whoever tries to connect says so.
        return
    if not isinstance(tls, bool):
        yield from _certificates(tls, clock())


async def answers(name: str, url: str) -> Finding:
    """Whether a server of ours answers and is ready."""
    try:
        async with httpx.AsyncClient(timeout=ANSWER_WITHIN.total_seconds()) as client:
            response = await client.get(url)
    except httpx.HTTPError as error:
        return checks.away(name, f"Start it: {url} does not answer ({type(error).__name__}).")
    if not response.is_success:
        return checks.away(name, f"See its log: {url} answers {response.status_code}.")
    return checks.good(name, f"{url} answers.")


def _certificates(tls: "TLSConfig", now: float) -> Iterator[Finding]:
    for name, pem in (
        ("Temporal's client", tls.client_cert),
        ("Temporal's authority", tls.server_root_ca_cert),
    ):
        if not pem:
            continue
        try:
            ends = [one.not_valid_after_utc for one in x509.load_pem_x509_certificates(pem)]
        except ValueError:
            yield checks.bad(f"certificate: {name}", "Make its file PEM certificates.")
            continue
        # While an authority is replaced there are two; a chain is as good as its shortest.
        lasting = max(ends) if pem is tls.server_root_ca_cert else min(ends)
        yield checks.certificate(name, lasting, now)


async def _of_namespace(client: "Client", clock: Callable[[], float]) -> AsyncIterator[Finding]:
    from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest

    from engine import searchattributes

    described = await client.workflow_service.describe_namespace(
        DescribeNamespaceRequest(namespace=client.namespace), timeout=ANSWER_WITHIN
    )
    kept = described.config.workflow_execution_retention_ttl.ToTimedelta()
    yield checks.retention(kept / timedelta(days=1))
    try:
        yield checks.search_attributes(await searchattributes.missing(client))
    except searchattributes.SearchAttributeMismatch as error:
        yield checks.bad("Temporal: search attributes", f"Remove or retype them: {error}.")
    for who, queue in (("key", names.KEYS_QUEUE), ("ceremony", names.CEREMONY_QUEUE)):
        seen = await _last_poll(client, queue)
        ago = None if seen is None else clock() - seen
        yield checks.pollers(who, ago, within=POLLED_WITHIN)
        if ago is not None and ago < 0:
            # Polls are stamped by the server; those of the past say nothing of its clock.
            yield checks.clock("Temporal", -ago)


async def _last_poll(client: "Client", queue: str) -> float | None:
    """When a worker last asked this queue for activities, by Temporal's clock; Unix seconds."""
    from temporalio.api.enums.v1 import TaskQueueType
    from temporalio.api.taskqueue.v1 import TaskQueue
    from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest

    described = await client.workflow_service.describe_task_queue(
        DescribeTaskQueueRequest(
            namespace=client.namespace,
            task_queue=TaskQueue(name=queue),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
        ),
        timeout=ANSWER_WITHIN,
    )
    seen = [poller.last_access_time.ToNanoseconds() / 1e9 for poller in described.pollers]
    return max(seen, default=None)
