"""Calls: what the log and the trace know of an HTTP call, and nothing that its caller chose.

A trace begins here. What a caller says of one of its own (`traceparent`) is not believed: it would
choose our ids, and what is kept. Paths, queries, headers and bodies go neither into the log nor
into a trace; of a path, the route's template and a loading request's id do.
"""

import logging
import re
import secrets
import time
from http import HTTPStatus
from typing import Final

import structlog
from opentelemetry.context import Context
from opentelemetry.trace import NoOpTracer, SpanKind, StatusCode, Tracer
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from telemetry.fields import METHODS

_REQUEST: Final = re.compile(r"/(?:loading-requests|requests|reviews)/([A-Za-z0-9_-]{24})(?=/|\Z)")

_log = logging.getLogger("keyfill.api")


class Calls:
    """Gives each call an id and a span, binds them for its log lines, and logs its end.

    At `error` for 5xx, otherwise at `debug`: the audit trail and the metrics tell of all others.
    """

    def __init__(self, app: ASGIApp, tracer: Tracer | None = None) -> None:
        """Wrap an application."""
        self._app = app
        self._tracer = tracer or NoOpTracer()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        call_id, started = secrets.token_hex(8), time.perf_counter()
        named = _REQUEST.search(scope["path"])
        bound = {"call_id": call_id, "request_id": named[1]} if named else {"call_id": call_id}
        status = HTTPStatus.INTERNAL_SERVER_ERROR.value

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with (
            structlog.contextvars.bound_contextvars(**bound),
            self._tracer.start_as_current_span(
                "unmatched", context=Context(), kind=SpanKind.SERVER, record_exception=False
            ) as span,
        ):
            try:
                await self._app(scope, receive, note)
            finally:
                route = getattr(scope.get("route"), "path", "unmatched")
                # A method can be any text.
                method = scope["method"] if scope["method"] in METHODS else "any"
                span.update_name(f"{method} {route}")
                span.set_attributes({f"keyfill.{name}": value for name, value in bound.items()})
                span.set_attribute("http.request.method", method)
                span.set_attribute("http.route", route)
                span.set_attribute("http.response.status_code", status)
                at_fault = status >= HTTPStatus.INTERNAL_SERVER_ERROR
                if at_fault:
                    span.set_status(StatusCode.ERROR)
                _log.log(
                    logging.ERROR if at_fault else logging.DEBUG,
                    "%(method)s %(route)s was answered %(status)d",
                    {
                        "method": method,
                        "route": route,
                        "status": status,
                        "seconds": time.perf_counter() - started,
                    },
                )
