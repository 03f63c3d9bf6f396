"""HTTP servers that stand for somebody else in tests: on loopback, quiet, gone when closed."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from engine.embedded import LOOPBACK

_POLL_SECONDS: Final = 0.02
"""How soon `close` is noticed."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Of the many that call at once none is to wait for its connection to be tried again.
    request_queue_size = 128


class LoopbackServer:
    """Answers by a handler from when it is made, on a free port unless one is given.

    What the handler would log is not written: the tests' output stays clean.
    """

    def __init__(self, handler: type[BaseHTTPRequestHandler], port: int = 0) -> None:
        """Start listening; each connection has a thread of its own."""
        quiet = type(handler.__name__, (handler,), {"log_message": lambda *_: None})
        self._server = _Server((LOOPBACK, port), quiet)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_SECONDS,), daemon=True
        )
        self._thread.start()

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"http://{LOOPBACK}:{self._server.server_address[1]}"

    def close(self) -> None:
        """Refuse connections from now on; again is harmless."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
