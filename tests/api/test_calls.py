"""What the log and the trace know of an HTTP call, and that a caller chooses none of it."""

from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest
from fastapi import FastAPI
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from api.app import build_app
from telemetry.fields import checked
from telemetry.spans import CheckedExporter
from telemetry.traces import Traces
from tests.support.apihouse import House
from tests.support.approutes import routes_of
from tests.support.identities import ORIGIN
from tests.support.processlog import ProcessLog, process_log

REQUEST: Final = "aBcDeFgHiJkLmNoPqRsTuVwX"
SECRET: Final = "q1bN1v2S8h0c3qk5V7uXz9yA6dE8fG0iJ2kL4mN6oP8"
PARENT: Final = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def sent() -> InMemorySpanExporter:
    """The spans that were sent."""
    return InMemorySpanExporter()


@pytest.fixture
def app(house: House, sent: InMemorySpanExporter) -> FastAPI:
    """The application with traces."""
    traces = Traces.by("api", SimpleSpanProcessor(CheckedExporter(sent)))
    return build_app(house.parts, tracer=traces.tracer)


@pytest.fixture
def log() -> Iterator[ProcessLog]:
    """The process's log, everything of it."""
    with process_log(plain=False, role="api", level="debug") as made:
        yield made


def caller(app: FastAPI) -> httpx.AsyncClient:
    """Somebody who calls."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ORIGIN)


async def test_a_call_is_named_by_its_route(
    app: FastAPI, sent: InMemorySpanExporter, log: ProcessLog
) -> None:
    """Neither path nor query, header or body is in line or span; the request's id is."""
    async with caller(app) as client:
        for path in (
            f"/v1/loading-requests/{REQUEST}?after={SECRET}",
            f"/v1/loading-requests/{SECRET}",
            f"/{SECRET}/a?{SECRET}",
        ):
            await client.get(path, headers={"Authorization": f"Bearer {SECRET}", "X-Id": SECRET})
        await client.request(SECRET[:6], "/a")
        await client.post("/v1/sessions", content=SECRET)
    spans = sent.get_finished_spans()
    template = "/v1/loading-requests/{request_id}"
    assert [one.name for one in spans][:3] == [
        f"GET {template}",
        f"GET {template}",
        "GET unmatched",
    ]
    assert [_told(one).get("keyfill.request_id") for one in spans] == [REQUEST, *[None] * 4]
    assert SECRET[:6] not in "".join(one.to_json() for one in spans)
    assert SECRET[:6] not in log.text
    answered = [line for line in log.lines() if line["logger"] == "keyfill.api"]
    assert [line["route"] for line in answered][:3] == [template, template, "unmatched"]
    assert [line.get("request_id") for line in answered] == [REQUEST, *[None] * 4]
    assert [line["call_id"] for line in answered] == [
        _told(one)["keyfill.call_id"] for one in spans
    ]
    assert len({line["call_id"] for line in answered}) == 5
    for line, span in zip(answered, spans, strict=True):
        assert span.context is not None
        assert line["trace_id"] == format(span.context.trace_id, "032x")
        assert line["status"] == _told(span)["http.response.status_code"]


async def test_a_callers_own_trace_is_not_believed(
    app: FastAPI, sent: InMemorySpanExporter
) -> None:
    """Nor whether it is to be kept; each call begins a trace."""
    headers = {"traceparent": f"00-{PARENT}-0123456789abcdef-00", "baggage": "a=b"}
    async with caller(app) as client:
        for _ in range(2):
            await client.get("/healthz", headers={**headers, "tracestate": "a=b"})
    spans = sent.get_finished_spans()
    ids = {format(one.context.trace_id, "032x") for one in spans if one.context}
    assert len(ids) == 2 and PARENT not in ids
    assert all(one.parent is None for one in spans)


async def test_a_fault_of_ours_is_an_error_line_and_span(
    app: FastAPI,
    house: House,
    sent: InMemorySpanExporter,
    log: ProcessLog,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With class, frames and the call's id; the message, which may hold anything, is in neither."""

    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError(SECRET)

    monkeypatch.setattr(type(house.parts.tokens.challenges), "issue", fails)
    async with caller(app) as client:
        assert (await client.post("/v1/challenges")).status_code == 500
    (span,) = sent.get_finished_spans()
    assert (span.name, span.status.status_code) == ("POST /v1/challenges", StatusCode.ERROR)
    unexpected, answered = (line for line in log.lines() if line["level"] == "error")
    assert unexpected["error"] == "RuntimeError"
    assert unexpected["frames"][-1].endswith(" fails")
    assert unexpected["call_id"] == answered["call_id"]
    assert answered["event"] == "POST /v1/challenges was answered 500"
    assert SECRET not in log.text and SECRET not in span.to_json()


def test_every_route_has_the_form_that_goes_out(app: FastAPI) -> None:
    """A route that is named otherwise would be a mark in lines and spans."""
    paths = {route.path for route in routes_of(app)}
    assert len(paths) > 30
    assert {path for path in paths if checked("route", path) != path} == set()


def _told(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})
