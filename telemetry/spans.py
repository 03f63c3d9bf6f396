"""Spans: what of a trace leaves the process, whoever made it.

Checked where it goes out, so that no instrumentation can add anything: names and attributes by the
fields of the log (`telemetry.fields`), exceptions by their class, statuses without their texts.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Link, SpanContext, Status

from telemetry.fields import FORMS, checked

UNNAMED: Final = "unnamed"

ATTRIBUTES: Final[Mapping[str, str]] = {
    "http.request.method": "method",
    "http.route": "route",
    "http.response.status_code": "status",
    "keyfill.call_id": "call_id",
    "keyfill.request_id": "request_id",
    "temporalWorkflowID": "workflow_id",
    "temporalRunID": "run_id",
}
"""The attributes that go out, and whose form each has."""

_TEMPORAL: Final = re.compile(r"(?:[A-Z][a-z]{1,12}){2,4}:([A-Za-z_]{2,60})")
_CALL: Final = re.compile(r"([A-Za-z]{3,7}) (/\S*|unmatched)")
_CLASS: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,119}")


class CheckedExporter(SpanExporter):
    """Hands spans on without what they must not say."""

    def __init__(self, exporter: SpanExporter) -> None:
        """Wrap what sends them."""
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send them."""
        return self._exporter.export([harmless(span) for span in spans])

    def shutdown(self) -> None:
        """Send no more."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what is held back."""
        return self._exporter.force_flush(timeout_millis)


def harmless(span: ReadableSpan) -> ReadableSpan:
    """The span as it goes out."""
    told = span.attributes or {}
    return ReadableSpan(
        name=_name(span.name),
        context=_ids(span.get_span_context()),
        parent=_ids(span.parent),
        resource=span.resource,
        attributes={
            name: checked(field, told[name]) for name, field in ATTRIBUTES.items() if name in told
        },
        events=[_event(one) for one in span.events if one.name == "exception"],
        links=[Link(ids) for one in span.links if (ids := _ids(one.context)) is not None],
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _name(name: str) -> str:
    """The name, if it is a method and a route, or what Temporal did to one of our names."""
    if call := _CALL.fullmatch(name):
        fits = FORMS["method"](call[1]) and FORMS["route"](call[2])
        return name if fits else UNNAMED
    if did := _TEMPORAL.fullmatch(name):
        return name if FORMS["workflow"](did[1]) or FORMS["activity"](did[1]) else UNNAMED
    return UNNAMED


def _event(event: Event) -> Event:
    kind = (event.attributes or {}).get("exception.type")
    known = isinstance(kind, str) and _CLASS.fullmatch(kind)
    return Event("exception", {"exception.type": str(kind) if known else UNNAMED}, event.timestamp)


def _ids(context: SpanContext | None) -> SpanContext | None:
    """The ids of a span, without what others may have put into its state."""
    if context is None:
        return None
    return SpanContext(context.trace_id, context.span_id, context.is_remote, context.trace_flags)
