"""The embedded Temporal server: development's and the demo's default, a child of this process.

It has no authoriser: whoever reaches its port may do anything. Hence loopback only.
"""

import re
import socket
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final, Self

from engine.client import TemporalTarget, TemporalUnavailable, connect
from engine.processes import (
    READY_WITHIN,
    STOP_GRACE,
    ChildProcess,
    ProcessEnded,
    ProcessExit,
    ProcessSpec,
)
from engine.programs import temporal_path
from engine.searchattributes import registrations

LOOPBACK: Final = "127.0.0.1"

_TRIES: Final = 3
_TAKEN: Final = "address already in use"


class PortTaken(Exception):
    """Something else listens on a port that was asked for.

    Attributes:
        port: The TCP port on loopback.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        super().__init__(f"port {port} on {LOOPBACK} is taken")


@dataclass(frozen=True)
class EmbeddedOptions:
    """How to start the server.

    Attributes:
        log_file: Receives its output; the folder must exist.
        database: SQLite file that keeps workflows across restarts, made if missing, readable by
            its owner only; None keeps them in memory.
        port: gRPC port on loopback; None takes a free one.
        ui_port: The Web UI's port on loopback; None takes a free one.
        headless: True leaves the Web UI out; `ui_port` then has no meaning.
        ui_codec: Where the Web UI has payloads decoded, as browsers reach it; None for nowhere.
        namespace: Made at the first start, if it is not there.
        search_attributes: Name to type; Keyfill's own by default.
        log_level: debug, info, warn, error or never.
        executable: The Temporal command; found by `engine.programs.temporal_path` if None.
        ready_within: How long it may take to answer.
    """

    log_file: Path
    database: Path | None = None
    port: int | None = None
    ui_port: int | None = None
    headless: bool = False
    ui_codec: str | None = None
    namespace: str = "default"
    search_attributes: Mapping[str, str] = field(default_factory=registrations)
    log_level: str = "warn"
    executable: Path | None = None
    ready_within: timedelta = READY_WITHIN


class EmbeddedServer(AbstractAsyncContextManager["EmbeddedServer"]):
    """A running server of our own. Leaving it as a context manager stops it.

    Attributes:
        process: The child, to be watched or handed to a `ProcessGroup`.
        target: What clients connect to.
        ui_url: The Web UI, or None if headless.
    """

    def __init__(self, process: ChildProcess, target: TemporalTarget, ui_url: str | None) -> None:
        self.process = process
        self.target = target
        self.ui_url = ui_url

    @classmethod
    async def start(cls, options: EmbeddedOptions) -> Self:
        """Start a server and return when it answers and knows the namespace.

        A server that somebody else runs on the port is never mistaken for ours: ports are chosen
        free, and the child itself must have said that it serves the port.

        Raises:
            PortTaken: A port that was asked for is in use.
            ProgramMissing: There is no Temporal command.
            ProcessEnded: It ended at once; `log_tail` says why.
            ProcessNotReady: It did not answer within `ready_within`; it has been stopped.
        """
        for port in (options.port, options.ui_port):
            if port is not None and not _is_free(port):
                raise PortTaken(port)
        for _ in range(_TRIES - 1):
            try:
                return await cls._start_once(options)
            except ProcessEnded as error:
                # A port that was free a moment ago: others choose theirs the same way.
                if _TAKEN not in error.log_tail:
                    raise
        return await cls._start_once(options)

    @classmethod
    async def _start_once(cls, options: EmbeddedOptions) -> Self:
        port, ui_port = _ports(options)
        process = ChildProcess.start(
            ProcessSpec(
                name="temporal", command=_command(options, port, ui_port), log_file=options.log_file
            )
        )
        target = TemporalTarget(f"{LOOPBACK}:{port}", options.namespace)
        serving = re.compile(rf"Server:\s+\S+:{port}\b")

        async def serves() -> bool:
            if serving.search(process.output()) is None:
                return False
            try:
                await connect(target, wait=timedelta(0))
            except TemporalUnavailable:
                return False
            return True

        try:
            await process.wait_ready(serves, options.ready_within)
        except BaseException:
            await process.stop()
            raise
        return cls(process, target, None if options.headless else f"http://{LOOPBACK}:{ui_port}")

    async def stop(self, grace: timedelta = STOP_GRACE) -> ProcessExit:
        """Stop the server; workflows stay in the database file, if there is one."""
        return await self.process.stop(grace)

    async def __aexit__(self, *_: object) -> None:
        """Stop the server."""
        await self.stop()


def free_port(but: int | None = None) -> int:
    """A TCP port on loopback on which nothing listens now; another process may still take it.

    Args:
        but: A port not to choose although it is free: it is meant for something else.
    """
    while True:
        with socket.socket() as probe:
            probe.bind((LOOPBACK, 0))
            port: int = probe.getsockname()[1]
        if port != but:
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the server does it: a connection of an earlier run in TIME_WAIT is no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def _ports(options: EmbeddedOptions) -> tuple[int, int]:
    port = options.port or free_port(but=options.ui_port)
    return port, options.ui_port or free_port(but=port)


def _command(options: EmbeddedOptions, port: int, ui_port: int) -> list[str]:
    command = [str(options.executable or temporal_path()), "server", "start-dev"]
    command += ["--ip", LOOPBACK, "--port", str(port), "--namespace", options.namespace]
    command += ["--log-level", options.log_level]
    if options.headless:
        command += ["--headless"]
    else:
        # The newsfeed would be a call to the outside.
        command += ["--ui-ip", LOOPBACK, "--ui-port", str(ui_port), "--ui-disable-news-fetch"]
        if options.ui_codec is not None:
            command += ["--ui-codec-endpoint", options.ui_codec]
    if options.database is not None:
        command += ["--db-filename", str(options.database)]
    for name, kind in options.search_attributes.items():
        command += ["--search-attribute", f"{name}={kind}"]
    return command
