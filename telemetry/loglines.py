"""Log lines: what is left of a log record when only what is known to be harmless goes out.

- The text goes out if it is a literal in the code that logged it; a text that was put together at
  run time could hold anything, and leaves its place in the code instead.
- Arguments have names: `_log.info("%(days)d days left", {"days": 3})`. A named one goes out in its
  field's form (`telemetry.fields`), in the text and beside it; one without a name, as libraries
  have them, leaves its type.
- An exception leaves its classes and frames; never its message, arguments or local variables.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from logging import LogRecord
from types import FrameType
from typing import Any, Final, Protocol

import structlog
from opentelemetry import trace
from structlog.typing import EventDict, WrappedLogger
from temporalio import activity

from telemetry.fields import FORMS, Frames, Value, checked, mark, place

CORE_LOG: Final = "temporal_log"
"""The attribute of a record that Temporal's core handed on; see `telemetry.corelogs`."""


class CoreLog(Protocol):
    """What Temporal's core logged."""

    @property
    def message(self) -> str:
        """Its text, put together."""

    @property
    def fields(self) -> Mapping[str, Any]:
        """What it says beside its text."""


_ARGUMENT: Final = re.compile(
    r"%(?P<name>\(\w+\))?[-#0 +]*(?:\d+|\*)?(?:\.(?:\d+|\*))?[hlL]?[diouxXeEfFgGcrsa%]"
)
_NAME: Final = re.compile(r"[a-z][a-z_]{0,30}")
_LOGGER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,99}")
_WORDS: Final = re.compile(r"[A-Za-z',;:.-]{1,16}(?: [A-Za-z',;:.-]{1,16}){0,19}")
"""A text of core without any digit or long word: no code, number, key or token is like that."""
_LONGEST_CHAIN: Final = 5
_PLACES: Final = ("temporal_workflow", "temporal_activity")
"""The attributes of a record in which Temporal's loggers say where they are."""
_SHOWN: Final = (
    ("workflow_id", "workflow_id"),
    ("run_id", "run_id"),
    ("workflow_run_id", "run_id"),
    ("workflow_type", "workflow"),
    ("activity_type", "activity"),
    ("attempt", "attempt"),
)
"""What Temporal calls it, and what the field is called."""


def line_of(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Make a line's fields of a log record, as a processor of structlog's formatter."""
    record: LogRecord = event["_record"]
    said, named = _said(record, event)
    line: EventDict = {"level": record.levelname.lower(), "logger": _logger(record), "event": said}
    for name, value in {**_whereabouts(record), **_bound(), **named}.items():
        if value is not None:
            known = name if _NAME.fullmatch(name) else "unnamed"
            line[known] = checked(name, value)
    error = _error(event.get("exc_info"))
    if error is not None:
        line["raised"] = list(chain(error))
    return line


def chain(error: BaseException) -> Iterator[dict[str, Value]]:
    """The classes and frames of an exception and of its causes, the latest first."""
    following: BaseException | None = error
    for _ in range(_LONGEST_CHAIN):
        if following is None:
            return
        frames = Frames(following.__traceback__).lines
        yield {"error": checked("error", type(following)), "frames": frames}
        following = following.__cause__ or (
            None if following.__suppress_context__ else following.__context__
        )


def _said(record: LogRecord, event: EventDict) -> tuple[str, Mapping[str, Any]]:
    """A record's text and its named values."""
    core = getattr(record, CORE_LOG, None)
    if core is not None:
        return _of_core(core)
    if event["_from_structlog"]:
        named = {
            name: value
            for name, value in event.items()
            if not name.startswith("_") and name not in ("event", "exc_info", "stack_info")
        }
        template: Any = event.get("event")
        given: Any = named
    else:
        template, given = record.msg, event.get("positional_args")
    arguments = given if isinstance(given, Mapping) else {}
    nameless = given if isinstance(given, tuple) else ()
    if not isinstance(template, str) or not _is_literal(template, record):
        return f"{mark(template)} at {place(record.pathname, record.lineno)}", arguments
    # Logging itself leaves the text of a call without arguments as it is.
    return _filled(template, arguments, nameless) if given else template, arguments


def _error(told: object) -> BaseException | None:
    """The exception that a call was given, in any way that logging and structlog take it."""
    if told is True:
        return sys.exception()
    if isinstance(told, tuple):
        told = told[1]
    return told if isinstance(told, BaseException) else None


def _filled(template: str, arguments: Mapping[str, Any], nameless: tuple[object, ...]) -> str:
    """The text with every named argument in its field's form, and the others' marks."""
    left = iter(nameless)

    def put(found: re.Match[str]) -> str:
        if found[0].endswith("%"):
            return "%"
        name = (found["name"] or "").strip("()")
        if name not in arguments:
            return mark(next(left, None))
        said = checked(name, arguments[name])
        return ", ".join(said) if isinstance(said, list) else str(said)

    return _ARGUMENT.sub(put, template)


def _is_literal(template: str, record: LogRecord) -> bool:
    """Whether the text is a constant of the code that logged it, which is still being run."""
    # As logging itself finds it.
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if (
            frame.f_lineno == record.lineno
            and code.co_name == record.funcName
            and code.co_filename == record.pathname
        ):
            return any(one is template or one == template for one in code.co_consts)
        frame = frame.f_back
    return False


def _of_core(core: CoreLog) -> tuple[str, Mapping[str, Any]]:
    """What Temporal's core logged: its text if it is words only, and the fields that we know."""
    words = core.message if _WORDS.fullmatch(core.message) else mark(core.message)
    fields = core.fields
    return words, {ours: fields[theirs] for theirs, ours in _SHOWN if theirs in fields}


def _whereabouts(record: LogRecord) -> dict[str, Any]:
    """Which trace, workflow and activity the process is in, as OpenTelemetry and Temporal know."""
    found: dict[str, Any] = {}
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        found["trace_id"] = trace.format_trace_id(span.trace_id)
    details: Mapping[str, Any] = {}
    for attribute in _PLACES:
        told = getattr(record, attribute, None)
        if isinstance(told, Mapping):
            details = told
    if not details and activity.in_activity():
        info = activity.info()
        details = {
            "workflow_id": info.workflow_id,
            "workflow_run_id": info.workflow_run_id,
            "workflow_type": info.workflow_type,
            "activity_type": info.activity_type,
            "attempt": info.attempt,
        }
    found |= {ours: details[theirs] for theirs, ours in _SHOWN if theirs in details}
    return found


def _bound() -> dict[str, Any]:
    """What was bound for this call or activity."""
    return structlog.contextvars.get_contextvars()


def _logger(record: LogRecord) -> str:
    return record.name if _LOGGER.fullmatch(record.name) else "unnamed"


assert {ours for _, ours in _SHOWN} <= FORMS.keys()  # noqa: S101 - a slip of the pen
