"""What leaves in a span, and what becomes of traces when there is nobody to take them."""

import logging
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final

import pytest
from opentelemetry import context, trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NoOpTracer, SpanKind, StatusCode
from temporalio.api.common.v1 import Payload

from telemetry.spans import CheckedExporter
from telemetry.traces import CLOSE_SECONDS, TraceHeader, Traces

SECRET: Final = "417290 of +4917139299999"
REQUEST: Final = "aBcDeFgHiJkLmNoPqRsTuVwX"
PARENT: Final = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"


@pytest.fixture
def sent() -> InMemorySpanExporter:
    """What was sent."""
    return InMemorySpanExporter()


@pytest.fixture
def traces(sent: InMemorySpanExporter) -> Traces:
    """Traces that go into memory."""
    return Traces.by("test", SimpleSpanProcessor(CheckedExporter(sent)))


@pytest.fixture
def closed_port() -> int:
    """A port where nobody listens."""
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """A port where somebody takes connections and never answers."""
    with closing(socket.create_server(("127.0.0.1", 0))) as deaf:
        yield deaf.getsockname()[1]


def test_a_span_leaves_without_what_it_must_not_say(
    traces: Traces, sent: InMemorySpanExporter
) -> None:
    """Whoever made it: name, attributes, events, exceptions, links, status, state of its parent."""
    state = trace.TraceState([("who", "417290")])
    told = trace.SpanContext(1, 2, True, trace.TraceFlags(1), state)
    parent = trace.set_span_in_context(trace.NonRecordingSpan(told), context.Context())
    link = trace.Link(told, {"code": SECRET})
    with (
        pytest.raises(ValueError),
        traces.tracer.start_as_current_span(
            f"GET /v1/loading-requests/{SECRET}",
            parent,
            SpanKind.SERVER,
            {"code": SECRET, "temporalWorkflowID": SECRET, "http.request.method": "GET"},
            [link],
        ) as span,
    ):
        span.set_attribute("http.route", f"/a?{SECRET}")
        span.set_attribute("keyfill.request_id", REQUEST)
        span.add_event(SECRET, {"code": SECRET})
        span.add_event("exception", {"exception.type": SECRET})
        raise ValueError(SECRET)
    with traces.tracer.start_as_current_span("HandleSignal:Code417290"):
        pass
    with traces.tracer.start_as_current_span("HandleSignal:application_submitted") as span:
        span.set_status(StatusCode.ERROR, SECRET)
    first, second, third = sent.get_finished_spans()
    whole = "".join(one.to_json() for one in (first, second, third))
    assert "417290" not in whole and "49171" not in whole and "who" not in whole
    assert (first.name, second.name) == ("unnamed", "unnamed")
    assert first.attributes == {
        "http.request.method": "GET",
        "http.route": "<str>",
        "keyfill.request_id": REQUEST,
        "temporalWorkflowID": "<str>",
    }
    assert [one.attributes for one in first.events] == [
        {"exception.type": "unnamed"},
        {"exception.type": "ValueError"},
    ]
    assert [link.context.trace_id for link in first.links] == [1]
    assert third.name == "HandleSignal:application_submitted"
    assert third.status.status_code is StatusCode.ERROR and third.status.description is None
    assert third.resource.attributes == {"service.name": "keyfill-test"}


@pytest.mark.parametrize(
    "data",
    [b"", b"x", b"\xff", b"[]", b"7", b"null", b'{"traceparent": [7]}', b"[" * 99_999]
    + [f'{{"traceparent": "{one}"}}'.encode() for one in ("", "x", f"{PARENT}\\n", PARENT[:-1])],
)
def test_a_header_that_is_none_reads_as_none(traces: Traces, data: bytes) -> None:
    """In clients, workers and workflows alike; and never raises."""
    payload = Payload(metadata={"encoding": b"json/plain"}, data=data)
    assert TraceHeader().from_payloads([payload]) == [{}]
    (interceptor,) = traces.interceptors
    assert interceptor._context_from_headers({interceptor.header_key: payload}) is None


def test_a_header_holds_two_ids_and_nothing_else() -> None:
    """Neither state nor baggage, whatever there is of them; and it reads as it was written."""
    carried = {"traceparent": PARENT, "tracestate": "a=b", "baggage": "a=b"}
    (payload,) = TraceHeader().to_payloads([carried])
    assert payload.data == f'{{"traceparent": "{PARENT}"}}'.encode()
    assert TraceHeader().from_payloads([payload]) == [{"traceparent": PARENT}]


@pytest.mark.parametrize("endpoint", ["", "off"])
def test_without_an_endpoint_there_are_none(endpoint: str) -> None:
    """No interceptor, no thread, no span."""
    traces = Traces.of("api", endpoint, 1.0)
    assert traces.interceptors == () and isinstance(traces.tracer, NoOpTracer)
    traces.close()


def test_the_ratio_decides_which_traces_are_kept(sent: InMemorySpanExporter) -> None:
    """Of those that begin here; none at zero, and never half a trace."""
    kept = Traces.by("test", SimpleSpanProcessor(CheckedExporter(sent)), 0.5)
    for _ in range(200):
        with (
            kept.tracer.start_as_current_span("GET /healthz"),
            kept.tracer.start_as_current_span("GET /readyz"),
        ):
            pass
    spans = sent.get_finished_spans()
    assert 100 < len(spans) < 300
    ids = [span.context.trace_id for span in spans if span.context]
    assert sorted(ids) == sorted([*set(ids)] * 2)
    none = Traces.by("test", SimpleSpanProcessor(CheckedExporter(sent)), 0.0)
    sent.clear()
    with none.tracer.start_as_current_span("GET /healthz"):
        pass
    assert not sent.get_finished_spans()


@pytest.mark.parametrize("where", ["closed_port", "deaf_port"])
def test_a_collector_that_is_away_slows_and_fails_nothing(
    where: str, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    """Spans cost microseconds and are dropped; the process ends in time."""
    caplog.set_level(logging.CRITICAL)
    port: Any = request.getfixturevalue(where)
    traces = Traces.of("api", f"http://127.0.0.1:{port}/v1/traces", 1.0)
    began = time.perf_counter()
    for _ in range(5_000):
        with traces.tracer.start_as_current_span("GET /healthz"):
            pass
    assert time.perf_counter() - began < 5
    began = time.perf_counter()
    traces.close()
    assert time.perf_counter() - began < CLOSE_SECONDS + 1


def test_an_exporter_gets_copies(traces: Traces) -> None:
    """What is checked is what is sent."""
    got: list[ReadableSpan] = []

    class Kept(InMemorySpanExporter):
        def export(self, spans: Any) -> Any:
            got.extend(spans)
            return super().export(spans)

    traces = Traces.by("test", SimpleSpanProcessor(CheckedExporter(Kept())))
    with traces.tracer.start_as_current_span(SECRET):
        pass
    assert [one.name for one in got] == ["unnamed"]
