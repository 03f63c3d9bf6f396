"""The processes of a load test, arranged as in production, on one machine.

As `tests.support.arrangement`, but with nothing of Python's between them: terminals and phones
call the APIs in turn instead of a proxy, and Temporal's development server is reached on loopback
without TLS. PostgreSQL writes to the disk as it does in production.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import psycopg

from bench.loadcast import Part, install, people
from bench.loadphones import Phones
from engine.embedded import LOOPBACK, EmbeddedOptions, EmbeddedServer, free_port
from engine.processes import ChildProcess, ProcessGroup
from records import migration
from records.database import Database
from tests.support.arrangement import (
    Arrangement,
    answers,
    complete_secrets,
    production_home,
    says,
)
from tests.support.postgresql import TestServer

Engine = Literal["postgresql", "sqlite"]
_QUICK: Final = ("fsync", "synchronous_commit", "full_page_writes")
"""What `TestServer` turns off."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How many processes of what, on which database."""

    apis: int = 2
    workers: int = 2
    engine: Engine = "postgresql"

    def __str__(self) -> str:
        """As it is told to people."""
        return f"{self.apis} API + {self.workers} workers, {self.engine}"


@dataclass
class System(Arrangement):
    """What runs; made by `system`. `roots` are the processes whose costs are counted, by name."""

    engine: Engine = "postgresql"
    phones: Phones = field(default_factory=Phones)
    servers: list[str] = field(default_factory=list)
    roots: dict[str, int] = field(default_factory=dict)

    def environment(self, role: str) -> dict[str, str]:
        """Production's settings; SQLite serves in development only."""
        inherited = super().environment(role)
        chosen = {n: v for n, v in inherited.items() if not n.startswith("TEMPORAL_TLS")}
        if self.engine == "sqlite":
            chosen["KEYFILL_ENVIRONMENT"] = "development"
        return chosen


@asynccontextmanager
async def system(folder: Path, plan: Plan, parts: list[Part]) -> AsyncIterator[System]:
    """Make the terminals and people, start everything, and wait until it serves."""
    home, phones = production_home(folder / "home"), Phones()
    install(home, parts)
    async with AsyncExitStack() as stack:
        roots: dict[str, int] = {}
        url = _postgresql(stack, roots) if plan.engine == "postgresql" else _sqlite(home.path)
        temporal = await stack.enter_async_context(
            await EmbeddedServer.start(
                EmbeddedOptions(home.logs / "temporal.log", headless=True, search_attributes={})
            )
        )
        phones.open()
        stack.callback(phones.close)
        complete_secrets(home, url, phones)
        database = Database(url)
        stack.callback(database.close)
        made = System(
            home,
            phones,
            temporal,
            temporal.target.address,
            database,
            engine=plan.engine,
            phones=phones,
            roots=roots,
        )
        roots["temporal"] = temporal.process.pid
        for who in people(parts):
            made.enrol(who)
        await made.keyfill("prepare-temporal", "--keep-days", "30")
        group = await stack.enter_async_context(ProcessGroup())
        await _start(made, group, plan)
        await made.keyfill("terminals", "sync", "--json")
        yield made


async def _start(made: System, group: ProcessGroup, plan: Plan) -> None:
    workers = [made.start("keys", "keys", "worker", "--role", "keys")]
    for n in range(1, plan.workers + 1):
        workers.append(made.start(f"ceremony-{n}", "ceremony", "worker", "--role", "ceremony"))
    ports = [free_port() for _ in range(plan.apis)]
    apis: list[ChildProcess] = []
    for n, port in enumerate(ports, 1):
        apis.append(made.start(f"api-{n}", "api", "api", KEYFILL_API_PORT=str(port)))
        made.servers.append(f"http://{LOOPBACK}:{port}")
    for one in (*workers, *apis):
        group.add(one)
        made.roots[one.spec.name] = one.pid
    for one in workers:
        await one.wait_ready(says(one, "worker ready"))
    for one, server in zip(apis, made.servers, strict=True):
        await one.wait_ready(answers(f"{server}/readyz"))
    await asyncio.sleep(0)


def _postgresql(stack: AsyncExitStack, roots: dict[str, int]) -> str:
    server = TestServer()
    stack.callback(server.stop)
    url = server.make()
    with psycopg.connect(url.replace("+psycopg", "", 1), autocommit=True) as connection:
        for name in _QUICK:
            connection.execute(f"ALTER SYSTEM RESET {name}".encode())
        connection.execute("SELECT pg_reload_conf()")
    roots["postgresql"] = server.pid
    return url


def _sqlite(home: Path) -> str:
    url = f"sqlite:///{home.resolve() / 'keyfill.db'}"
    migration.upgrade(url)
    return url
