"""A process's log, set up as a process sets it up and written into memory."""

import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from temporalio import activity, workflow

from telemetry import logs


class ProcessLog:
    """What the process has logged."""

    def __init__(self, *, plain: bool) -> None:
        """Remember the form."""
        self.plain = plain
        self.stream = io.StringIO()

    @property
    def text(self) -> str:
        """All of it."""
        return self.stream.getvalue()

    def lines(self) -> list[dict[str, Any]]:
        """Its lines, of the JSON form."""
        return [json.loads(line) for line in self.text.split("\n") if line]


@contextmanager
def process_log(*, plain: bool, role: str = "keys", level: str = "info") -> Iterator[ProcessLog]:
    """Set up the log; afterwards all is as it was."""
    root = logging.getLogger()
    handlers, former = root.handlers[:], root.level
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook, warnings.showwarning
    made = ProcessLog(plain=plain)
    try:
        logs.set_up(role, level, plain=plain)
        (handler,) = root.handlers
        assert isinstance(handler, logging.StreamHandler)
        handler.setStream(made.stream)
        yield made
    finally:
        root.handlers[:] = handlers
        root.setLevel(former)
        sys.excepthook, threading.excepthook, sys.unraisablehook, warnings.showwarning = hooks
        for name in logs.TALKATIVE:
            logging.getLogger(name).setLevel(logging.NOTSET)
        structlog.reset_defaults()
        activity.logger.activity_info_on_message = True
        workflow.logger.workflow_info_on_message = True
