"""A relay on loopback: shares connections out among servers, as a bank's proxy does.

With a server's TLS context it also ends TLS for servers that speak none, with certificates on
both sides.
"""

import asyncio
import itertools
import ssl
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Self

from engine.embedded import LOOPBACK

CHUNK = 65_536


class Relay:
    """Gives each connection to the next server that takes it. An async context manager.

    `taken` counts the connections of each server's port.
    """

    def __init__(self, *ports: int, tls: ssl.SSLContext | None = None) -> None:
        """Name the servers' ports on loopback."""
        self.taken: Counter[int] = Counter()
        self._ports = ports
        self._turns = itertools.count()
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def __aenter__(self) -> Self:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, LOOPBACK, 0, ssl=self._tls)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop, and cut what is open."""
        assert self._server is not None
        self._server.close()
        for one in list(self._open):
            one.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            await self._relay(reader, writer)
        except asyncio.CancelledError:
            # The relay ends; streams would tell the log of a cancelled handler.
            return
        finally:
            self._open.discard(task)
            writer.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached = await self._reach()
        if reached is None:
            return
        there, back = reached
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_copy(reader, back))
                group.create_task(_copy(there, writer))
        finally:
            back.close()

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        turn = next(self._turns)
        for n in range(len(self._ports)):
            port = self._ports[(turn + n) % len(self._ports)]
            with suppress(OSError):
                opened = await asyncio.open_connection(LOOPBACK, port)
                self.taken[port] += 1
                return opened
        return None


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(CHUNK):
            sink.write(data)
            await sink.drain()
    with suppress(OSError):
        sink.close()


def mutual_tls(folder: Path) -> ssl.SSLContext:
    """The context of a Temporal server with the certificates that `keyfill make-secrets` made."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server-key.pem")
    context.load_verify_locations(folder / "temporal-ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["h2"])
    return context
