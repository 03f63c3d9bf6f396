"""The log of Temporal's core, the SDK's part in Rust: by itself it writes to the console."""

import logging
from typing import Final

from temporalio.runtime import LogForwardingConfig, LoggingConfig, TelemetryFilter

_log: Final = logging.getLogger("temporalio.core")


def core_logging() -> LoggingConfig:
    """Have core's warnings go through our log (`telemetry.loglines`), for a Temporal runtime."""
    return LoggingConfig(
        TelemetryFilter(core_level="WARN", other_level="ERROR"),
        forwarding=LogForwardingConfig(
            _log,
            append_target_to_name=False,
            prepend_target_on_message=False,
            append_log_fields_to_message=False,
        ),
    )
