"""The board: what was last seen of records and readiness, as Prometheus' gauges.

What could not be looked up is left out: no figure is ever given as it was before.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from prometheus_client.core import GaugeMetricFamily, Metric

from records.figures import Figures, SyncOutcome
from records.tables.sms_message import SmsStatus

KEPT_SECONDS: Final = 5.0
PURPOSES: Final = ("sms-code", "review", "approved", "ended", "change")
OTHER: Final = "other"


@dataclass(frozen=True)
class Sight:
    """What was seen at one look; `ready` by part, no figures if the database is away."""

    ready: Mapping[str, bool] = field(default_factory=dict)
    figures: Figures | None = None


class FigureBoard:
    """The newest sight as Prometheus' gauges; a collector of one registry."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with nothing seen; `clock` gives seconds."""
        self._clock = clock
        self._looking = asyncio.Lock()
        self._seen_at: float | None = None
        self._sight = Sight()

    async def renew(self, look: Callable[[], Awaitable[Sight]]) -> None:
        """Look again, unless somebody only just has."""
        async with self._looking:
            if self._seen_at is None or self._clock() - self._seen_at >= KEPT_SECONDS:
                self._sight = await look()
                self._seen_at = self._clock()

    def collect(self) -> Iterator[Metric]:
        """Give the gauges; see `prometheus_client.registry.Collector`."""
        yield _gauge(
            "keyfill_ready",
            "Whether each part that a key loading needs is there",
            ("part",),
            {(part,): float(there) for part, there in self._sight.ready.items()},
        )
        if self._sight.figures is not None:
            yield from _requests(self._sight.figures)
            yield from _others(self._sight.figures)


def _requests(seen: Figures) -> Iterator[Metric]:
    yield _gauge(
        "keyfill_loading_requests_open",
        "Open loading requests, by stage",
        ("stage",),
        {(stage.value,): one.count for stage, one in seen.open.items()},
    )
    yield _gauge(
        "keyfill_loading_request_oldest_seconds",
        "For how long the oldest loading request has been at a stage; 0 without one",
        ("stage",),
        {
            (stage.value,): 0 if one.since is None else max(0, seen.at - one.since)
            for stage, one in seen.open.items()
        },
    )
    yield _gauge(
        "keyfill_loading_requests_ended",
        "Loading requests that ended within a day, by final stage",
        ("stage",),
        {(stage.value,): count for stage, count in seen.ended.items()},
    )


def _others(seen: Figures) -> Iterator[Metric]:
    yield _gauge(
        "keyfill_sms_messages",
        "SMS begun within the last hour or day, by purpose and where they stand",
        ("purpose", "status", "window"),
        _messages(seen),
    )
    yield _gauge(
        "keyfill_alarms",
        "Alarms raised within the last hour or day",
        ("alarm", "window"),
        {
            (alarm.value, window): count
            for alarm, raised in seen.alarms.items()
            for window, count in (("hour", raised.hour), ("day", raised.day))
        },
    )
    yield _gauge(
        "keyfill_enrolments_pending",
        "Enrolments that wait for officers",
        (),
        {(): seen.pending_enrolments},
    )
    yield _gauge(
        "keyfill_registry_changes_cooling",
        "Changes of administrators in their cooling-off time",
        (),
        {(): seen.cooling_changes},
    )
    yield _gauge(
        "keyfill_keys_unconfirmed",
        "Keys that a terminal may or may not have",
        (),
        {(): seen.unconfirmed_keys},
    )
    yield _gauge(
        "keyfill_registry_sync_age_seconds",
        "Since the last synchronisation of the registry that was not stopped",
        (),
        {} if seen.applied_at is None else {(): max(0, seen.at - seen.applied_at)},
    )
    yield _gauge(
        "keyfill_registry_sync",
        "How the last synchronisation of the registry ended: 1 at its outcome",
        ("outcome",),
        {}
        if seen.last_sync is None
        else {(one.value,): float(one is seen.last_sync) for one in SyncOutcome},
    )


def _messages(seen: Figures) -> Mapping[tuple[str, ...], float]:
    counts: dict[tuple[str, ...], float] = {
        (purpose, status.value, window): 0
        for purpose in PURPOSES
        for status in SmsStatus
        for window in ("hour", "day")
    }
    for (purpose, status), sent in seen.messages.items():
        name = purpose if purpose in PURPOSES else OTHER
        for window, count in (("hour", sent.hour), ("day", sent.day)):
            label = (name, status.value, window)
            counts[label] = counts.get(label, 0) + count
    return counts


def _gauge(
    name: str, says: str, labels: tuple[str, ...], values: Mapping[tuple[str, ...], float]
) -> Metric:
    made = GaugeMetricFamily(name, says, labels=labels)
    for label, value in values.items():
        made.add_metric(label, value)
    return made
