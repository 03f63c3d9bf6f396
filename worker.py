"""The worker processes: settings -> gateways -> activities -> Worker; `--role ceremony | keys`.

The ceremony worker runs the workflows, the records and the SMS. The key worker runs release,
settlement and its memory of the registry alone, on its own queue, and is the only process that
holds the key-encrypting key.
"""

import argparse
import asyncio
import json
import logging
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Literal

import httpx
from temporalio.client import Client
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions
from temporalio.workflow import SandboxImportNotificationPolicy

from activities.ceremony_records import CeremonyRecords
from activities.facts import FactFinder
from activities.key_archive import RecordsArchive
from activities.key_worker import KeyWorker
from activities.registry_sync import RegistrySource, RegistrySynchroniser
from activities.sms import SmsGateway, SmsSender
from ceremony import names
from ceremony.codes import CodeBook, EdgeSeal
from ceremony.keys import SigningKey
from ceremony.qr import QrSeal
from ceremony.release_rule import ReleaseSecrets
from ceremony.trust import Trust
from engine.client import TemporalTarget, connect
from engine.processes import leave
from gateways.backoffice import JsonLinesFeed
from gateways.httpfeed import HttpFeed
from gateways.smsoutbox import OutboxGateway
from gateways.twilio import API as TWILIO_API
from gateways.twilio import TwilioGateway
from keymanagement.journal import Journal
from keymanagement.kdh import KdhIdentity
from keymanagement.port import KeyAlgorithm
from keymanagement.registrymemory import RegistryMemory
from keymanagement.release import KeyRelease, ReleasePolicy
from keymanagement.releaserecord import RecordSigner
from keymanagement.settlement import KeySettlement
from keymanagement.software import SoftwareKeyManager
from records import messages
from records.database import Database
from settings import Settings, SettingsError
from workflows.loading_request import LoadingRequest
from workflows.registry_notes import RegistryNotes
from workflows.registry_sync import RegistrySync

WorkerRole = Literal["ceremony", "keys"]

STICKY_TIMEOUT: Final = timedelta(seconds=2)
"""A killed worker costs its workflows two seconds, not the SDK's ten."""
DRAIN: Final = timedelta(seconds=10)
"""On SIGTERM, running activities get this long to finish."""
THREADS: Final = 16
ACTIVITIES: Final = 8
"""At once; the other threads are the records', so that hanging SMS never hold up a ceremony."""
READY_LINE: Final = "worker ready"

_log = logging.getLogger("keyfill.worker")


@dataclass(frozen=True)
class WorkerParts:
    """What one role runs: its queue, its activities and its workflows."""

    queue: str
    activities: list[Callable[..., Any]]
    workflows: list[type]


def workflow_runner() -> SandboxedWorkflowRunner:
    """The sandbox, which refuses modules that slip through it unintended."""
    return SandboxedWorkflowRunner(
        restrictions=SandboxRestrictions.default.with_import_notification_policy(
            SandboxImportNotificationPolicy.WARN_ON_DYNAMIC_IMPORT
            | SandboxImportNotificationPolicy.RAISE_ON_UNINTENTIONAL_PASSTHROUGH
        )
    )


def make_worker(client: Client, parts: WorkerParts, executor: ThreadPoolExecutor) -> Worker:
    """Make the Temporal worker of one role."""
    return Worker(
        client,
        task_queue=parts.queue,
        activities=parts.activities,
        workflows=parts.workflows,
        activity_executor=executor,
        max_concurrent_activities=ACTIVITIES,
        workflow_runner=workflow_runner(),
        sticky_queue_schedule_to_start_timeout=STICKY_TIMEOUT,
        graceful_shutdown_timeout=DRAIN,
    )


def ceremony_parts(settings: Settings, database: Database, stack: ExitStack) -> WorkerParts:
    """Put the ceremony worker together."""
    trust = read_trust(settings)
    codes = CodeBook(settings.secret("sms_secret"))
    facts = FactFinder(trust, codes, EdgeSeal(settings.secret("edge_key")))
    records = CeremonyRecords(database, facts)
    gateway = sms_gateway(settings, database)
    sms = SmsSender(database, trust, codes, gateway, language=settings.sms_language)
    sync = RegistrySynchroniser(database, trust, registry_source(settings, stack))
    return ceremony_work(records, sms, sync)


def key_parts(settings: Settings, database: Database, stack: ExitStack) -> WorkerParts:
    """Put the key worker together."""
    trust = read_trust(settings)
    kek = settings.secret("kek")
    journal = stack.enter_context(Journal(settings.journal, kek))
    kdh = KdhIdentity.from_pem(
        settings.secret_text("kdh_key").encode(),
        settings.secret_text("kdh_certificate").encode(),
        now=int(time.time()),
    )
    record_key = SigningKey.from_jwk(json.loads(settings.secret_text("record_key")))
    archive = RecordsArchive(database)
    release = KeyRelease(
        trust=trust,
        secrets=ReleaseSecrets(
            codes=CodeBook(settings.secret("sms_secret")),
            edge=EdgeSeal(settings.secret("edge_key")),
            qr=QrSeal(settings.secret("qr_key"), trust.audience),
        ),
        journal=journal,
        manager=SoftwareKeyManager(kek, kdh),
        archive=archive,
        records=RecordSigner(record_key, trust.audience),
        policy=ReleasePolicy(KeyAlgorithm(settings.key_algorithm)),
    )
    settlement = KeySettlement(trust=trust, journal=journal, archive=archive)
    memory = RegistryMemory(trust=trust, journal=journal, archive=archive)
    keys = KeyWorker(release, settlement, memory)
    return key_work(keys)


def ceremony_work(
    records: CeremonyRecords, sms: SmsSender, sync: RegistrySynchroniser
) -> WorkerParts:
    """What the ceremony worker runs."""
    return WorkerParts(
        queue=names.CEREMONY_QUEUE,
        activities=[
            records.record_opening,
            records.record_statement,
            records.record_release,
            records.record_settlement,
            records.record_event,
            sms.send_sms_code,
            sms.send_notice,
            sync.synchronise,
        ],
        workflows=[LoadingRequest, RegistrySync, RegistryNotes],
    )


def key_work(keys: KeyWorker) -> WorkerParts:
    """What the key worker runs: release, settlement, and what it is shown of the registry."""
    return WorkerParts(
        queue=names.KEYS_QUEUE,
        activities=[keys.release_key, keys.settle_key, keys.note_revocation, keys.note_registry],
        workflows=[],
    )


def read_trust(settings: Settings) -> Trust:
    """Read the trust file.

    Raises:
        SettingsError: if there is none.
        TrustError: if it cannot be used.
    """
    try:
        return Trust.read(settings.trust.read_bytes())
    except OSError as error:
        raise SettingsError(f"Put the trust file at {settings.trust}.") from error


def sms_gateway(settings: Settings, database: Database) -> SmsGateway:
    """Choose the SMS gateway."""
    if settings.sms_gateway == "twilio":
        return TwilioGateway(
            settings.twilio_account_sid,
            settings.secret_text("twilio_auth_token"),
            settings.twilio_from,
            status_callback=settings.twilio_status_callback,
            base_url=settings.twilio_base_url or TWILIO_API,
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


async def serve(role: WorkerRole, settings: Settings) -> None:
    """Run one role until SIGTERM or SIGINT, then drain."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    target = TemporalTarget(settings.temporal_address, settings.temporal_namespace)
    with ExitStack() as stack:
        database = Database(settings.database)
        stack.callback(database.close)
        build = ceremony_parts if role == "ceremony" else key_parts
        parts = build(settings, database, stack)
        client = await connect(target, identity=f"keyfill-{role}")
        executor = stack.enter_context(ThreadPoolExecutor(THREADS, f"keyfill-{role}"))
        async with make_worker(client, parts, executor):
            _log.info("%s: %s", READY_LINE, role)
            await stopped.wait()
        _log.info("worker drained: %s", role)


def main(arguments: list[str] | None = None) -> int:
    """Run a worker process; give its exit code: 0 after a clean stop, 2 for unusable settings."""
    parser = argparse.ArgumentParser(prog="worker.py", description="A Keyfill worker process.")
    parser.add_argument("--role", choices=("ceremony", "keys"), required=True)
    role: WorkerRole = parser.parse_args(arguments).role
    try:
        settings = Settings.for_role(role)
        logging.basicConfig(
            level=settings.log_level.upper(),
            format="%(asctime)s %(levelname)s %(name)s %(message)s",
        )
        asyncio.run(serve(role, settings))
    except SettingsError as error:
        logging.getLogger("keyfill").error("%s", error)
        return 2
    return 0


if __name__ == "__main__":
    leave(main())
