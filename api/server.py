"""The server: uvicorn's, which ends the streams first when it is told to stop."""

import socket

import uvicorn

from api.streams import Streams


class Server(uvicorn.Server):
    """Stops within moments of a signal, however many follow a loading request."""

    def __init__(self, config: uvicorn.Config, streams: Streams) -> None:
        """Serve `config`; `streams` are those of its application."""
        super().__init__(config)
        self._streams = streams

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop; uvicorn waits for the answers that are being given, and a stream never ends."""
        self._streams.stop()
        await super().shutdown(sockets)
