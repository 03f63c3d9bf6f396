"""Active keys on a stage, and what exports them: for tests of the back office's side."""

import contextlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from temporalio.client import Client

from activities.key_archive import RecordsArchive
from activities.key_exports import BackOffice, ExportRecords, KeyDeliveries, KeyExporting
from ceremony.keyexport import ExportAnswer, ExportMessage
from ceremony.keylife import KeyAct
from ceremony.messages import DueKey, ExportCommand, ExportDelivery, ExportPage
from keymanagement.exporter import SoftwareKeyExporter
from keymanagement.hostcopy import HostCopies
from keymanagement.journalrows import KeyState, NewKey
from keymanagement.keyexport import KeyExport
from keymanagement.port import KeyAlgorithm, KeyBinding
from keymanagement.software import SoftwareKeyManager
from records import audit, keyexports
from records.tables.key_export import KeyExportRow
from taskqueues import THREADS, WorkerParts, key_work, make_worker
from tests.support.backstage import KEK, Backstage, development_identity
from tests.support.journals import digest, intent, new_token, ordered

EXPORT_KEY: Final = bytes(range(64, 96))
ONE: Final = "A" * 24
TWO: Final = "B" * 24
"""Two loading requests."""


@dataclass
class MemoryOffice:
    """A back office that confirms with these KCVs, after what `fails` has it raise."""

    kcvs: dict[str, str]
    fails: list[Exception] = field(default_factory=list)
    bent: dict[str, str] = field(default_factory=dict)
    got: list[ExportMessage] = field(default_factory=list)

    def deliver(self, message: ExportMessage) -> ExportAnswer:
        """See `activities.key_exports.BackOffice`."""
        self.got.append(message)
        if self.fails:
            raise self.fails.pop(0)
        said = {
            "request_id": message.request_id,
            "key_block_digest": message.key_block_digest,
            "kcv": self.kcvs[message.request_id],
        }
        return ExportAnswer(**{**said, **self.bent})


@dataclass
class Exports:
    """The export of a stage's keys; `office` is None where nothing is delivered."""

    stage: Backstage
    office: BackOffice | None = None
    export_key: bytes | None = EXPORT_KEY
    kcvs: dict[str, str] = field(default_factory=dict)

    def activate(self, request_id: str, terminal_no: str = "ATM-0001", *, kek: bytes = KEK) -> str:
        """Release a key and have its terminal prove it, without a ceremony; give its KCV."""
        kcv = self.release(request_id, terminal_no, kek=kek)
        self.prove(request_id)
        return kcv

    def prove(self, request_id: str) -> None:
        """Have a key's terminal prove it."""
        journal, now = self.stage.journal, int(self.stage.clock())
        settled = journal.settle(request_id, digest(f"receipt {request_id}"), KeyState.ACTIVE, now)
        RecordsArchive(self.stage.database).publish_settlement(
            settled.key, self.kcvs[request_id], settled.retired, now
        )

    def settle_by_officers(self, request_id: str, terminal_no: str = "ATM-0001") -> None:
        """Have officers say that a released key was loaded, although no receipt came."""
        journal, now = self.stage.journal, int(self.stage.clock())
        journal.settle(request_id, None, KeyState.UNCONFIRMED, now)
        order = ordered(KeyAct.SETTLE_LOADED, request_id=request_id, terminal_no=terminal_no)
        journal.begin_order(order)
        assert journal.finish_order(order.digest, now).state is KeyState.ACTIVE
        held = journal.key_of(request_id)
        assert held is not None
        retired = journal.retired_beside(request_id)
        RecordsArchive(self.stage.database).publish_settlement(held, None, retired, now)

    def release(self, request_id: str, terminal_no: str = "ATM-0001", *, kek: bytes = KEK) -> str:
        """Release a key without a ceremony, its host's copy under `kek`; give its KCV."""
        journal, archive = self.stage.journal, RecordsArchive(self.stage.database)
        binding, now = KeyBinding(terminal_no, request_id), int(self.stage.clock())
        made = SoftwareKeyManager(kek, development_identity()).create(KeyAlgorithm.AES_128, binding)
        journal.begin_release(intent(request_id, request_id=request_id, terminal_no=terminal_no))
        key = NewKey(
            request_id=request_id,
            algorithm=KeyAlgorithm.AES_128,
            host_block=made.block,
            kcv=made.kcv,
            record="release record",
            created_at=now + len(self.kcvs),
            uniqueness=made.uniqueness,
        )
        held, issued = journal.save_key_and_first_token(
            key, new_token(request_id, request_id=request_id)
        )
        archive.publish_token(terminal_no, held, issued)
        self.kcvs[request_id] = made.kcv
        return made.kcv

    @property
    def exporting(self) -> KeyExporting:
        """The key worker's activity."""
        exporter = None
        if self.export_key is not None:
            exporter = SoftwareKeyExporter(HostCopies(KEK), self.export_key)
        return KeyExporting(
            KeyExport(
                journal=self.stage.journal,
                exporter=exporter,
                archive=ExportRecords(self.stage.database),
                clock=self.stage.clock,
            )
        )

    @property
    def deliveries(self) -> KeyDeliveries:
        """The ceremony worker's activities."""
        return KeyDeliveries(self.stage.database, self.office, self.stage.clock)

    def export(self, request_id: str) -> None:
        """Have the key worker wrap a key."""
        assert self.exporting.export_key(ExportCommand(request_id=request_id)).refused is None

    def deliver(self, request_id: str) -> ExportDelivery:
        """Have the ceremony worker deliver it."""
        return self.deliveries.deliver_export(ExportCommand(request_id=request_id))

    def row(self, request_id: str) -> KeyExportRow:
        """The export as it is on record."""
        with self.stage.database.read() as session:
            row = keyexports.find(session, request_id)
        assert row is not None
        return row

    def ceremony(self) -> WorkerParts:
        """The ceremony worker's parts, with the deliveries among them."""
        parts = self.stage.ceremony()
        deliveries = self.deliveries
        parts.activities.extend([deliveries.due_exports, deliveries.deliver_export])
        return parts

    def keys(self) -> WorkerParts:
        """The key worker's parts, with the export among them."""
        return key_work(self.stage.key_worker(), self.exporting)


@contextlib.asynccontextmanager
async def workers(exports: Exports, client: Client) -> AsyncIterator[None]:
    """Run both workers in this process, with the exports among their work."""
    with ThreadPoolExecutor(THREADS) as executor:
        async with (
            make_worker(client, exports.ceremony(), executor),
            make_worker(client, exports.keys(), executor),
        ):
            yield


def office_of(exports: Exports) -> MemoryOffice:
    """The back office in memory."""
    assert isinstance(exports.office, MemoryOffice)
    return exports.office


def events(exports: Exports, request_id: str = ONE) -> list[tuple[str, str, str | None]]:
    """What the audit trail says: event, who, why."""
    with exports.stage.database.read() as session:
        told = audit.of_request(session, request_id)
    return [(one.event, one.actor_kind.value, one.reason) for one in told]


def due(exports: Exports, after: str = "") -> tuple[DueKey, ...]:
    """What is due."""
    return exports.deliveries.due_exports(ExportPage(after=after)).keys
