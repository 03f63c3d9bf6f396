"""Metrics for Prometheus: how many calls, how long, and what became of statements.

Labels come from closed sets (route templates, kinds, codes): nothing that a caller sends, and
nothing about a person or a terminal. Beside what this process counts stand the figures of the
records (`api.board`), which are the same in every API process.
"""

import time
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.board import FigureBoard
from ceremony.reasons import Reason
from telemetry.fields import METHODS

OTHER: Final = "other"
"""Stands for a reason that is no reason code."""


_REASONS: Final = frozenset(one.value for one in Reason)


class Metrics:
    """The API's metrics, in a registry of their own."""

    def __init__(self) -> None:
        """Make the metrics, all at zero."""
        self._registry = CollectorRegistry()
        self.calls = Counter(
            "keyfill_http_requests_total",
            "HTTP requests answered",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self.seconds = Histogram(
            "keyfill_http_request_seconds",
            "Seconds to answer, long polls included",
            ("route",),
            registry=self._registry,
        )
        self.statements = Counter(
            "keyfill_statements_total",
            "Statements received, by kind and outcome",
            ("kind", "outcome"),
            registry=self._registry,
        )
        self.unaudited = Counter(
            "keyfill_refusals_unaudited_total",
            "Refusals over the rate at which they go into the audit trail",
            registry=self._registry,
        )
        self._refusals = Counter(
            "keyfill_refusals_total",
            "Statements and acts refused, by the gravest reason",
            ("reason",),
            registry=self._registry,
        )
        for reason in (*Reason, OTHER):
            # From zero, or Prometheus would not see the first of a kind.
            self._refusals.labels(reason)
        self.board = FigureBoard()
        self._registry.register(self.board)
        ProcessCollector(registry=self._registry)

    def refused(self, reason: str) -> None:
        """Count a refusal at the API's edge, before any ceremony knows of it."""
        self._refusals.labels(reason if reason in _REASONS else OTHER).inc()

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)


class CallMetrics:
    """Counts and times every call by its route's template, never by its path."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        """Wrap an application."""
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, note)
        finally:
            route = _template(scope.get("route"))
            # A method can be any text, also on a path that is there.
            known = route != "unmatched" and scope["method"] in METHODS
            method = scope["method"] if known else "any"
            self._metrics.calls.labels(method, route, str(status)).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - started)


def _template(route: object) -> str:
    return getattr(route, "path", "unmatched")
