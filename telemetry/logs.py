"""The log of a process: one form for our own lines and every library's, on standard error.

In development a line is for people, elsewhere it is one JSON object; what may be in it is the same
(`telemetry.loglines`).
"""

import json
import logging
import os
import sys
import threading
import warnings
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import PurePath
from types import TracebackType
from typing import Final, TextIO

import structlog
from structlog.typing import EventDict, WrappedLogger
from temporalio import activity, workflow

from telemetry.fields import checked
from telemetry.loglines import line_of

TALKATIVE: Final = (
    "asyncio",
    "httpcore",
    "httpx",
    "opentelemetry",
    "temporalio.worker",
    "twilio",
    "urllib3",
)
"""Libraries that tell of every call: heard from `warning` on, unless the level is `debug`."""

_log = logging.getLogger("keyfill.process")


class _Handler(logging.StreamHandler[TextIO]):
    """Writes lines; one that cannot be written is told of without what was in it."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Replace logging's own way, which prints the message and the arguments."""
        lost = {"level": "error", "event": "a log line was lost", "pid": os.getpid()}
        with suppress(OSError, ValueError):
            self.stream.write(json.dumps(lost) + self.terminator)
            self.flush()


def set_up(role: str, level: str, *, plain: bool) -> None:
    """Set up the log of this process; again replaces what was set up.

    Args:
        role: Which process it is: `api`, `ceremony`, `keys`, `codec` or `operator`.
        level: The lowest level that is written: `debug`, `info`, `warning` or `error`.
        plain: Lines for people, as in development; otherwise JSON, one object a line.
    """
    who = {"role": checked("role", role), "pid": os.getpid()}

    def dated(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        at = datetime.fromtimestamp(event["_record"].created, UTC)
        return {"timestamp": at.isoformat(timespec="milliseconds"), **line_of(_, __, event), **who}

    forms: list[structlog.typing.Processor] = [structlog.processors.JSONRenderer()]
    if plain:
        forms = [_below, structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0)]
    handler = _Handler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[dated, *forms], use_get_message=False, pass_foreign_args=True
        )
    )
    root = logging.getLogger()
    for former in root.handlers[:]:
        root.removeHandler(former)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.NOTSET if level == "debug" else logging.WARNING)
    structlog.configure(
        processors=[structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    # Put behind the text, it would be no literal any more; the fields come from elsewhere.
    activity.logger.activity_info_on_message = False
    workflow.logger.workflow_info_on_message = False
    _catch_the_rest()


def _below(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Put exceptions below the line, one frame a line, for people."""
    raised = event.pop("raised", ())
    if raised:
        lines = [f"    {text}" for one in raised for text in (one["error"], *one["frames"])]
        event["exception"] = "\n".join(lines)
    return event


def _catch_the_rest() -> None:
    """Have errors that nobody caught, and warnings, told in the log and nowhere else."""

    def uncaught(
        kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        del kind
        _log.critical("an error that nobody caught", exc_info=(type(error), error, traceback))

    def in_thread(told: threading.ExceptHookArgs) -> None:
        if told.exc_value is not None:
            uncaught(told.exc_type, told.exc_value, told.exc_traceback)

    def unraisable(told: "sys.UnraisableHookArgs") -> None:
        if told.exc_value is not None:
            uncaught(told.exc_type, told.exc_value, told.exc_traceback)

    def warned(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        del message, lineno, file, line
        _log.warning("%(error)s in %(file)s", {"error": category, "file": PurePath(filename)})

    sys.excepthook = uncaught
    threading.excepthook = in_thread
    sys.unraisablehook = unraisable
    warnings.showwarning = warned
