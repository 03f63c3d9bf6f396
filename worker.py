"""The worker processes: settings -> gateways -> activities -> Worker; `--role ceremony | keys`.

The ceremony worker runs the workflows, the records and the SMS. The key worker runs release,
settlement and its memory of the registry alone, on its own queue, and is the only process that
holds the key-encrypting key.
"""

import argparse
import asyncio
import logging
import resource
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final, Literal

import httpx
from temporalio.client import Client
from temporalio.service import RPCError

from activities.ceremony_records import CeremonyRecords
from activities.facts import FactFinder
from activities.key_exports import KeyDeliveries
from activities.registry_changes import RegistryChanges
from activities.registry_sync import RegistrySource, RegistrySynchroniser
from activities.sms import SmsSender
from activities.smsdelivery import SmsGateway
from ceremony import names
from ceremony.codes import CodeBook, EdgeSeal
from ceremony.messages import ExportOrder
from ceremony.trust import TrustError
from engine.client import TemporalTarget, check, connect
from engine.heartbeat import beating
from engine.keyring import KeyRingError
from engine.payloadcodec import codec_of
from engine.processes import leave
from engine.repetition import repeat, repeat_no_more
from engine.transport import TransportRefused, transport_to
from gateways.backoffice import JsonLinesFeed
from gateways.httpfeed import HttpFeed
from gateways.keyexport import HttpKeyExport
from gateways.smsoutbox import OutboxGateway
from gateways.twilio import API as TWILIO_API
from gateways.twilio import TwilioGateway
from keymanagement.observer import KeyObserver
from keymanagement.port import KeyManagementError
from keyworker import key_worker
from records import messages
from records.database import Database
from records.engines import Limits
from settings import Settings, SettingsError
from taskqueues import THREADS, WorkerParts, ceremony_work, key_work, make_worker
from telemetry import logs
from telemetry.activitylogs import ActivityLogs
from telemetry.corelogs import core_logging
from telemetry.endpoint import EndpointRefused, make_runtime
from telemetry.metrics import WorkerMetrics
from telemetry.tally import ActivityTally
from telemetry.traces import Traces
from workflows import policies

WorkerRole = Literal["ceremony", "keys"]

READY_LINE: Final = "worker ready"
"""What a worker logs once it works; the role follows."""

_log = logging.getLogger("keyfill.worker")


def ceremony_parts(settings: Settings, database: Database, stack: ExitStack) -> WorkerParts:
    """Put the ceremony worker together."""
    trust = settings.read_trust()
    codes = CodeBook(settings.secret("sms_secret"))
    facts = FactFinder(trust, codes, EdgeSeal(settings.secret("edge_key")))
    records = CeremonyRecords(database, facts)
    gateway = sms_gateway(settings, database)
    sms = SmsSender(
        database,
        trust,
        codes,
        gateway,
        language=settings.sms_language,
        caps=settings.sms_caps,
    )
    sync = RegistrySynchroniser(database, trust, registry_source(settings, stack))
    changes = RegistryChanges(database, trust, sms, language=settings.sms_language)
    deliveries = KeyDeliveries(database, back_office(settings, stack))
    return ceremony_work(records, sms, sync, changes, deliveries)


def key_parts(
    settings: Settings,
    database: Database,
    stack: ExitStack,
    observer: KeyObserver | None = None,
) -> WorkerParts:
    """Put the key worker together; see `keyworker.key_worker`."""
    return key_work(*key_worker(settings, database, stack, observer))


def back_office(settings: Settings, stack: ExitStack) -> HttpKeyExport | None:
    """Choose where exported keys are delivered; None if they are fetched as files.

    Raises:
        SettingsError: if the address cannot be used.
    """
    if not settings.backoffice_export_url:
        return None
    try:
        return HttpKeyExport(
            settings.backoffice_export_url,
            settings.secret_text("backoffice_token"),
            stack.enter_context(httpx.Client()),
        )
    except (ValueError, httpx.InvalidURL) as error:
        raise SettingsError(f"Set KEYFILL_BACKOFFICE_EXPORT_URL rightly: {error}.") from None


def sms_gateway(settings: Settings, database: Database) -> SmsGateway:
    """Choose the SMS gateway."""
    if settings.sms_gateway == "twilio":
        return TwilioGateway(
            settings.twilio_account_sid,
            settings.secret_text("twilio_auth_token"),
            settings.twilio_from,
            status_callback=settings.twilio_status_callback,
            base_url=settings.twilio_base_url or TWILIO_API,
            regions=settings.sms_region_list,
        )

    def put(step: str, sealed: bytes) -> str:
        with database.write() as session:
            row, _ = messages.outbox_put(session, step, sealed, now=int(time.time()))
            return str(row.id)

    return OutboxGateway(put, settings.secret("outbox_key"))


def registry_source(settings: Settings, stack: ExitStack) -> RegistrySource:
    """Choose the source of terminal entries: the worker's own setting, never a caller's."""
    if settings.source.startswith(("https://", "http://")):
        return HttpFeed(settings.source, stack.enter_context(httpx.Client()))
    return JsonLinesFeed(Path(settings.source))


async def repeat_exports(client: Client, *, wanted: bool) -> None:
    """Have Temporal bring the back office what it lacks, every minute; or no more."""
    if not wanted:
        try:
            await repeat_no_more(client, names.KEY_EXPORT_ID)
        except RPCError as error:
            # A worker that exports nothing needs no right to schedules.
            _log.warning(
                "a former export schedule was not looked for: %(grpc_status)s",
                {"grpc_status": error.status.name},
            )
        return
    await repeat(
        client,
        names.KEY_EXPORT,
        ExportOrder(deliver=True),
        name=names.KEY_EXPORT_ID,
        queue=names.CEREMONY_QUEUE,
        every=policies.EXPORT_EVERY,
    )


async def serve(role: WorkerRole, settings: Settings) -> None:
    """Run one role until SIGTERM or SIGINT, then drain."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    transport = transport_to(
        settings.temporal_address, required=settings.environment != "development"
    )
    target = TemporalTarget(settings.temporal_address, settings.temporal_namespace, transport)
    runtime = make_runtime(settings.metrics_address, core_logging())
    metrics = WorkerMetrics(runtime.metric_meter)
    codec = codec_of(settings.payload_ring, metrics.payload_unopened)
    with ExitStack() as stack:
        database = Database(settings.database, limits=Limits.of(settings))
        stack.callback(database.close)
        if role == "ceremony":
            parts = ceremony_parts(settings, database, stack)
        else:
            parts = key_parts(settings, database, stack, metrics)
        metrics.expect(one.__name__ for one in parts.activities)
        traces = Traces.of(role, settings.traces_endpoint, settings.traces_ratio)
        stack.callback(traces.close)
        client = await connect(
            target,
            codec=codec,
            identity=f"keyfill-{role}",
            runtime=runtime,
            interceptors=(ActivityLogs(), *traces.interceptors),
        )
        executor = stack.enter_context(ThreadPoolExecutor(THREADS, f"keyfill-{role}"))
        if role == "ceremony":
            await repeat_exports(client, wanted=bool(settings.backoffice_export_url))
        beats = beating(settings.heartbeat_file, metrics.beating(partial(check, client)))
        async with make_worker(client, parts, executor, [ActivityTally(metrics)]), beats:
            _log.info("worker ready: %(role)s", {"role": role})
            await stopped.wait()
        _log.info("worker drained: %(role)s", {"role": role})


def main(arguments: list[str] | None = None) -> int:
    """Run a worker process; give its exit code: 0 after a clean stop, 2 for unusable settings."""
    parser = argparse.ArgumentParser(prog="worker.py", description="A Keyfill worker process.")
    parser.add_argument("--role", choices=("ceremony", "keys"), required=True)
    role: WorkerRole = parser.parse_args(arguments).role
    # A core would hold whatever this process holds.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        settings = Settings.for_role(role)
        logs.set_up(role, settings.log_level, plain=settings.environment == "development")
        asyncio.run(serve(role, settings))
    except (
        SettingsError,
        EndpointRefused,
        KeyRingError,
        TransportRefused,
        TrustError,
        KeyManagementError,
    ) as error:
        # One sentence for whoever set it up; the log has no place for texts of errors.
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    leave(main())
