"""Traces and logs of a real ceremony: whole, silent about secrets, and no matter to a workflow."""

import asyncio
import dataclasses
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from temporalio.api.common.v1 import Payload
from temporalio.client import (
    Client,
    Interceptor,
    OutboundInterceptor,
    SignalWorkflowInput,
    StartWorkflowInput,
    WorkflowHandle,
)
from temporalio.worker import Replayer

from api.app import build_app
from api.ceremonies import TemporalCeremonies
from ceremony import names
from ceremony.messages import CodeRequest
from ceremony.stages import Stage
from engine.client import TemporalTarget, connect
from engine.converter import data_converter
from taskqueues import THREADS, WorkerParts, make_worker, workflow_runner
from telemetry.activitylogs import ActivityLogs
from telemetry.corelogs import core_logging
from telemetry.endpoint import make_runtime
from telemetry.spans import CheckedExporter
from telemetry.traces import Traces
from tests.support.apihouse import House
from tests.support.backstage import PATIENCE, Backstage
from tests.support.identities import ORIGIN
from tests.support.load import Load
from tests.support.loggingworkflow import QUEUE, FaultyWorkflow, LoudWorkflow, fail_aloud
from tests.support.processlog import process_log
from workflows.loading_request import LoadingRequest

MAX_EVENTS: Final = 80
MAX_BYTES: Final = 40 * 1024
HEADER: Final = "_tracer-data"
GARBAGE: Final = (
    b"",
    b"not json",
    b"\xff\xfe",
    b"[]",
    b"7",
    b"null",
    b'"traceparent"',
    b'{"traceparent": 7}',
    b'{"traceparent": null}',
    b'{"traceparent": ["00"]}',
    b'{"traceparent": "00-zz-zz-01"}',
    b'{"traceparent": "00-00000000000000000000000000000000-0000000000000000-01"}',
    b'{"traceparent": "ff-0123456789abcdef0123456789abcdef-0123456789abcdef-01"}',
    b'{"baggage": "a=b", "tracestate": "a=b"}',
    b"[" * 100_000,
)
REQUEST: Final = "aBcDeFgHiJkLmNoPqRsTuVwX"


class Spans:
    """The spans that left, in order of their ends."""

    def __init__(self) -> None:
        """Keep them in memory."""
        self.exporter = InMemorySpanExporter()
        processor = SimpleSpanProcessor(CheckedExporter(self.exporter))
        self.traces = Traces.by("test", processor)

    @property
    def all(self) -> Sequence[ReadableSpan]:
        """All of them."""
        return self.exporter.get_finished_spans()

    def named(self, name: str) -> list[ReadableSpan]:
        """Those of this name."""
        return [one for one in self.all if one.name == name]

    def text(self) -> str:
        """All that is in them."""
        return "".join(one.to_json() for one in self.all)


def trace_of(span: ReadableSpan) -> int:
    """The id of a span's trace."""
    context = span.get_span_context()
    assert context is not None
    return int(context.trace_id)


class Forging(Interceptor, OutboundInterceptor):
    """Puts a trace header of its own on whatever it sends."""

    def __init__(self) -> None:
        """Begin with a good encoding and nothing in it."""
        self.header = Payload(metadata={"encoding": b"json/plain"})

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:  # noqa: A002
        """Stand before the client."""
        self.next = next
        return self

    async def start_workflow(self, input: StartWorkflowInput) -> WorkflowHandle[Any, Any]:  # noqa: A002
        """Start with it."""
        input.headers = {**input.headers, HEADER: self.header}
        return await self.next.start_workflow(input)

    async def signal_workflow(self, input: SignalWorkflowInput) -> None:  # noqa: A002
        """Signal with it."""
        input.headers = {**input.headers, HEADER: self.header}
        await self.next.signal_workflow(input)


@pytest.fixture
def spans() -> Spans:
    """No spans yet."""
    return Spans()


@pytest.fixture
async def traced(target: TemporalTarget, spans: Spans) -> Client:
    """A client, and with it workers, whose calls are traced."""
    return await connect(
        target, identity="test", interceptors=(ActivityLogs(), *spans.traces.interceptors)
    )


async def test_one_trace_from_the_call_to_its_activities(
    tmp_path: Path, traced: Client, spans: Spans
) -> None:
    """The opening call, the workflow and its activities are one trace; later calls link to it.

    The history keeps its budget with every header in it, replays with tracing and without, and the
    replay makes neither span nor line. No span holds a secret of the ceremony, nor any header.
    """

    async def connected() -> Client:
        return traced

    house = House.make(tmp_path, wait_seconds=10)
    house.parts = dataclasses.replace(house.parts, ceremonies=TemporalCeremonies(connected))
    house.app = build_app(house.parts, tracer=spans.traces.tracer)
    house.client = httpx.AsyncClient(transport=httpx.ASGITransport(house.app), base_url=ORIGIN)
    with process_log(plain=False, role="ceremony", level="debug") as log:
        async with house.backstage.workers(traced):
            load = await house.open()
            await load.confirm()
            await load.receive()
            handle = traced.get_workflow_handle(names.loading_request_id("ATM-0001"))
            await handle.result()
        history = await handle.fetch_history()
        lines = log.text
    (opening,) = spans.named("POST /v1/loading-requests")
    one = {span.name for span in spans.all if trace_of(span) == trace_of(opening)}
    assert {
        "POST /v1/loading-requests",
        "SignalWithStartWorkflow:LoadingRequest",
        "RunWorkflow:LoadingRequest",
        "StartActivity:record_statement",
        "RunActivity:record_statement",
        "RunActivity:release_key",
        "RunActivity:send_notice",
        "HandleSignal:application_submitted",
        "HandleSignal:receipt_submitted",
        "CompleteWorkflow:LoadingRequest",
    } <= one
    (receipt,) = spans.named("POST /v1/loading-requests/{request_id}/receipt")
    (sent,) = spans.named("SignalWorkflow:receipt_submitted")
    (handled,) = spans.named("HandleSignal:receipt_submitted")
    assert trace_of(sent) == trace_of(receipt) != trace_of(opening)
    assert [link.context.trace_id for link in handled.links] == [trace_of(receipt)]
    assert "unnamed" not in {span.name for span in spans.all}
    assert "<" not in "".join(str(dict(span.attributes or {})) for span in spans.all)
    assert receipt.attributes is not None
    assert receipt.attributes["keyfill.request_id"] == load.id

    secrets = _secrets(house, load)
    assert len(secrets) > 8
    for secret in secrets:
        assert secret not in spans.text(), secret
        assert secret not in lines, secret
    assert load.id in lines
    assert format(trace_of(opening), "032x") in lines

    assert len(history.events) <= MAX_EVENTS
    assert sum(event.ByteSize() for event in history.events) <= MAX_BYTES
    for event in history.events:
        header = event.activity_task_scheduled_event_attributes.header
        for name, payload in header.fields.items():
            assert name == HEADER
            assert json.loads(payload.data).keys() == {"traceparent"}
    spans.exporter.clear()
    for interceptors in ([], [*spans.traces.interceptors]):
        replayer = Replayer(
            workflows=[LoadingRequest],
            workflow_runner=workflow_runner(),
            data_converter=data_converter(),
            interceptors=interceptors,
        )
        await replayer.replay_workflow(history)
    assert not spans.all
    await house.close()


def _secrets(house: House, load: Any) -> set[str]:
    """What nobody may read of this ceremony."""
    found = {load.opened["status_token"], load.opened["qr"]["text"]}
    found |= {who.number for who in (house.world.first, house.world.second)}
    for _, number, text in house.backstage.memory.sent:
        found |= {number, number.removeprefix("+"), text}
        found |= {f" {word} " for word in text.replace(".", " ").split() if word.isdigit()}
    statements = (load.request, load.application, load.confirmation)
    return found | {one.text for one in statements} | {load.token["value"]}


async def test_a_forged_trace_header_stops_nothing(
    target: TemporalTarget, traced: Client, stage: Backstage, spans: Spans
) -> None:
    """Whoever can write to Temporal starts and signals with any header: the load goes on."""
    forging = Forging()
    forger = await connect(target, identity="forger", interceptors=[forging])
    forging.header.data = GARBAGE[1]
    async with stage.workers(traced):
        load = await Load.open(stage, forger)
        for encoding in (b"json/plain", b"binary/protobuf", b"no/such", b""):
            for data in GARBAGE:
                forging.header = Payload(metadata={"encoding": encoding}, data=data)
                nothing = CodeRequest(request_id=load.request_id, n=9)
                await load.handle.signal(names.SIGNAL_CODE_REQUESTED, nothing)
                await load.handle.signal("no_such_signal", nothing)
        await load.to(Stage.LOADED)
        assert (await load.result()).stage is Stage.LOADED
    assert "unnamed" not in {span.name for span in spans.all}


async def test_lines_say_where_they_come_from_and_nothing_twice(
    traced: Client, spans: Spans
) -> None:
    """Workflow, run, activity, attempt, request and trace; Temporal's own lines too; no message.

    A replay logs nothing of the workflow's again.
    """
    parts = WorkerParts(queue=QUEUE, activities=[fail_aloud], workflows=[LoudWorkflow])
    workflow_id = names.loading_request_id("ATM-0001")
    with process_log(plain=False, role="ceremony") as log:
        with (
            ThreadPoolExecutor(THREADS) as executor,
            spans.traces.tracer.start_as_current_span("POST /v1/x") as span,
        ):
            async with make_worker(traced, parts, executor):
                handle = await traced.start_workflow(
                    LoudWorkflow.run,
                    CodeRequest(request_id=REQUEST, n=3),
                    id=workflow_id,
                    task_queue=QUEUE,
                )
                await handle.result()
        lines = log.lines()
        history = await handle.fetch_history()
        trace_id = format(span.get_span_context().trace_id, "032x")
        ours = [line for line in lines if line["logger"] == "keyfill.probe"]
        assert [(line["event"], line["attempt"]) for line in ours] == [
            ("at work 3", 1),
            ("at work 3", 2),
        ]
        failed = [line for line in lines if line["event"] == "Completing activity as failed"]
        assert [line["attempt"] for line in failed] == [1, 2]
        assert [one["error"] for one in failed[0]["raised"]] == ["ValueError"]
        for line in (*ours, *failed):
            assert line["request_id"] == REQUEST
            assert line["activity"] == "fail_aloud"
            assert line["workflow"] == "LoudWorkflow"
        told = [line for line in lines if line["logger"] == "temporalio.workflow"]
        assert [line["event"] for line in told] == ["began 3", "it failed", "ended"]
        for line in (*ours, *failed, *told):
            assert line["workflow_id"] == workflow_id
            assert line["run_id"] == handle.first_execution_run_id
            assert line["trace_id"] == trace_id
        assert "417290" not in log.text and "49171" not in log.text
        assert "417290" not in spans.text() and "49171" not in spans.text()
        events = [event for one in spans.all for event in one.events]
        assert {event.attributes["exception.type"] for event in events if event.attributes} >= {
            "ValueError"
        }
        before = log.text
        replayer = Replayer(
            workflows=[LoudWorkflow],
            workflow_runner=workflow_runner(),
            data_converter=data_converter(),
            interceptors=[*spans.traces.interceptors],
        )
        await replayer.replay_workflow(history)
        assert log.text == before


async def test_a_workflow_task_that_fails_is_told_without_its_reason(
    target: TemporalTarget, capfd: pytest.CaptureFixture[str]
) -> None:
    """By the SDK with class and frames, by its core in words; core itself writes nothing."""
    parts = WorkerParts(queue=QUEUE, activities=[], workflows=[FaultyWorkflow])
    with process_log(plain=False, role="ceremony") as log:
        client = await connect(target, runtime=make_runtime("", core_logging()))
        with ThreadPoolExecutor(THREADS) as executor:
            async with make_worker(client, parts, executor), asyncio.timeout(PATIENCE):
                handle = await client.start_workflow(
                    FaultyWorkflow.run, id=names.REGISTRY_SYNC_ID, task_queue=QUEUE
                )
                # Core hands its lines on from a thread of its own, without an event.
                while "Failing workflow task" not in log.text:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
                await handle.terminate()
    told = {line["logger"]: line for line in log.lines()}
    assert told["temporalio.core"]["run_id"] == handle.first_execution_run_id
    raised = told["temporalio.worker._workflow_instance"]["raised"][0]
    assert raised["error"] == "RuntimeError"
    assert raised["frames"][-1].startswith("support/loggingworkflow.py:")
    written = capfd.readouterr()
    for text in (log.text, written.out, written.err):
        assert "417290" not in text and "49171" not in text
    assert written.out == ""
