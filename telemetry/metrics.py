"""Metrics of a worker process: what its activities, its key manager and its payloads came to.

They are recorded through the meter of the Temporal SDK's runtime, so that a worker has one
endpoint for them and the SDK's own (`telemetry.endpoint`), and nothing is kept where there is
none. Labels are of the closed sets below: no person, terminal, request, number or path ever is
one. Counters begin at zero for every label, or Prometheus would not see the first of anything.
"""

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from itertools import product
from typing import Final

from temporalio.common import MetricCounter, MetricMeter

from ceremony.messages import NOT_ASKED
from ceremony.reasons import Reason
from ceremony.statements import Kind

ACTIVITY_OUTCOMES: Final = ("done", "failed", "cancelled")
VERDICTS: Final = ("accepted", "refused")
SMS_PURPOSES: Final = ("sms-code", "review", "approved", "ended", "change")
SMS_OUTCOMES: Final = (
    "sent",
    "failed",
    "ambiguous",
    "delivered",
    "undelivered",
    "capped",
    "no-recipient",
    NOT_ASKED,
    "unavailable",
)
"""The statuses of `records.tables.sms_message`, and what leaves no row: nobody to send it to, a
code that nobody asked for (a forged signal), and a provider that surely took nothing."""
KEY_ANSWERS: Final = (
    ("release", "released"),
    ("release", "refused"),
    ("release", "duplicate"),
    ("settle", "active"),
    ("settle", "unconfirmed"),
    ("order", "done"),
    ("order", "refused"),
    ("export", "wrapped"),
    ("export", "refused"),
)
"""What the key worker is asked to do with a key, and what comes of it."""
KEY_OPERATIONS: Final = ("create", "make-token", "kcv", "forget")
KEY_OUTCOMES: Final = ("done", "refused", "failed")
PAYLOADS: Final = ("refused", "unknown-key")
OTHER: Final = "other"
"""Stands for what is of no closed set."""

BUCKETS: Final[Mapping[str, tuple[float, ...]]] = {
    "keyfill_activity_seconds": (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    "keyfill_key_manager_seconds": (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    "keyfill_journal_seconds": (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 15),
}
"""The upper ends, in seconds, of each histogram's buckets."""


class WorkerMetrics:
    """The metrics of one worker process; safe for threads.

    Implements the observers that `keymanagement` and `engine` declare.
    """

    def __init__(self, meter: MetricMeter) -> None:
        """Make the metrics with a meter; `MetricMeter.noop` keeps nothing."""
        self._activities = meter.create_counter(
            "keyfill_activities", "Activities that ended, every attempt by itself"
        )
        self._activity_seconds = meter.create_histogram_float(
            "keyfill_activity_seconds", "Seconds that an activity took"
        )
        self._verdicts = meter.create_counter(
            "keyfill_verdicts", "Statements judged, by kind and verdict"
        )
        self._refusals = meter.create_counter(
            "keyfill_refusals", "Statements and acts refused, by the gravest reason"
        )
        self._sms = meter.create_counter("keyfill_sms", "SMS, by purpose and what became of them")
        self._keys = meter.create_counter(
            "keyfill_key_answers", "What the key worker was asked to do with keys, and its answer"
        )
        self._key_calls = meter.create_counter(
            "keyfill_key_manager_calls", "Calls of the key manager, by operation and outcome"
        )
        self._key_seconds = meter.create_histogram_float(
            "keyfill_key_manager_seconds", "Seconds that the key manager took"
        )
        self._journal_seconds = meter.create_histogram_float(
            "keyfill_journal_seconds", "Seconds of a journal transaction, waiting included"
        )
        self._hsm_keys = meter.create_gauge(
            "keyfill_hsm_keys", "Keys in the HSM, by what the last comparison found them to be"
        )
        self._comparisons = meter.create_counter(
            "keyfill_hsm_comparisons", "Comparisons of the HSM's keys with the journal"
        )
        self._certificates = meter.create_gauge(
            "keyfill_kdh_certificate_end_seconds", "Unix time at which a KDH certificate ends"
        )
        self._payloads = meter.create_counter(
            "keyfill_payloads_refused", "Payloads from Temporal that were not opened"
        )
        self._beat = meter.create_gauge(
            "keyfill_worker_beat_seconds", "Unix time at which Temporal last answered this process"
        )
        self._begin()

    def expect(self, activities: Iterable[str]) -> None:
        """Name the activities that this worker is registered for."""
        _begin(self._activities, ("activity", "outcome"), product(activities, ACTIVITY_OUTCOMES))

    def activity(self, name: str, outcome: str, seconds: float) -> None:
        """Count an activity that has ended; see `ACTIVITY_OUTCOMES`."""
        self._activities.add(1, {"activity": name, "outcome": outcome})
        self._activity_seconds.record(seconds, {"activity": name})

    def verdict(self, kind: Kind, reason: Reason | None) -> None:
        """Count the verdict on a statement; no reason: accepted."""
        verdict = "accepted" if reason is None else "refused"
        self._verdicts.add(1, {"kind": kind.value, "verdict": verdict})
        if reason is not None:
            self._refusals.add(1, {"reason": reason.value})

    def sms(self, purpose: str, outcome: str) -> None:
        """Count an SMS."""
        labels = {
            "purpose": purpose if purpose in SMS_PURPOSES else OTHER,
            "outcome": outcome if outcome in SMS_OUTCOMES else OTHER,
        }
        self._sms.add(1, labels)

    def key_answer(self, act: str, outcome: str) -> None:
        """Count an answer of the key worker's; see `KEY_ANSWERS`."""
        self._keys.add(1, {"act": act, "outcome": outcome})

    def called(self, operation: str, outcome: str, seconds: float) -> None:
        """See `keymanagement.observer.KeyObserver`."""
        self._key_calls.add(1, {"operation": operation, "outcome": outcome})
        self._key_seconds.record(seconds, {"operation": operation})

    def journal_used(self, access: str, seconds: float) -> None:
        """See `keymanagement.observer.KeyObserver`."""
        self._journal_seconds.record(seconds, {"access": access})

    def compared(self, found: Mapping[str, int] | None) -> None:
        """See `keymanagement.observer.KeyObserver`."""
        self._comparisons.add(1, {"outcome": "failed" if found is None else "done"})
        for finding, keys in (found or {}).items():
            self._hsm_keys.set(keys, {"finding": finding})

    def certificate_ends(self, name: str, at: int) -> None:
        """See `keymanagement.observer.KeyObserver`."""
        self._certificates.set(at, {"certificate": name})

    def payload_unopened(self, key_unknown: bool) -> None:
        """Count a payload that was not opened; see `engine.payloadcodec`."""
        self._payloads.add(1, {"why": "unknown-key" if key_unknown else "refused"})

    def beating(
        self, check: Callable[[], Awaitable[None]], clock: Callable[[], float] = time.time
    ) -> Callable[[], Awaitable[None]]:
        """The same check of Temporal, which notes the Unix time at which it passed."""

        async def checked() -> None:
            await check()
            self._beat.set(int(clock()))

        return checked

    def _begin(self) -> None:
        _begin(self._verdicts, ("kind", "verdict"), product((one.value for one in Kind), VERDICTS))
        _begin(self._refusals, ("reason",), ((one.value,) for one in Reason))
        _begin(self._sms, ("purpose", "outcome"), product(SMS_PURPOSES, SMS_OUTCOMES))
        _begin(self._keys, ("act", "outcome"), KEY_ANSWERS)
        _begin(self._key_calls, ("operation", "outcome"), product(KEY_OPERATIONS, KEY_OUTCOMES))
        _begin(self._comparisons, ("outcome",), (("done",), ("failed",)))
        _begin(self._payloads, ("why",), ((one,) for one in PAYLOADS))


def _begin(
    counter: MetricCounter, labels: tuple[str, ...], values: Iterable[tuple[str, ...]]
) -> None:
    for one in values:
        counter.add(0, dict(zip(labels, one, strict=True)))
