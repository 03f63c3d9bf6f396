"""An application behind a real server, in this event loop: what streams cannot do in process."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI

from api.server import Server
from engine.embedded import LOOPBACK


class _Quiet(Server):
    """A server that leaves the test process's signals alone."""

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        await self._serve(sockets)


@asynccontextmanager
async def served(app: FastAPI, port: int = 0) -> AsyncIterator[str]:
    """Serve an application on a port of the loopback interface, a free one unless named.

    Gives its base URL.
    """
    listening = socket.socket()
    listening.bind((LOOPBACK, port))
    config = uvicorn.Config(app, lifespan="off", log_level="warning", timeout_graceful_shutdown=20)
    server = _Quiet(config, app.state.parts.streams)
    running = asyncio.create_task(server.serve([listening]))
    try:
        while not server.started:  # noqa: ASYNC110 - uvicorn tells by a flag only
            await asyncio.sleep(0.01)
        yield f"http://{LOOPBACK}:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        await running
