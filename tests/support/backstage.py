"""The server side without its API, for tests: a migrated database, a registry, both workers.

`Backstage` files statements as the API would (store, then signal) and reads what the records,
the journal and the outbox say afterwards. Workers run in this process on a real Temporal server.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar

from temporalio.client import Client, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy

from activities.ceremony_records import CeremonyRecords
from activities.facts import FactFinder
from activities.key_archive import RecordsArchive
from activities.key_worker import KeyWorker
from activities.registry_changes import RegistryChanges
from activities.registry_sync import RegistrySynchroniser
from activities.sms import SmsSender
from activities.smsdelivery import SmsGateway
from ceremony import names
from ceremony.approvalkeys import ApprovalKeys
from ceremony.codes import TypedCode
from ceremony.feed import FeedItem, FeedReading, NotModified
from ceremony.keys import SigningKey
from ceremony.messages import CodeRequest, LoadingResult, Opening, Submission
from ceremony.qr import QrContents
from ceremony.sms import SmsReceipt, SmsUnavailable
from ceremony.statements import Kind, RequestBound, RequestPayload, request_id_of
from ceremony.trust import Trust
from ceremony.verification import Verified
from engine import searchattributes
from keymanagement.execution import OrderExecution
from keymanagement.journal import Journal
from keymanagement.kdh import DevelopmentKdh, KdhIdentity, make_development_kdh
from keymanagement.policy import KeyPolicy
from keymanagement.registrymemory import RegistryMemory
from keymanagement.release import KeyRelease
from keymanagement.releaserecord import RecordSigner
from keymanagement.settlement import KeySettlement
from keymanagement.software import SoftwareKeyManager
from records import credentialentries, projection, submissions, terminalentries, verdicts
from records.database import Database
from records.entryrows import pending_credential_row, terminal_row
from records.inserting import find_or_create
from records.tables.code_request import CodeRequestRow
from records.tables.loading_request import LoadingRequestRow
from records.tables.submission import SubmissionRow
from records.tables.verdict import VerdictRow
from taskqueues import THREADS, WorkerParts, ceremony_work, key_work, make_worker
from tests.support.databases import drop_database, make_database
from tests.support.world import World

T = TypeVar("T")

KEK: Final = bytes(range(32))
PATIENCE: Final = 20.0

_SIGNALS: Final = {
    Kind.REQUEST: names.SIGNAL_REQUEST_REPEATED,
    Kind.APPLICATION: names.SIGNAL_APPLICATION,
    Kind.DECISION: names.SIGNAL_DECISION,
    Kind.CONFIRMATION: names.SIGNAL_CONFIRMATION,
    Kind.RECEIPT: names.SIGNAL_RECEIPT,
    Kind.CANCELLATION: names.SIGNAL_CANCELLATION,
}


@dataclass
class MemorySms:
    """An SMS gateway that remembers; `fails` is raised instead, as often as it is there.

    While `flowing` is cleared, every send hangs; while `away`, the provider cannot be reached.
    `asked` are the steps of all sends.
    """

    sent: list[tuple[str, str, str]] = field(default_factory=list)
    fails: list[Exception] = field(default_factory=list)
    repeatable: bool = False
    away: bool = False
    asked: list[str] = field(default_factory=list)
    flowing: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        """Let messages flow at first."""
        self.flowing.set()

    def send(self, step: str, to: str, text: str) -> SmsReceipt:
        """Remember a message, or fail."""
        self.asked.append(step)
        self.flowing.wait(2 * PATIENCE)
        if self.away:
            raise SmsUnavailable
        if self.fails:
            raise self.fails.pop(0)
        self.sent.append((step, to, text))
        return SmsReceipt(f"sid-{len(self.sent)}")


@dataclass
class MemoryFeed:
    """A source of terminal entries that tests fill."""

    envelopes: list[str] = field(default_factory=list)
    tag: str | None = None

    def read(self, known: str | None = None) -> FeedReading | NotModified:
        """Read them all, unless the tag is known."""
        if self.tag is not None and known == self.tag:
            return NotModified(self.tag)
        items = (FeedItem(f"line {n}", one, None) for n, one in enumerate(self.envelopes, 1))
        return FeedReading(self.tag, items)


@cache
def development_kdh() -> DevelopmentKdh:
    """A KDH identity, made once in a test process."""
    return make_development_kdh(now=int(time.time()) - 60)


@cache
def development_identity() -> KdhIdentity:
    """The same, read: checking an RSA key takes a while."""
    kdh = development_kdh()
    return KdhIdentity.from_pem(kdh.key_pem, kdh.certificate_pem, now=int(time.time()))


@dataclass
class Backstage:
    """Records, journal and activities over one world; use `make`.

    `key_approvals` is the key worker's own demand of the keys that sign approvals.
    """

    world: World
    database: Database
    journal: Journal
    sms: SmsGateway
    feed: MemoryFeed
    record_key: SigningKey
    clock: Callable[[], float]
    url: str = ""
    key_approvals: ApprovalKeys = ApprovalKeys.ANY

    @classmethod
    def make(
        cls,
        folder: Path,
        world: World,
        *,
        sms: SmsGateway | None = None,
        clock: Callable[[], float] = time.time,
    ) -> "Backstage":
        """Make a database, a file's in `folder`, and put the world's registry in force."""
        url = make_database(folder)
        stage = cls(
            world=world,
            database=Database(url),
            journal=Journal(folder / "journal.db", KEK, create=True),
            sms=sms or MemorySms(),
            feed=MemoryFeed(),
            record_key=SigningKey.generate("EdDSA"),
            clock=clock,
            url=url,
        )
        stage.register()
        return stage

    def close(self) -> None:
        """Close database and journal; no more is asked of the database."""
        self.database.close()
        self.journal.close()
        drop_database(self.url)

    def register(self) -> None:
        """Put every entry of the world in force, as synchronisation and enrolment would."""
        with self.database.write() as session:
            for envelope in self.world.terminal_envelopes.values():
                terminal = self.world.read_terminal(envelope)
                terminalentries.put_terminal_entry(
                    session, terminal_row(terminal, now=self.world.now)
                )
            for envelope in self.world.credential_envelopes.values():
                credential = self.world.read_credential(envelope)
                credentialentries.put_credential_entry(
                    session, pending_credential_row(credential, now=self.world.now)
                )
                credentialentries.activate_credential(session, credential.digest)

    def ceremony(self) -> WorkerParts:
        """The ceremony worker's parts."""
        world = self.world
        records = CeremonyRecords(
            self.database, FactFinder(world.trust, world.codes, world.edge), self.clock
        )
        sms = SmsSender(self.database, world.trust, world.codes, self.sms, self.clock)
        sync = RegistrySynchroniser(self.database, world.trust, self.feed, self.clock)
        changes = RegistryChanges(self.database, world.trust, sms, self.clock)
        return ceremony_work(records, sms, sync, changes)

    def release(self) -> KeyRelease:
        """The key worker's release."""
        return KeyRelease(
            trust=Trust.read(self.world.trust_file, approvals=self.key_approvals),
            secrets=self.world.release_secrets,
            journal=self.journal,
            manager=SoftwareKeyManager(KEK, development_identity()),
            archive=RecordsArchive(self.database),
            records=RecordSigner(self.record_key, self.world.trust.audience),
            policy=KeyPolicy.for_all(),
            clock=self.clock,
        )

    def settlement(self) -> KeySettlement:
        """The key worker's settlement."""
        return KeySettlement(
            trust=self.world.trust,
            journal=self.journal,
            archive=RecordsArchive(self.database),
            clock=self.clock,
        )

    def orders(self) -> OrderExecution:
        """The key worker's carrying out of officers' orders."""
        return OrderExecution(
            trust=self.world.trust,
            journal=self.journal,
            manager=SoftwareKeyManager(KEK, development_identity()),
            archive=RecordsArchive(self.database),
            clock=self.clock,
        )

    def memory_of_registry(self) -> RegistryMemory:
        """The key worker's memory of the registry."""
        return RegistryMemory(
            trust=self.world.trust,
            journal=self.journal,
            archive=RecordsArchive(self.database),
            clock=self.clock,
        )

    def keys(self) -> WorkerParts:
        """The key worker's parts."""
        return key_work(self.key_worker())

    def key_worker(self) -> KeyWorker:
        """The key worker's activities."""
        return KeyWorker(
            self.release(), self.settlement(), self.orders(), self.memory_of_registry()
        )

    @contextlib.asynccontextmanager
    async def workers(self, client: Client) -> AsyncIterator[None]:
        """Run both workers in this process."""
        with ThreadPoolExecutor(THREADS) as executor:
            async with (
                make_worker(client, self.ceremony(), executor),
                make_worker(client, self.keys(), executor),
            ):
                yield

    def file(
        self,
        statement: Verified[Any],
        *,
        code: TypedCode | None = None,
        qr: QrContents | None = None,
        person: str | None = None,
    ) -> Submission:
        """Store a statement as the API does, before its signal."""
        payload = statement.payload
        request_id = (
            payload.request_id
            if isinstance(payload, RequestBound)
            else request_id_of(statement.digest)
        )
        with self.database.write() as session:
            submissions.receive(
                session,
                SubmissionRow(
                    digest=statement.digest,
                    kind=statement.kind,
                    request_id=request_id,
                    # What is typed may be wrong: the API files an application by its QR code.
                    terminal_no=qr.terminal_no if qr else payload.terminal_no,
                    signer_kid=statement.kid,
                    person=person or self._person(statement.kid),
                    statement=statement.text,
                    code_n=code.n if code else None,
                    code_mac=code.mac if code else None,
                    qr_n=qr.n if qr else None,
                    qr_expires_at=qr.expires_at if qr else None,
                    qr_request_id=qr.request_id if qr else None,
                    qr_terminal_no=qr.terminal_no if qr else None,
                    received_at=int(self.clock()),
                ),
            )
        return Submission(request_id=request_id, digest=statement.digest)

    def file_application(
        self,
        request: Verified[RequestPayload],
        application: Verified[Any],
        *,
        code: str,
        n: int = 1,
    ) -> Submission:
        """Store an application with a typed SMS code and the QR code that was scanned."""
        request_id = request_id_of(request.digest)
        typed = self.world.edge.seal("sms", request_id, n, application.digest, code)
        return self.file(application, code=typed, qr=self.world.shown_qr(request))

    def file_confirmation(self, confirmation: Verified[Any], *, code: str) -> Submission:
        """Store a confirmation with a typed approval code."""
        said = confirmation.payload
        typed = self.world.edge.seal("approval", said.request_id, 0, confirmation.digest, code)
        return self.file(confirmation, code=typed)

    async def open(
        self, client: Client, request: Verified[RequestPayload]
    ) -> WorkflowHandle[Any, LoadingResult]:
        """Start, or signal, the workflow of a terminal as the API does."""
        submission = self.file(request)
        no = request.payload.terminal_no
        return await client.start_workflow(
            names.LOADING_REQUEST,
            Opening(request_id=submission.request_id, terminal_no=no, digest=request.digest),
            id=names.loading_request_id(no),
            task_queue=names.CEREMONY_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            start_signal=names.SIGNAL_REQUEST_REPEATED,
            start_signal_args=[submission],
            memo={"request_id": submission.request_id},
            search_attributes=searchattributes.opening(submission.request_id, no),
            static_summary=f"TMK for terminal {no}",
            result_type=LoadingResult,
        )

    async def send(
        self, handle: WorkflowHandle[Any, Any], kind: Kind, submission: Submission
    ) -> None:
        """Signal a stored statement; nobody need be there to judge it."""
        await handle.signal(_SIGNALS[kind], submission)

    async def signal(
        self, handle: WorkflowHandle[Any, Any], kind: Kind, submission: Submission
    ) -> VerdictRow:
        """Signal a stored statement and wait for its verdict."""
        await self.send(handle, kind, submission)
        return await self.verdict(submission.digest)

    async def ask_code(
        self, handle: WorkflowHandle[Any, Any], request: Verified[RequestPayload], n: int = 1
    ) -> None:
        """Ask for an SMS code and wait until it was sent."""
        request_id = self.note_asked(request, n)
        await handle.signal(names.SIGNAL_CODE_REQUESTED, CodeRequest(request_id=request_id, n=n))
        step = f"{request_id}/sms/code-{n}"
        await self.until(lambda: step in self.sent_steps or None)

    def note_asked(self, request: Verified[RequestPayload], n: int = 1) -> str:
        """Note, as the API does before it signals, that the first administrator asked for code n.

        Gives the loading request's id.
        """
        request_id = request_id_of(request.digest)
        person = self.world.first.person
        row = CodeRequestRow(
            request_id=request_id, person=person, n=n, requested_at=int(self.clock())
        )
        with self.database.write() as session:
            find_or_create(session, row)
        return request_id

    @property
    def memory(self) -> MemorySms:
        """The SMS gateway, where it is the one that remembers."""
        assert isinstance(self.sms, MemorySms)
        return self.sms

    @property
    def sent_steps(self) -> list[str]:
        """The steps of all SMS that were sent, in order."""
        return [step for step, _, _ in self.memory.sent]

    async def verdict(self, digest: str) -> VerdictRow:
        """Wait for the verdict on a statement."""

        def find() -> VerdictRow | None:
            with self.database.read() as session:
                return verdicts.find(session, digest)

        return await self.until(find)

    def row(self, request_id: str) -> LoadingRequestRow:
        """The projection of a request."""
        with self.database.read() as session:
            row = projection.find(session, request_id)
        assert row is not None
        return row

    async def until(self, find: Callable[[], T | None], within: float = PATIENCE) -> T:
        """Poll for something that is about to be there."""
        end = time.monotonic() + within
        while time.monotonic() < end:
            found = await asyncio.to_thread(find)
            if found is not None:
                return found
            await self.breathe()
        raise AssertionError("did not happen in time")

    async def breathe(self) -> None:
        """Let others run before something is looked at again that gives no sign of its own."""
        await asyncio.sleep(0.02)

    def _person(self, kid: str) -> str | None:
        people = (self.world.first, self.world.second, self.world.third)
        return next((one.person for one in people if one.kid == kid), None)
