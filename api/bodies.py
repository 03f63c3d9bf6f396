"""No body is larger than 64 KiB: told by its length if it says so, else counted as it comes."""

from typing import Final

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import BodyTooLarge, document

MAX_BODY_BYTES: Final = 65_536


class BodyCap:
    """Refuses larger bodies with 413.

    FastAPI has a limit of its own, but answers in plain text where no route reads the body.
    """

    def __init__(self, app: ASGIApp, max_bytes: int = MAX_BODY_BYTES) -> None:
        """Wrap an application."""
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._announced(scope) > self._max_bytes:
            await document(BodyTooLarge())(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                # FastAPI turns any other exception raised while a body is read into a 400.
                raise HTTPException(BodyTooLarge.status)
            return message

        await self._app(scope, counted, send)

    def _announced(self, scope: Scope) -> int:
        text = Headers(scope=scope).get("content-length", "0")
        # The server refuses what is no number, or does not agree with the body.
        return int(text) if text.isascii() and text.isdigit() else 0
