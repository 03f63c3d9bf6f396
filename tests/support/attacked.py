"""A whole deployment under attack: real processes, and three hands for whoever attacks it.

    async with attacked(folder) as bench:
        place = await bench.place()
        load = await Ceremony.open(bench, place)

Temporal (file-backed), key worker, ceremony worker and API run as processes of their own on a home
that `keyfill init` would make. The hands: `client` writes to Temporal, `rows()` to the database,
`bench.http(place)` calls the API from an address of its own. `bench.expected` names the loading
requests for which two genuine approvals were given: only these may have a key.
"""

import os
import signal
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final

import httpx
from temporalio.client import Client

from ceremony import names
from ceremony.codes import CodeBook, CodeScope
from ceremony.keys import SigningKey
from ceremony.messages import SyncOrder, SyncReport
from ceremony.registry import (
    VerifiedCredential,
    envelope_statements,
    read_enrolment,
    seal_envelope,
)
from ceremony.signing import sign
from ceremony.statements import TerminalEntry
from ceremony.trust import Trust
from ceremony.verification import peek
from commands import programs
from commands.credentials import Enrolment, activate, counter_signed, self_signed, store_pending
from commands.deployment import role_environment
from commands.homefolder import HomeFolder, read_key
from commands.init import make_home
from commands.samples import EPP_FOLDER, SampleTerminal, make_sample_terminal
from engine.client import connect
from engine.embedded import LOOPBACK, EmbeddedOptions, EmbeddedServer, free_port
from engine.processes import ChildProcess, ProcessSpec
from holdings import Role
from records.database import Database
from records.schema import METADATA
from settings import Settings
from terminal.device import read_device_key
from terminal.epp import Epp
from terminal.eppstore import EppStore
from tests.support import sqlhand
from tests.support.authenticator import Passkey
from tests.support.databases import furnish
from tests.support.ledger import Ledger

AUDIENCE: Final = "keyfill-attacked"
EPP_BITS: Final = 2048
BATCH: Final = 8
"""Terminals made at once: one synchronisation for all of them."""
READY: Final = "worker ready"
READY_WITHIN: Final = timedelta(seconds=90)
"""For a whole process on a machine that is busy with other tests."""


@dataclass(frozen=True)
class Person:
    """An administrator with a key, enrolled by two officers; `envelope` is the entry in force.

    Whoever has a `passkey` signs with it; `key` is then the key inside it.
    """

    person: str
    staff_no: str
    number: str = field(repr=False)
    key: SigningKey = field(repr=False)
    envelope: str = field(repr=False)
    digest: str
    passkey: Passkey | None = field(default=None, repr=False)

    @property
    def signer(self) -> SigningKey | Passkey:
        """What this person signs with."""
        return self.passkey or self.key


@dataclass(frozen=True)
class Place:
    """A terminal with its two administrators, who administer nothing else.

    `address` is the loopback address that its terminal and phones call from, so that one attack's
    rate limit is not another's.
    """

    terminal_no: str
    folder: Path
    device: SigningKey = field(repr=False)
    first: Person
    second: Person
    address: str

    @property
    def numbers(self) -> frozenset[str]:
        """The registered telephone numbers."""
        return frozenset({self.first.number, self.second.number})

    def epp(self) -> Epp:
        """Switch the EPP on."""
        return Epp(EppStore(self.folder / EPP_FOLDER))


class Bench:
    """The running deployment. Make it with `attacked`."""

    def __init__(self, home: HomeFolder, api: str, server: EmbeddedServer, client: Client) -> None:
        """Bind what runs."""
        self.home = home
        self.api = api
        self.server = server
        self.client = client
        self.trust: Trust = home.trust()
        self.feed: SigningKey = read_key(home.feed_key)
        self.officers = [read_key(one) for one in sorted(home.officers.glob("*.jwk"))]
        self.url = Settings.unchecked(home=home.path).database
        self.database = Database(self.url)
        self.ledger = Ledger(home, Settings.for_role("operator", home=home.path))
        self.expected: set[str] = set()
        self.error_bodies: list[str] = []
        self.places: list[Place] = []
        self._spare: list[Place] = []
        self._clients: list[httpx.AsyncClient] = []
        self._roles: dict[Role, ChildProcess] = {}

    # ---- the processes

    def start(self, role: Role, *command: str, **environment: str) -> ChildProcess:
        """Start one role's process."""
        child = ChildProcess.start(
            ProcessSpec(
                name=f"{role}-process",
                command=[*programs.KEYFILL, *command],
                log_file=self.home.logs / f"{role}.log",
                environment={
                    **role_environment(role),
                    "KEYFILL_HOME": str(self.home.path.absolute()),
                    "KEYFILL_TEMPORAL_ADDRESS": self.server.target.address,
                    **environment,
                },
            )
        )
        self._roles[role] = child
        return child

    async def start_worker(self, role: Role, **environment: str) -> None:
        """Start a worker and wait until it takes work."""
        child = self.start(role, "worker", "--role", role, **environment)

        async def ready() -> bool:
            return READY in child.output()

        await child.wait_ready(ready, READY_WITHIN)

    async def stop(self, role: Role) -> None:
        """Stop one role's process."""
        await self._roles[role].stop()

    async def kill(self, role: Role) -> None:
        """Kill one role's process, as a power cut would."""
        os.kill(self._roles[role].pid, signal.SIGKILL)
        await self._roles[role].wait()

    def runs(self, role: Role) -> bool:
        """Whether a role's process is there."""
        return self._roles[role].exit is None

    async def kill_temporal(self) -> None:
        """Kill the Temporal server, as a power cut would."""
        os.kill(self.server.process.pid, signal.SIGKILL)
        await self.server.process.wait()

    async def start_temporal(self) -> None:
        """Start the Temporal server again, on the same port and file."""
        port = int(self.server.target.address.rpartition(":")[2])
        self.server = await EmbeddedServer.start(_temporal(self.home, port))

    async def stop_all(self) -> None:
        """Stop the API first, then its workers, and Temporal last."""
        for client in self._clients:
            await client.aclose()
        for role in ("api", "ceremony", "keys"):
            if role in self._roles:
                await self._roles[role].stop()
        self.database.close()
        await self.server.stop()

    # ---- places

    async def place(self) -> Place:
        """A terminal that no other attack uses, known to the registry, its people enrolled."""
        if not self._spare:
            self._spare = [self._made(len(self.places) + n) for n in range(1, BATCH + 1)]
            self.places += self._spare
            report = await self.synchronise()
            assert report.added == BATCH, report
        return self._spare.pop(0)

    async def synchronise(self) -> SyncReport:
        """Run a registry synchronisation, as `keyfill terminals sync` does."""
        report: SyncReport = await self.client.execute_workflow(
            names.REGISTRY_SYNC,
            SyncOrder(),
            id=names.REGISTRY_SYNC_ID,
            task_queue=names.CEREMONY_QUEUE,
            result_type=SyncReport,
        )
        return report

    def publish(self, entry: TerminalEntry, *officers: SigningKey) -> None:
        """Put a newer terminal entry, signed by the feed key, into the back office's feed."""
        lines = self.home.feed_file.read_text().splitlines()
        line = seal_envelope([sign(entry, one) for one in (self.feed, *officers)])
        kept = [one for one in lines if _terminal_no(one) != entry.terminal_no]
        self.home.feed_file.write_text("".join(f"{one}\n" for one in [*kept, line]))

    def enrol(self, name: str, n: int, *, seq: int = 1, number: str | None = None) -> Person:
        """Enrol a person, or a person's new credential: two officers sign."""
        key = SigningKey.generate()
        now = int(time.time())
        enrolment = Enrolment(
            person=name,
            staff_no=f"A{n:05}",
            name=f"Person {n}",
            number=number or f"+4917139{20000 + n}",
            roles=("administrator",),
            valid_until=now + 86_400,
        )
        verified = self.admit(self_signed(enrolment, key, self.trust, seq=seq, now=now))
        return Person(
            name, enrolment.staff_no, enrolment.number, key, verified.envelope, verified.digest
        )

    def admit(self, own: str) -> VerifiedCredential:
        """Have two officers sign an enrolment (its envelope), and make it the one in force."""
        now = int(time.time())
        envelope = counter_signed(own, self.officers, self.trust, now=now)
        with self.database.write() as session:
            store_pending(session, read_enrolment(own, self.trust, now=now), now=now)
            assert activate(session, envelope, self.trust, now=now).active
        return read_enrolment(envelope, self.trust, now=now)

    def _made(self, n: int) -> Place:
        first, second = self.enrol(f"first-{n}", 2 * n), self.enrol(f"second-{n}", 2 * n + 1)
        sample = SampleTerminal(f"ATM-{n:04}", first.person, second.person, epp_bits=EPP_BITS)
        folder = make_sample_terminal(self.home, sample, now=int(time.time()))
        return Place(
            terminal_no=sample.terminal_no,
            folder=folder,
            device=read_device_key(folder),
            first=first,
            second=second,
            address=f"127.0.1.{n}",
        )

    # ---- the hands

    @contextmanager
    def rows(self, *, triggers: bool = False) -> Iterator[sqlite3.Connection]:
        """The database writer's hand: any SQL, committed at the end.

        Whoever can write to the file can drop its triggers too; with `triggers` they stay. They
        are put back afterwards, for the other attacks' sake.
        """
        with sqlhand.writing(self.url, triggers=triggers) as connection:
            yield connection

    def backup(self) -> sqlite3.Connection:
        """A copy of the whole database as it is now, to be put back by `restore`."""
        return sqlhand.backup(self.url)

    def restore(self, copy: sqlite3.Connection) -> None:
        """Put an old database back, under the running processes."""
        sqlhand.restore(self.url, copy)

    def codes(self, place: Place, request_id: str) -> tuple[str, str]:
        """SMS code 1 and the approval code of a request: what an attacker might have guessed.

        An attack that is to fail for another reason than a wrong code is given the right ones.
        """
        book = CodeBook(Settings.for_role("keys", home=self.home.path).secret("sms_secret"))
        first = place.first
        scope = CodeScope(request_id, first.person, first.number, place.epp().fingerprint)
        return book.sms_code(scope, 1), book.approval_code(scope)

    def http(self, place: Place | None = None) -> httpx.AsyncClient:
        """The caller's hand: a client from the place's own address, or from 127.0.0.1.

        What it is answered in error is kept in `error_bodies`. It is closed at the very end.
        """
        address = place.address if place else LOOPBACK
        client = httpx.AsyncClient(
            base_url=self.api,
            transport=httpx.AsyncHTTPTransport(local_address=address),
            timeout=30,
            trust_env=False,
            event_hooks={"response": [self._heard]},
        )
        self._clients.append(client)
        return client

    async def _heard(self, response: httpx.Response) -> None:
        if response.status_code >= 400:
            await response.aread()
            self.error_bodies.append(response.text)

    # ---- what the records say

    def value(self, sql: str, *values: object) -> object:
        """The one value that a query gives, or None."""
        with self.ledger.records() as connection:
            row = connection.execute(sql, values).fetchone()
        return None if row is None else row[0]

    def reasons(self, terminal_no: str) -> list[str]:
        """Every reason code in the audit trail about a terminal, in order."""
        with self.ledger.records() as connection:
            found = connection.execute(
                "SELECT reason FROM audit_events WHERE terminal_no = ? AND reason IS NOT NULL "
                "ORDER BY id",
                (terminal_no,),
            )
            return [reason for (reason,) in found]


@asynccontextmanager
async def attacked(folder: Path) -> AsyncIterator[Bench]:
    """Start everything; stop it at the end, the API first and Temporal last."""
    home, port = HomeFolder(folder / "home"), free_port()
    make_home(home, origin=f"http://localhost:{port}", audience=AUDIENCE, now=int(time.time()))
    for ring in (home.path / "secrets").rglob("keyfill_payload_keys"):
        # Whoever attacks over Temporal is given the strongest hand: one who can read and write
        # every payload, as if the payload keys had leaked.
        ring.unlink()
    home.logs.mkdir(mode=0o700)
    furnish(home)
    api = f"http://{LOOPBACK}:{port}"
    async with AsyncExitStack() as stack:
        server = await EmbeddedServer.start(_temporal(home))
        # A killed server's successor is the bench's own to stop; this one again is harmless.
        await stack.enter_async_context(server)
        client = await connect(server.target, identity="attacker")
        bench = Bench(home, api, server, client)
        stack.push_async_callback(bench.stop_all)
        child = bench.start("api", "api", KEYFILL_API_HOST=LOOPBACK, KEYFILL_API_PORT=str(port))
        await bench.start_worker("keys")
        await bench.start_worker("ceremony")

        probe = bench.http()

        async def ready() -> bool:
            try:
                return (await probe.get("/readyz")).is_success
            except httpx.TransportError:
                return False

        await child.wait_ready(ready, READY_WITHIN)
        yield bench


def _temporal(home: HomeFolder, port: int | None = None) -> EmbeddedOptions:
    log, database = home.logs / "temporal.log", home.path / "temporal.db"
    return EmbeddedOptions(log, database=database, port=port, headless=True)


def _terminal_no(envelope: str) -> str | None:
    payload = peek(envelope_statements(envelope)[0]).payload
    return payload.terminal_no if isinstance(payload, TerminalEntry) else None


TABLES: Final = tuple(sorted(METADATA.tables))
"""Every table of the records."""
