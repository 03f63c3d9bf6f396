"""A worker's own metrics: closed sets, zero from the start, counted beside the activities."""

import asyncio
import dataclasses
import urllib.request
from typing import Any, get_args

import pytest
from temporalio.common import MetricMeter
from temporalio.testing import ActivityEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

from api.board import PURPOSES
from ceremony.keyexport import ExportProblem
from ceremony.messages import (
    NOT_ASKED,
    ChangeOrder,
    ExportOutcome,
    KeyOrderAnswer,
    Notice,
    Recorded,
    ReleaseOutcome,
    Settlement,
    SmsCodeCommand,
)
from ceremony.reasons import Reason
from ceremony.revocations import Subject
from ceremony.sms import SmsUnavailable
from ceremony.stages import Stage
from ceremony.state import CeremonyState, Verdict
from ceremony.statements import Kind
from engine.embedded import LOOPBACK, free_port
from keymanagement.observer import KeyObserver, Operation, Outcome
from records.tables.sms_message import SmsStatus
from telemetry.endpoint import EndpointRefused, make_runtime
from telemetry.metrics import (
    KEY_OPERATIONS,
    KEY_OUTCOMES,
    SMS_OUTCOMES,
    SMS_PURPOSES,
    WorkerMetrics,
)
from telemetry.tally import ActivityTally
from tests.support.monitoring import exposed, sample, values

STATE = CeremonyState(
    request_id="request-1",
    terminal_no="ATM-0001",
    stage=Stage.AWAITING_REVIEW,
    opened_at=1,
    request_digest="0" * 64,
    branch="Main Street",
    epp_fingerprint="0" * 64,
    registry_digest="0" * 64,
    first_staff_no="A1001",
    second_staff_no="A1002",
)


class Endpoint:
    """Worker metrics at an address of their own."""

    def __init__(self) -> None:
        self.address = f"{LOOPBACK}:{free_port()}"
        # What a runtime serves ends with it.
        self.runtime = make_runtime(self.address)
        self.metrics = WorkerMetrics(self.runtime.metric_meter)

    def read(self) -> str:
        """What Prometheus reads."""
        with urllib.request.urlopen(f"http://{self.address}/metrics", timeout=10) as answer:
            text: str = answer.read().decode()
        return text

    def count(self, name: str, **labels: str) -> float | None:
        """One sample's value."""
        return sample(self.read(), name, **labels)


@pytest.fixture(scope="module")
def endpoint() -> Endpoint:
    """One endpoint: a runtime has threads of its own, and is never closed."""
    return Endpoint()


class Answer(ActivityInboundInterceptor):
    """An activity that answers, or fails, as it is told."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        """Answer."""
        if isinstance(self._answer, BaseException):
            raise self._answer
        return self._answer


async def run(metrics: WorkerMetrics, name: str, said: Any, answer: Any) -> Any:
    """Let an activity of a name be asked, through the tally."""
    environment = ActivityEnvironment()
    environment.info = dataclasses.replace(environment.info, activity_type=name)
    watched = ActivityTally(metrics).intercept_activity(Answer(answer))
    given = ExecuteActivityInput(fn=print, args=[said], executor=None, headers={})
    return await environment.run(watched.execute_activity, given)


def recorded(kind: Kind, *reasons: Reason) -> Recorded:
    """What recording a statement gives back."""
    return Recorded(state=STATE, verdict=Verdict(kind=kind, digest="0" * 64, reasons=reasons))


async def test_verdicts_and_refusals_are_counted(endpoint: Endpoint) -> None:
    """A refusal counts once, by its gravest reason; an acceptance under no reason."""
    refused = recorded(Kind.APPLICATION, Reason.TERMINAL_NUMBER_WRONG, Reason.SMS_CODE_WRONG)
    assert await run(endpoint.metrics, "record_statement", None, refused) is refused
    await run(endpoint.metrics, "record_statement", None, recorded(Kind.DECISION))
    count = endpoint.count
    assert count("keyfill_verdicts_total", kind="application", verdict="refused") == 1
    assert count("keyfill_verdicts_total", kind="application", verdict="accepted") == 0
    assert count("keyfill_verdicts_total", kind="decision", verdict="accepted") == 1
    assert count("keyfill_refusals_total", reason="terminal-number-wrong") == 1
    assert count("keyfill_refusals_total", reason="sms-code-wrong") == 0


async def test_a_confirmation_counts_when_it_is_judged(endpoint: Endpoint) -> None:
    """What the records let pass to the key worker is no verdict yet."""
    await run(endpoint.metrics, "record_statement", None, recorded(Kind.CONFIRMATION))
    accepted = {"kind": "confirmation", "verdict": "accepted"}
    assert endpoint.count("keyfill_verdicts_total", **accepted) == 0
    await run(endpoint.metrics, "record_release", None, recorded(Kind.CONFIRMATION))
    assert endpoint.count("keyfill_verdicts_total", **accepted) == 1


@pytest.mark.parametrize(
    ("answer", "act", "outcome"),
    [
        (ReleaseOutcome(token_digest="0" * 64), "release", "released"),
        (ReleaseOutcome(refused=Reason.APPROVAL_EXPIRED), "release", "refused"),
        (ReleaseOutcome(refused=Reason.DUPLICATE_KEY), "release", "duplicate"),
        (Settlement(active=True, reason=Reason.LOADED), "settle", "active"),
        (Settlement(active=False, reason=Reason.KCV_WRONG), "settle", "unconfirmed"),
        (KeyOrderAnswer(), "order", "done"),
        (KeyOrderAnswer(refused=Reason.KEY_UNKNOWN), "order", "refused"),
        (ExportOutcome(block_digest="0" * 64), "export", "wrapped"),
        (ExportOutcome(refused=ExportProblem.EXPORT_OFF), "export", "refused"),
    ],
)
async def test_the_key_workers_answers_are_counted(
    endpoint: Endpoint, answer: Any, act: str, outcome: str
) -> None:
    """Each answer is counted under what was asked and what came of it, and begins at zero."""
    assert endpoint.count("keyfill_key_answers_total", act=act, outcome=outcome) == 0
    await run(endpoint.metrics, "release_key", None, answer)
    assert endpoint.count("keyfill_key_answers_total", act=act, outcome=outcome) == 1


async def test_sms_are_counted_by_purpose_and_outcome(endpoint: Endpoint) -> None:
    """A code, a notice, the news of a change; and a provider that cannot be reached."""
    code = SmsCodeCommand(request_id="request-1", terminal_no="ATM-0001", n=1)
    notice = Notice(
        request_id="request-1", terminal_no="ATM-0001", event="review", stage=STATE.stage
    )
    change = ChangeOrder(subject=Subject.PERSON, name="ana", digest="0" * 64)
    await run(endpoint.metrics, "send_sms_code", code, "sent")
    await run(endpoint.metrics, "send_notice", notice, "capped")
    await run(endpoint.metrics, "tell_change", change, ("sent", "failed"))
    with pytest.raises(SmsUnavailable):
        await run(endpoint.metrics, "send_sms_code", code, SmsUnavailable())
    await run(endpoint.metrics, "send_sms_code", code, NOT_ASKED)
    await run(endpoint.metrics, "send_sms_code", code, "+4915112345671")
    count = endpoint.count
    for purpose, outcome in (
        ("sms-code", "sent"),
        ("sms-code", "unavailable"),
        ("sms-code", "not-asked"),
        ("sms-code", "other"),
        ("review", "capped"),
        ("change", "sent"),
        ("change", "failed"),
    ):
        assert count("keyfill_sms_total", purpose=purpose, outcome=outcome) == 1, outcome
    assert "4915112345671" not in endpoint.read()


async def test_an_activity_counts_however_it_ends(endpoint: Endpoint) -> None:
    """Done, failed or cancelled, with its time; what it raises goes on as it is."""
    endpoint.metrics.expect(["synchronise"])
    assert endpoint.count("keyfill_activities_total", activity="synchronise", outcome="done") == 0
    await run(endpoint.metrics, "synchronise", None, None)
    for error in (RuntimeError("of ATM-0001"), asyncio.CancelledError()):
        with pytest.raises(type(error)):
            await run(endpoint.metrics, "synchronise", None, error)
    for outcome in ("done", "failed", "cancelled"):
        told = endpoint.count("keyfill_activities_total", activity="synchronise", outcome=outcome)
        assert told == 1, outcome
    assert endpoint.count("keyfill_activity_seconds_count", activity="synchronise") == 3
    assert "ATM-0001" not in endpoint.read()


def test_the_hsms_keys_are_told_as_they_were_found(endpoint: Endpoint) -> None:
    """A comparison replaces the last one; one that failed leaves it and counts."""
    endpoint.metrics.compared({"unknown": 2, "kept": 5})
    endpoint.metrics.compared({"unknown": 0, "kept": 6})
    endpoint.metrics.compared(None)
    assert endpoint.count("keyfill_hsm_keys", finding="unknown") == 0
    assert endpoint.count("keyfill_hsm_keys", finding="kept") == 6
    assert endpoint.count("keyfill_hsm_comparisons_total", outcome="done") == 2
    assert endpoint.count("keyfill_hsm_comparisons_total", outcome="failed") == 1


async def test_a_beat_is_told_only_after_temporal_answered(endpoint: Endpoint) -> None:
    """A check that fails leaves the time of the last one that passed."""

    async def passes() -> None:
        """Say nothing."""

    async def fails() -> None:
        raise TimeoutError

    await endpoint.metrics.beating(passes, lambda: 1_800_000_000)()
    with pytest.raises(TimeoutError):
        await endpoint.metrics.beating(fails, lambda: 1_900_000_000)()
    assert endpoint.count("keyfill_worker_beat_seconds") == 1_800_000_000


def test_the_closed_sets_are_those_of_the_code() -> None:
    """Every reason, status, purpose, operation and outcome is counted from zero."""
    fresh = Endpoint()
    told = values(fresh.read())
    assert told["keyfill_refusals_total", "reason"] == set(Reason)
    assert told["keyfill_verdicts_total", "kind"] == set(Kind)
    assert set(SmsStatus) - {SmsStatus.INTENT} <= set(SMS_OUTCOMES)
    notices = set(get_args(Notice.model_fields["event"].annotation))
    assert {"sms-code", "change", *notices} == set(SMS_PURPOSES)
    assert SMS_PURPOSES == PURPOSES
    assert tuple(Operation) == KEY_OPERATIONS
    assert tuple(Outcome) == KEY_OUTCOMES
    for name in exposed(fresh.read()):
        assert not name.startswith("keyfill_") or sample(fresh.read(), name) in (None, 0)


def test_worker_metrics_are_the_observer_that_keys_want() -> None:
    """Without an address nothing is kept, and nothing fails."""
    observer: KeyObserver = WorkerMetrics(MetricMeter.noop)
    observer.called(Operation.CREATE, Outcome.DONE, 0.1)
    observer.compared({"kept": 1})
    WorkerMetrics(make_runtime("").metric_meter).verdict(Kind.REQUEST, None)


def test_an_address_that_is_taken_is_refused(endpoint: Endpoint) -> None:
    """Two processes of one host do not share a port; the sentence says what to set."""
    with pytest.raises(EndpointRefused, match="KEYFILL_METRICS_ADDRESS"):
        make_runtime(endpoint.address)
