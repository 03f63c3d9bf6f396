"""Traces: one from an HTTP call over the workflow to its activities, sent by OTLP/HTTP.

Off unless an endpoint is set. The context crosses Temporal in a header that the payload codec does
not seal: it holds two ids and nothing else. Whoever can write to Temporal can write that header, so
what is not of its form is as if it were not there; a workflow never fails by it.
"""

import json
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import NoOpTracer, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from temporalio.api.common.v1 import Payload
from temporalio.contrib.opentelemetry import TracingInterceptor, TracingWorkflowInboundInterceptor
from temporalio.converter import PayloadConverter
from temporalio.worker import WorkflowInboundInterceptor, WorkflowInterceptorClassInput

from telemetry.spans import CheckedExporter

OFF: Final = "off"
EXPORT_SECONDS: Final = 5.0
"""One batch may take so long; it is sent from a thread of its own, and nobody waits for it."""
CLOSE_SECONDS: Final = 2.0
"""At its end a process waits so long for the last batch."""
_TRACEPARENT: Final = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_LONGEST_HEADER: Final = 256


class TraceHeader(PayloadConverter):
    """The header's payload: `{"traceparent": …}` (W3C Trace Context) as JSON.

    Whatever else is in a header reads as an empty context, and never raises.
    """

    def to_payloads(self, values: Sequence[Any]) -> list[Payload]:
        """Write contexts."""
        return [
            Payload(
                metadata={"encoding": b"json/plain"},
                data=json.dumps({"traceparent": one["traceparent"]}).encode(),
            )
            for one in values
        ]

    def from_payloads(
        self, payloads: Sequence[Payload], type_hints: list[type] | None = None
    ) -> list[Any]:
        """Read contexts; an empty one for each that is none."""
        del type_hints
        return [_context(one.data) for one in payloads]


class WorkflowTracing(TracingWorkflowInboundInterceptor):
    """The SDK's, with our header."""

    def __init__(self, next: WorkflowInboundInterceptor) -> None:  # noqa: A002 - the SDK's name
        """Wrap the next."""
        super().__init__(next)
        self.payload_converter = TraceHeader()
        self.text_map_propagator = TraceContextTextMapPropagator()


class Tracing(TracingInterceptor):
    """The SDK's interceptor of clients and workers, with our header and without baggage."""

    def __init__(self, tracer: Tracer) -> None:
        """Make spans with `tracer`."""
        super().__init__(tracer)
        self.payload_converter = TraceHeader()
        self.text_map_propagator = TraceContextTextMapPropagator()

    def workflow_interceptor_class(
        self,
        input: WorkflowInterceptorClassInput,  # noqa: A002 - the SDK's name
    ) -> type[TracingWorkflowInboundInterceptor]:
        """Have workflows traced by ours."""
        super().workflow_interceptor_class(input)
        return WorkflowTracing


@dataclass(frozen=True)
class Traces:
    """What makes this process's spans and sends them.

    Attributes:
        tracer: Makes spans.
        interceptors: For the connection to Temporal.
    """

    tracer: Tracer
    interceptors: tuple[Tracing, ...] = ()
    provider: TracerProvider | None = None

    @classmethod
    def of(cls, role: str, endpoint: str, ratio: float) -> "Traces":
        """Those of a process; none if the endpoint is `off`.

        Args:
            role: Names the service: `keyfill-<role>`.
            endpoint: The full URL of an OTLP/HTTP collector's traces; empty or `off` for none.
            ratio: Which part of the traces that begin here is kept, 0 to 1.
        """
        if endpoint in ("", OFF):
            return cls(NoOpTracer())
        exporter = OTLPSpanExporter(endpoint, timeout=EXPORT_SECONDS)
        return cls.by(role, BatchSpanProcessor(CheckedExporter(exporter)), ratio)

    @classmethod
    def by(cls, role: str, processor: SpanProcessor, ratio: float = 1.0) -> "Traces":
        """Those of a process through `processor`."""
        # Never the global provider: what else is instrumented would send its spans with ours.
        provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(ratio)),
            resource=Resource({"service.name": f"keyfill-{role}"}),
            shutdown_on_exit=False,
        )
        provider.add_span_processor(processor)
        tracer = provider.get_tracer("keyfill")
        return cls(tracer, (Tracing(tracer),), provider)

    def close(self) -> None:
        """Send what is left, for two seconds at most: a collector that hangs keeps nobody."""
        if self.provider is None:
            return
        closing = threading.Thread(
            target=self.provider.shutdown, name="keyfill-traces", daemon=True
        )
        closing.start()
        closing.join(CLOSE_SECONDS)


def _context(data: bytes) -> dict[str, str]:
    if len(data) > _LONGEST_HEADER:
        return {}
    try:
        read = json.loads(data)
    except ValueError:
        return {}
    parent = read.get("traceparent") if isinstance(read, dict) else None
    if not isinstance(parent, str) or not _TRACEPARENT.fullmatch(parent):
        return {}
    return {"traceparent": parent}
