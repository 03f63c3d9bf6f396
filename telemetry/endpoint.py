"""The metrics endpoint of a process that works with Temporal: its runtime, listening.

The Temporal SDK serves `/metrics`, its own metrics and those that are made with its meter, and
nothing else. A second server of ours for the other half, with a port of its own, would have been a
second way into the key worker.
"""

from typing import Final

from temporalio.runtime import LoggingConfig, PrometheusConfig, Runtime, TelemetryConfig

from telemetry.metrics import BUCKETS

LATENCIES: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
"""The upper ends of the SDK's own buckets, in seconds: its default begins where we are done."""
_WIDENED: Final = (
    "temporal_activity_execution_latency",
    "temporal_activity_schedule_to_start_latency",
    "temporal_activity_succeed_endtoend_latency",
    "temporal_local_activity_execution_latency",
    "temporal_local_activity_succeed_endtoend_latency",
    "temporal_request_latency",
    "temporal_workflow_task_execution_latency",
    "temporal_workflow_task_schedule_to_start_latency",
)


class EndpointRefused(Exception):
    """The address cannot be listened on; the message is one sentence that says what to do."""


def make_runtime(address: str, logging: LoggingConfig = LoggingConfig.default) -> Runtime:
    """Make the runtime of this process, which serves its metrics at `address` (IP:port).

    One per process: its clients are connected with it, and with no other. What it serves ends with
    it. Without an address it listens nowhere, and its meter keeps nothing. `logging` is what
    becomes of its core's logs.

    Raises:
        EndpointRefused: if the address is none, or taken.
    """
    metrics = PrometheusConfig(
        address,
        counters_total_suffix=True,
        unit_suffix=True,
        durations_as_seconds=True,
        histogram_bucket_overrides={**BUCKETS, **dict.fromkeys(_WIDENED, LATENCIES)},
    )
    telemetry = TelemetryConfig(
        logging=logging,
        metrics=metrics if address else None,
        # It would be the same word on every sample.
        attach_service_name=False,
    )
    try:
        return Runtime(telemetry=telemetry)
    except ValueError as error:
        raise EndpointRefused(
            "Set KEYFILL_METRICS_ADDRESS to an IP address and a port that are free."
        ) from error
