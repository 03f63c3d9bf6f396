"""The two task queues: which activities and workflows run on each, and how a worker serves one.

The ceremony queue has all workflows, the records and the SMS; the keys queue what only the key
worker may do. What these are bound to is `worker.py`'s business.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from temporalio.client import Client
from temporalio.worker import Interceptor, Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions
from temporalio.workflow import SandboxImportNotificationPolicy

from activities.ceremony_records import CeremonyRecords
from activities.key_exports import KeyDeliveries, KeyExporting
from activities.key_worker import KeyWorker
from activities.registry_changes import RegistryChanges
from activities.registry_sync import RegistrySynchroniser
from activities.sms import SmsSender
from ceremony import names
from workflows.key_exports import KeyExports
from workflows.key_orders import KeyOrders
from workflows.loading_request import LoadingRequest
from workflows.registry_change import RegistryChange
from workflows.registry_notes import RegistryNotes
from workflows.registry_sync import RegistrySync

STICKY_TIMEOUT: Final = timedelta(seconds=2)
"""A killed worker costs its workflows two seconds, not the SDK's ten."""
DRAIN: Final = timedelta(seconds=10)
"""On SIGTERM, running activities get this long to finish."""
THREADS: Final = 16
ACTIVITIES: Final = 8
"""At once; the other threads are the records', so that hanging SMS never hold up a ceremony."""


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


def make_worker(
    client: Client,
    parts: WorkerParts,
    executor: ThreadPoolExecutor,
    interceptors: Sequence[Interceptor] = (),
) -> Worker:
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
        interceptors=interceptors,
    )


def ceremony_work(
    records: CeremonyRecords,
    sms: SmsSender,
    sync: RegistrySynchroniser,
    changes: RegistryChanges,
    deliveries: KeyDeliveries | None = None,
) -> WorkerParts:
    """What the ceremony worker runs."""
    exports: list[Callable[..., Any]] = []
    if deliveries is not None:
        exports = [deliveries.due_exports, deliveries.deliver_export]
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
            changes.look_at_change,
            changes.note_change_time,
            changes.tell_change,
            changes.end_change,
            *exports,
        ],
        workflows=[
            LoadingRequest,
            RegistrySync,
            RegistryNotes,
            RegistryChange,
            KeyOrders,
            KeyExports,
        ],
    )


def key_work(keys: KeyWorker, exporting: KeyExporting | None = None) -> WorkerParts:
    """What the key worker runs: release, settlement, officers' orders, a look at the registry.

    And the export of active keys.
    """
    return WorkerParts(
        queue=names.KEYS_QUEUE,
        activities=[
            keys.release_key,
            keys.settle_key,
            keys.order_key,
            keys.note_revocation,
            keys.note_registry,
            keys.note_change,
            keys.withdraw_change,
            *([] if exporting is None else [exporting.export_key]),
        ],
        workflows=[],
    )
