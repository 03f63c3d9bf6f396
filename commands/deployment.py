"""A whole deployment on this machine: Temporal, key worker, ceremony worker, API, a process each.

Each child reads the secrets of its own role only: its folder, and of the environment what it may
hold. Temporal comes first and goes last; the API is stopped before the workers that answer it.
"""

import os
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from types import MappingProxyType
from typing import Final, Self
from urllib.parse import urlsplit

import httpx

from commands import programs
from commands.homefolder import HomeFolder
from commands.running import Ports, Running
from engine.client import TemporalTarget, connect
from engine.embedded import LOOPBACK, EmbeddedOptions, EmbeddedServer, free_port
from engine.processes import ChildProcess, Probe, ProcessEnded, ProcessGroup, ProcessSpec
from engine.programs import external_address
from engine.searchattributes import register_missing
from engine.transport import transport_to
from holdings import HELD_BY, HSM_HELD, ROTATED, SM2_HELD, Role
from records import migration
from settings import Settings

WORKERS: Final[tuple[Role, ...]] = ("keys", "ceremony")
WORKER_READY: Final = "worker ready"
"""What `worker.py` logs when it takes work."""

_ROLE_SECRETS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "api": frozenset({*HELD_BY["api"], "twilio_auth_token", "oidc_client_secret"}),
        "ceremony": frozenset(
            {*HELD_BY["ceremony"], "outbox_key", "twilio_auth_token", "backoffice_token"}
        ),
        "keys": frozenset({*HELD_BY["keys"], *ROTATED, *SM2_HELD, *HSM_HELD, "export_key"}),
        "codec": frozenset(HELD_BY["codec"]),
    }
)
_NOBODYS: Final = frozenset({"pkcs11_so_pin"})
"""What people type, into `keyfill hsm` alone."""
_ALL_SECRETS: Final = _NOBODYS.union(*_ROLE_SECRETS.values())


class Deployment:
    """A running deployment. Use it as an async context manager; leaving it stops everything."""

    def __init__(
        self, home: HomeFolder, ports: Ports, tell: Callable[[str], None] = lambda _: None
    ) -> None:
        """Name the home and the ports; nothing is started yet. `tell` hears of every step."""
        self._tell = tell
        self._home = home
        self._ports = ports
        self._stack = AsyncExitStack()
        self._group = ProcessGroup()
        self._running: Running | None = None

    async def __aenter__(self) -> Self:
        """Start everything, and return when all of it is ready.

        Raises:
            PortTaken, ProgramMissing, ProcessEnded, ProcessNotReady, TemporalUnavailable,
            DatabaseUnavailable, HomeError, SettingsError, TransportRefused: what went wrong; all is
                stopped again.
        """
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._group)
            self._running = await self._start()
            self._running.write(self._home.path)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop everything, in reverse order."""
        await self._stack.aclose()

    @property
    def running(self) -> Running:
        """The addresses."""
        if self._running is None:
            raise RuntimeError("the deployment is not running")
        return self._running

    async def first_exit(self) -> ProcessEnded:
        """Wait until a process ends that should have stayed."""
        return await self._group.first_exit()

    async def _start(self) -> Running:
        self._home.logs.mkdir(mode=0o700, exist_ok=True)
        migration.upgrade(Settings.unchecked(home=self._home.path).served_database)
        self._tell("database migrated")
        codec_port = self._codec_port()
        codec = None if codec_port is None else f"http://{LOOPBACK}:{codec_port}"
        temporal, ui = await self._temporal(codec)
        self._tell(f"Temporal answers at {temporal}")
        environment = {
            "KEYFILL_HOME": str(self._home.path.absolute()),
            "KEYFILL_TEMPORAL_ADDRESS": temporal,
            "KEYFILL_TEMPORAL_UI": ui or Settings(home=self._home.path).temporal_ui,
        }
        # They load for seconds and wait for what they need: all at once is soonest.
        workers = [self._worker(role, environment) for role in WORKERS]
        api, url = self._api(environment)
        server = self._codec(environment, codec_port)
        for child in workers:
            await child.wait_ready(_says_ready(child))
            self._tell(f"{child.spec.name} takes work")
        await self._answers(api, f"{url}/readyz")
        self._tell(f"API is ready at {url}")
        if server is not None:
            await self._answers(server, f"{codec}/healthz")
        return Running(pid=os.getpid(), api=url, temporal=temporal, temporal_ui=ui, codec=codec)

    def _codec_port(self) -> int | None:
        """A port for the codec server; None where there is nothing for it to do here.

        In development, as long as the embedded server's UI is used and payloads are sealed.
        """
        settings = Settings.for_role("codec", home=self._home.path)
        wanted = settings.environment == "development" and settings.payload_ring is not None
        taken = self._ports.api or _port_of(self._home.trust().origin)
        return free_port(but=taken) if wanted and external_address() is None else None

    def _codec(self, environment: Mapping[str, str], port: int | None) -> ChildProcess | None:
        if port is None:
            return None
        # The embedded UI signs nobody in, and sends no session across ports.
        listening = {
            "KEYFILL_CODEC_HOST": LOOPBACK,
            "KEYFILL_CODEC_PORT": str(port),
            "KEYFILL_CODEC_READERS": "anyone",
        }
        command = ["codec-server"]
        return self._started(
            self._spec("codec-server", command, "codec", {**environment, **listening})
        )

    async def _temporal(self, codec: str | None) -> tuple[str, str | None]:
        settings = Settings(home=self._home.path)
        namespace = settings.temporal_namespace
        external = external_address()
        if external is not None:
            transport = transport_to(external, required=settings.environment != "development")
            await register_missing(await connect(TemporalTarget(external, namespace, transport)))
            return external, None
        server = await EmbeddedServer.start(
            EmbeddedOptions(
                log_file=self._home.logs / "temporal.log",
                database=self._home.path / "temporal.db",
                port=self._ports.temporal,
                ui_port=self._ports.temporal_ui,
                ui_codec=codec,
                namespace=namespace,
            )
        )
        self._group.add(server.process)
        return server.target.address, server.ui_url

    def _worker(self, role: Role, environment: Mapping[str, str]) -> ChildProcess:
        spec = self._spec(f"{role}-worker", ["worker", "--role", role], role, environment)
        return self._started(spec)

    def _api(self, environment: Mapping[str, str]) -> tuple[ChildProcess, str]:
        port = self._ports.api or _port_of(self._home.trust().origin) or free_port()
        listening = {"KEYFILL_API_HOST": LOOPBACK, "KEYFILL_API_PORT": str(port)}
        child = self._started(self._spec("api", ["api"], "api", {**environment, **listening}))
        return child, f"http://{LOOPBACK}:{port}"

    def _started(self, spec: ProcessSpec) -> ChildProcess:
        child = ChildProcess.start(spec)
        self._group.add(child)
        return child

    async def _answers(self, child: ChildProcess, url: str) -> None:
        async with httpx.AsyncClient(timeout=2, trust_env=False) as client:

            async def ready() -> bool:
                try:
                    return (await client.get(url)).is_success
                except httpx.TransportError:
                    return False

            await child.wait_ready(ready)

    def _spec(
        self, name: str, arguments: list[str], role: str, environment: Mapping[str, str]
    ) -> ProcessSpec:
        return ProcessSpec(
            name=name,
            command=[*programs.KEYFILL, *arguments],
            log_file=self._home.logs / f"{name}.log",
            environment={**role_environment(role), **environment},
        )


def _says_ready(child: ChildProcess) -> Probe:
    async def ready() -> bool:
        return WORKER_READY in child.output()

    return ready


def role_environment(role: str) -> dict[str, str]:
    """This process's environment without the secrets that a role does not hold."""
    foreign = {f"KEYFILL_{name}".upper() for name in _ALL_SECRETS - _ROLE_SECRETS[role]}
    return {
        name: value for name, value in programs.environment().items() if name.upper() not in foreign
    }


def _port_of(origin: str) -> int | None:
    """The port of an origin on this machine; None for another's, behind some proxy."""
    parts = urlsplit(origin)
    return parts.port if parts.hostname in ("localhost", LOOPBACK) else None
