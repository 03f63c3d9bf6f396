"""Keeps strangers away from the kiosk's pages: other hosts' names, and other pages' calls.

The kiosk listens on loopback, where every web page that its browser shows can send calls too. A
name that a stranger made point here (DNS rebinding) is in `Host`; a page that presses a button or
embeds a picture from here is in `Origin` and `Sec-Fetch-Site` (Fetch Metadata).
"""

from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    # With no-referrer a form's Origin would be null (Fetch, section 3.2.5).
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
SAFE: Final = frozenset({"GET", "HEAD"})
_OWN_SITE: Final = frozenset({"same-origin", "none"})


class KioskGuard:
    """Lets through what this kiosk's own pages call, and sets the headers of every answer."""

    def __init__(self, app: ASGIApp, *, host: str) -> None:
        """Wrap an application; `host` is the only name that it answers to, with the port."""
        self._app = app
        self._host = host
        self._origin = f"http://{host}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse with 421 for another host's name and 403 for another page's call."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refusal = self._refusal(scope["method"], Headers(scope=scope))
        await (refusal or self._app)(scope, receive, with_headers)

    def _refusal(self, method: str, headers: Headers) -> PlainTextResponse | None:
        if headers.getlist("host") != [self._host]:
            return PlainTextResponse(f"This is {self._origin}/ only.\n", 421)
        if not self._is_own(method, headers):
            return PlainTextResponse("Only this kiosk's own pages may call it.\n", 403)
        return None

    def _is_own(self, method: str, headers: Headers) -> bool:
        origins, site = headers.getlist("origin"), headers.get("sec-fetch-site")
        if method not in SAFE:
            return origins == [self._origin] and site in (None, "same-origin")
        if origins and origins != [self._origin]:
            return False
        # A link to here may be followed; nothing of here may be put into another page.
        followed = (
            headers.get("sec-fetch-mode") == "navigate"
            and headers.get("sec-fetch-dest") == "document"
        )
        return site is None or site in _OWN_SITE or followed
