"""The kiosk's process: a socket on loopback, the pages behind it, and the load beside them."""

import signal
import socket
from collections.abc import Callable
from contextlib import closing
from types import FrameType
from typing import Final

import uvicorn

from terminal.web.app import kiosk_app
from terminal.web.background import BackgroundLoad
from terminal.web.bell import Bell

LOOPBACK: Final = "127.0.0.1"
_BACKLOG: Final = 64
_DRAIN_SECONDS: Final = 2


class PortTaken(Exception):
    """Another process listens on the port."""


class _Server(uvicorn.Server):
    """Ends the streams of updates before it waits for open calls."""

    def __init__(self, config: uvicorn.Config, bell: Bell) -> None:
        super().__init__(config)
        self._bell = bell

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._bell.close()
        await super().shutdown(sockets)


def serve(
    background: BackgroundLoad, bell: Bell, *, port: int, ready: Callable[[str], None]
) -> None:
    """Serve the screen until SIGTERM or SIGINT; 0 takes a free port. `ready` is told the address.

    A load on record goes on at once.

    Raises:
        PortTaken: if the port is in use.
        LoadStateDamaged: if the record of the load cannot be read.
    """
    with closing(listening(port)) as ear:
        host = f"{LOOPBACK}:{ear.getsockname()[1]}"
        config = uvicorn.Config(
            kiosk_app(background, bell, host=host),
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_DRAIN_SECONDS,
        )
        background.resume()
        for number in (signal.SIGINT, signal.SIGTERM):
            # uvicorn raises the signal once more when it has drained.
            signal.signal(number, _leave)
        try:
            ready(f"http://{host}/")
            _Server(config, bell).run(sockets=[ear])
        finally:
            background.close()


def _leave(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise SystemExit(0)


def listening(port: int) -> socket.socket:
    """Listen on a port of 127.0.0.1; 0 takes a free one.

    Raises:
        PortTaken: if the port is in use.
    """
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # A killed kiosk comes back on its port at once.
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((LOOPBACK, port))
    except OSError:
        made.close()
        raise PortTaken(f"port {port} of {LOOPBACK} is in use") from None
    made.listen(_BACKLOG)
    return made
