"""Headers of every answer: nothing is stored on the way, nothing is run or framed."""

from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}
TRANSPORT: Final = {"Strict-Transport-Security": "max-age=31536000"}


class SecurityHeaders:
    """Adds the headers; a route may have set its own."""

    def __init__(self, app: ASGIApp, *, https: bool) -> None:
        """Wrap an application; `https` if its public origin is."""
        self._app = app
        self._headers = HEADERS | TRANSPORT if https else HEADERS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
                if headers.get("content-type", "").startswith("text/event-stream"):
                    # The framework sets `no-cache`, which lets a stream be stored.
                    headers["Cache-Control"] = HEADERS["Cache-Control"]
            await send(message)

        await self._app(scope, receive, with_headers)
