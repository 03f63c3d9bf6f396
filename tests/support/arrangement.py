"""Keyfill as docker-compose.yml arranges it, with processes by hand in place of containers.

Production settings, the secrets of `keyfill make-secrets`, PostgreSQL, sealed payloads, Temporal
behind mutual TLS, two APIs behind a proxy, two ceremony workers, a key worker. Not as in
production: all on one machine, Temporal's development server, an SMS provider of our own, a
self-signed KDH, people whose keys are in files, and no codec server.
"""

import asyncio
import os
import re
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from ceremony.keys import SigningKey
from ceremony.registry import read_enrolment
from commands import programs
from commands.credentials import Enrolment, activate, counter_signed, self_signed, store_pending
from commands.homefolder import HomeFolder, read_key, write_key
from commands.init import make_home
from commands.makesecrets import DATABASE_USERS, ProductionSecrets
from commands.samples import SampleTerminal, make_sample_terminal
from commands.scenario import Colleague
from engine.embedded import LOOPBACK, EmbeddedOptions, EmbeddedServer, free_port
from engine.processes import ChildProcess, ProcessGroup, ProcessSpec
from keymanagement.journal import Journal
from keymanagement.kdh import certify_development_kdh
from records.database import Database
from tests.support.phonecompany import PhoneCompany
from tests.support.postgresql import server as postgresql
from tests.support.relay import Relay, mutual_tls

AUDIENCE: Final = "keyfill-arrangement"
ORIGIN: Final = "https://keyfill.bank.example"
NAMESPACE: Final = "keyfill"
EPP_BITS: Final = 2048
PATIENCE: Final = 40.0


@dataclass
class Arrangement:
    """What runs; made by `arrangement`."""

    home: HomeFolder
    company: PhoneCompany
    temporal: EmbeddedServer
    address: str
    database: Database
    processes: dict[str, ChildProcess] = field(default_factory=dict)
    api: Relay | None = None

    @property
    def server(self) -> str:
        """Where terminals and phones find the API: at the proxy."""
        assert self.api is not None
        return f"http://{LOOPBACK}:{self.api.port}"

    def environment(self, role: str) -> dict[str, str]:
        """A process's environment, as docker-compose.yml gives it: nothing in it is secret."""
        secrets = self.home.path / "secrets" / role
        inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        settings = {
            name: value for name, value in self.company.settings.items() if "TOKEN" not in name
        }
        return {
            **inherited,
            **settings,
            "PYTHONPATH": str(programs.ROOT),
            "KEYFILL_ENVIRONMENT": "production",
            # Its people sign with keys in files.
            "KEYFILL_APPROVAL_KEYS": "any",
            # And load keys in the minute in which they are enrolled.
            "KEYFILL_COOLING_OFF_AT_LEAST": "0",
            "KEYFILL_HOME": str(self.home.path),
            "KEYFILL_TEMPORAL_ADDRESS": self.address,
            "KEYFILL_TEMPORAL_NAMESPACE": NAMESPACE,
            "KEYFILL_TEMPORAL_UI": "https://temporal.keyfill.bank.example",
            "TEMPORAL_TLS": "true",
            "TEMPORAL_TLS_SERVER_CA_CERT_PATH": str(secrets / "temporal-ca.pem"),
            "TEMPORAL_TLS_CLIENT_CERT_PATH": str(secrets / "temporal-client.pem"),
            "TEMPORAL_TLS_CLIENT_KEY_PATH": str(secrets / "temporal-client-key.pem"),
        }

    def start(self, name: str, role: str, *command: str, **further: str) -> ChildProcess:
        """Start a process of a role."""
        child = ChildProcess.start(
            ProcessSpec(
                name=name,
                command=[*programs.KEYFILL, *command],
                log_file=self.home.logs / f"{name}.log",
                environment={**self.environment(role), **further},
            )
        )
        self.processes[name] = child
        return child

    async def keyfill(self, *arguments: str) -> str:
        """Run a command as the operator does; gives what it printed."""
        done = await asyncio.to_thread(
            lambda: subprocess.run(
                [*programs.KEYFILL, *arguments],
                env=self.environment("ceremony"),
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
        )
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    async def kill(self, name: str) -> None:
        """Kill a process, as the loss of its machine would; nobody starts it again."""
        os.kill(self.processes[name].pid, signal.SIGKILL)
        await self.processes[name].wait()

    def enrol(self, who: Colleague) -> None:
        """Enrol an administrator with a key in a file, signed by both officers."""
        key, trust, now = SigningKey.generate(), self.home.trust(), int(time.time())
        enrolment = Enrolment(
            person=who.person,
            staff_no=who.staff_no,
            name=who.name,
            number=who.number,
            roles=("administrator",),
            valid_until=now + 86_400,
        )
        own = self_signed(enrolment, key, trust, seq=1, now=now)
        officers = [read_key(one) for one in sorted(self.home.officers.glob("*.jwk"))]
        envelope = counter_signed(own, officers, trust, now=now)
        with self.database.write() as session:
            store_pending(session, read_enrolment(own, trust, now=now), now=now)
            assert activate(session, envelope, trust, now=now).active
        write_key(self.home.administrators / f"{who.person}.jwk", key)

    def install(self, terminal_no: str, first: Colleague, second: Colleague) -> Path:
        """Make a terminal and name it in the back office's feed; gives its folder."""
        sample = SampleTerminal(terminal_no, first.person, second.person, epp_bits=EPP_BITS)
        return make_sample_terminal(self.home, sample, now=int(time.time()))

    async def read(self, who: Colleague, terminal_no: str, pattern: re.Pattern[str]) -> str:
        """Wait for an SMS to someone about a terminal, as `commands.scenario.Outbox` does."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for text in self.company.texts(who.number, f"terminal {terminal_no},"):
                if found := pattern.search(text):
                    return found[1]
            await asyncio.sleep(0.05)
        raise AssertionError(f"no SMS {pattern.pattern!r} for {terminal_no}")


@asynccontextmanager
async def arrangement(folder: Path, ceremony_workers: int = 2) -> AsyncIterator[Arrangement]:
    """Start everything, and wait until it serves; stop it at the end."""
    home, database_url = production_home(folder / "home"), postgresql().make()
    async with AsyncExitStack() as stack:
        temporal = await stack.enter_async_context(
            await EmbeddedServer.start(
                EmbeddedOptions(home.logs / "temporal.log", headless=True, search_attributes={})
            )
        )
        plain = int(temporal.target.address.rpartition(":")[2])
        tls = mutual_tls(home.path / "secrets" / "temporal")
        front = await stack.enter_async_context(Relay(plain, tls=tls))
        company = PhoneCompany()
        company.open()
        stack.callback(company.close)
        complete_secrets(home, database_url, company)
        database = Database(database_url)
        stack.callback(database.close)
        made = Arrangement(home, company, temporal, f"{LOOPBACK}:{front.port}", database)
        await made.keyfill("prepare-temporal", "--keep-days", "30")
        group = await stack.enter_async_context(ProcessGroup())
        await _start(made, group, stack, ceremony_workers)
        yield made


async def _start(
    made: Arrangement, group: ProcessGroup, stack: AsyncExitStack, ceremony_workers: int
) -> None:
    workers = [made.start("keys", "keys", "worker", "--role", "keys")]
    for n in range(1, ceremony_workers + 1):
        name = f"ceremony-{n}"
        beats = {"KEYFILL_HEARTBEAT_FILE": str(made.home.path / name)}
        workers.append(made.start(name, "ceremony", "worker", "--role", "ceremony", **beats))
    ports = {f"api-{n}": free_port() for n in (1, 2)}
    servers = {
        made.start(name, "api", "api", KEYFILL_API_PORT=str(port)): f"{port}/readyz"
        for name, port in ports.items()
    }
    for one in (*workers, *servers):
        group.add(one)
    for worker in workers:
        await worker.wait_ready(says(worker, "worker ready"))
    for one, place in servers.items():
        await one.wait_ready(answers(f"http://{LOOPBACK}:{place}"))
    made.api = await stack.enter_async_context(Relay(*ports.values()))


def says(child: ChildProcess, words: str) -> Any:
    """Whether a process has written these words, as its probe of readiness."""

    async def ready() -> bool:
        return words in child.output()

    return ready


def answers(url: str) -> Any:
    """Whether a URL answers with success, as a probe of readiness."""

    async def ready() -> bool:
        try:
            async with httpx.AsyncClient(timeout=2, trust_env=False) as client:
                return (await client.get(url)).is_success
        except httpx.TransportError:
            return False

    return ready


def production_home(path: Path) -> HomeFolder:
    """A home with production's secrets and origin, and development's people and terminals."""
    home, now = HomeFolder(path), int(time.time())
    make_home(home, origin=ORIGIN, audience=AUDIENCE, now=now)
    home.logs.mkdir(mode=0o700)
    home.administrators.mkdir(mode=0o700, exist_ok=True)
    (path / "secrets").rename(path / "development-secrets")
    home.journal.unlink()
    ProductionSecrets.make(
        now=now, database_host="postgresql", temporal_hosts=["temporal", LOOPBACK]
    ).write(path / "secrets")
    key = load_pem_private_key((path / "secrets/keys/keyfill_kdh_key").read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    certificate = certify_development_kdh(key, now=now).public_bytes(Encoding.PEM)
    (path / "secrets/keys/keyfill_kdh_certificate").write_bytes(certificate)
    home.kdh_certificate.write_bytes(certificate)
    kek = bytes.fromhex((path / "secrets/keys/keyfill_kek").read_text())
    Journal(home.journal, kek, create=True).close()
    return home


def complete_secrets(home: HomeFolder, database_url: str, company: PhoneCompany) -> None:
    """Put in what others give: the SMS provider's token, and here the address of the database."""
    for role in ("api", "ceremony"):
        token = home.path / "secrets" / role / "keyfill_twilio_auth_token"
        token.write_text(company.settings["KEYFILL_TWILIO_AUTH_TOKEN"])
    for role in DATABASE_USERS:
        path = home.path / "secrets" / role / "keyfill_database_url"
        path.unlink()
        path.write_text(database_url)
