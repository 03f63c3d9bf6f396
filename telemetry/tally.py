"""A tally of what activities answered, kept beside them: no activity counts anything itself.

It sees what an activity returns and nothing of what is in it but verdict, outcome and reason. An
attempt is counted each time it ends, so a retry counts again; workflow code counts nothing, or a
replay would.
"""

import asyncio
import time
from typing import Any, Final

from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from ceremony.messages import (
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
from ceremony.sms import SmsUnavailable
from ceremony.statements import Kind
from telemetry.metrics import WorkerMetrics

_CHECK: Final = "record_statement"
"""It accepts a confirmation for the key worker to judge: `record_release` has the verdict."""


class ActivityTally(Interceptor):
    """Gives every activity of a worker to the metrics."""

    def __init__(self, metrics: WorkerMetrics) -> None:
        """Bind the metrics."""
        self._metrics = metrics

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 - the SDK's name
        """Stand before the activities."""
        return _Watched(super().intercept_activity(next), self._metrics)


class _Watched(ActivityInboundInterceptor):
    def __init__(self, following: ActivityInboundInterceptor, metrics: WorkerMetrics) -> None:
        super().__init__(following)
        self._metrics = metrics

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002, ANN401 - the SDK's
        """Run an activity, and count how it ended."""
        # Of those that this worker is registered for: others do not come so far.
        name = activity.info().activity_type
        said = input.args[0] if input.args else None
        started, outcome = time.perf_counter(), "failed"
        try:
            answer = await super().execute_activity(input)
            outcome = "done"
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        except SmsUnavailable:
            self._sms(said, "unavailable")
            raise
        finally:
            self._metrics.activity(name, outcome, time.perf_counter() - started)
        self._answered(name, said, answer)
        return answer

    def _answered(self, name: str, said: object, answer: object) -> None:
        match answer:
            case Recorded(verdict=verdict):
                if name != _CHECK or verdict.kind is not Kind.CONFIRMATION or not verdict.accepted:
                    self._metrics.verdict(verdict.kind, verdict.reason)
            case str():
                self._sms(said, answer)
            case tuple() if isinstance(said, ChangeOrder):
                for one in answer:
                    self._sms(said, one)
            case _ if (answered := _key_answer(answer)) is not None:
                self._metrics.key_answer(*answered)

    def _sms(self, said: object, outcome: str) -> None:
        match said:
            case SmsCodeCommand():
                self._metrics.sms("sms-code", outcome)
            case Notice(event=event):
                self._metrics.sms(event, outcome)
            case ChangeOrder():
                self._metrics.sms("change", outcome)


def _key_answer(answer: object) -> tuple[str, str] | None:
    """What the key worker was asked for, and what came of it; None for another's answer."""
    match answer:
        case ReleaseOutcome(refused=None):
            return "release", "released"
        case ReleaseOutcome(refused=Reason.DUPLICATE_KEY):
            return "release", "duplicate"
        case ReleaseOutcome():
            return "release", "refused"
        case Settlement(active=active):
            return "settle", "active" if active else "unconfirmed"
        case KeyOrderAnswer(refused=refused):
            return "order", "done" if refused is None else "refused"
        case ExportOutcome(refused=problem):
            return "export", "wrapped" if problem is None else "refused"
    return None
