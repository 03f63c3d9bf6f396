"""Fields: all that a log line or a span may say beside a text of our code, each with its form.

A value goes out only under a name of this list and in that name's form: an id of fixed length, a
word of a closed set, a code, a number, a class, a file. Whatever else somebody hands over, a
secret, a key, a telephone's number, a statement, a model, leaves the name of its type and no more.
The forms are narrower than those of any code, token, key or number, so that one under a wrong name
does not get through either; where a form must be wide (staff and terminal numbers), digits in a row
are not.
"""

import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import PurePath
from types import TracebackType
from typing import Final

MAX_FRAMES: Final = 20
_MAX_ITEMS: Final = 20
_MAX_NUMBER: Final = 10**12

Value = str | int | float | bool | list[str]
"""What goes out: all of it plain."""
Form = Callable[[object], Value | None]
"""Gives a value as it goes out, or None for one that is not of this form."""


class Frames:
    """Where a traceback has been: files, lines and functions, without any value of theirs."""

    def __init__(self, traceback: TracebackType | None) -> None:
        """Read a traceback."""
        self.lines: list[str] = []
        while traceback is not None:
            code = traceback.tb_frame.f_code
            self.lines.append(f"{place(code.co_filename, traceback.tb_lineno)} {code.co_name}")
            traceback = traceback.tb_next
        del self.lines[:-MAX_FRAMES]

    def __str__(self) -> str:
        """All in one line, the innermost last."""
        return ", ".join(self.lines)


class StaffNo(str):
    """A staff number, said to be one where it was read: its form alone is a code's as well."""

    __slots__ = ()


class Thumbprint(str):
    """A certificate's thumbprint, said so where it was made: its form is a token's as well."""

    __slots__ = ()


def place(file: str, line: int) -> str:
    """A line of a file, named by its folder and itself: paths of the machine say too much."""
    return f"{'/'.join(PurePath(file).parts[-2:])}:{line}"


def mark(value: object) -> str:
    """What stands for a value that does not go out: its type."""
    return f"<{type(value).__name__}>"


def checked(name: str, value: object) -> Value:
    """A value as it goes out under a name, or its mark."""
    form = FORMS.get(name)
    said = None if form is None else form(value)
    return mark(value) if said is None else said


def text(pattern: str) -> Form:
    """A text that matches a pattern in whole; so may an enumeration's."""
    compiled = re.compile(pattern)

    def form(value: object) -> str | None:
        if not isinstance(value, str):
            return None
        plain = str.__str__(value)
        return plain if compiled.fullmatch(plain) else None

    return form


def one_of(*words: str) -> Form:
    """A word of a closed set."""
    return text("|".join(map(re.escape, words)))


def number(lowest: int = 0, highest: int = _MAX_NUMBER) -> Form:
    """A whole number; a bool is none."""

    def form(value: object) -> int | None:
        return value if type(value) is int and lowest <= value <= highest else None

    return form


def many(each: Form) -> Form:
    """A list of values of one form; those that are not leave their mark."""

    def form(value: object) -> list[str] | None:
        if not isinstance(value, list | tuple):
            return None
        said = [each(one) for one in value[:_MAX_ITEMS]]
        return [
            mark(one) if out is None else str(out) for one, out in zip(value, said, strict=False)
        ]

    return form


def _seconds(value: object) -> float | None:
    if type(value) not in (int, float):
        return None
    assert isinstance(value, int | float)  # noqa: S101 - what was just asked
    return round(value, 6) if 0 <= value < _MAX_NUMBER else None


def said_to_be(kind: type[str]) -> Form:
    """A text of a type of its own."""
    return lambda value: str.__str__(value) if isinstance(value, kind) else None


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _class(value: object) -> str | None:
    """The class of an exception, which its code names; never the exception."""
    if not isinstance(value, type):
        return None
    name = f"{value.__module__}.{value.__qualname__}".removeprefix("builtins.")
    return name if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.<>]{0,119}", name) else None


def _file(value: object) -> str | None:
    return str(value)[:200] if isinstance(value, PurePath) else None


def _frames(value: object) -> list[str] | None:
    return value.lines if isinstance(value, Frames) else None


_REQUEST: Final = text(r"[A-Za-z0-9_-]{24}")
_UUID: Final = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_DIGEST: Final = r"[0-9a-f]{64}"
_TIME: Final = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
# Terminal numbers have eight digits (ISO 8583-1, field 41), telephone numbers more.
_NO_NUMBER: Final = r"(?!.*[0-9]{9})"
_WORKFLOW: Final = text(
    rf"{_NO_NUMBER}loading-request/[A-Z0-9][A-Z0-9-]{{0,31}}"
    rf"|registry-notes/(?:{_UUID}|[a-z]{{1,20}}/(?:{_DIGEST}|[0-9a-f]{{32}}))"
    rf"|(?:key-order|registry-change)/{_DIGEST}"
    rf"|(?:registry-sync|key-export)(?:-{_TIME})?"
)
_CODE: Final = text(r"[a-z]{2,20}(?:-[a-z0-9]{1,20}){0,6}")
_COUNT: Final = number()
METHODS: Final = frozenset(
    {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", "any"}
)

FORMS: Final[Mapping[str, Form]] = {
    # Which process.
    "role": one_of("api", "ceremony", "keys", "codec", "operator"),
    "pid": number(1, 2**32),
    # What it works on.
    "request_id": _REQUEST,
    "first_request_id": _REQUEST,
    "workflow_id": _WORKFLOW,
    "workflows": many(_WORKFLOW),
    "workflow": text(r"(?:[A-Z][a-z]{1,15}){1,5}"),
    "run_id": text(_UUID),
    "activity": text(r"[a-z]{2,15}(?:_[a-z]{1,15}){0,4}"),
    "activity_id": number(1, 10**6),
    "attempt": number(1, 10**9),
    "signal": text(r"[a-z]{2,15}(?:_[a-z]{1,15}){0,4}"),
    "call_id": text(r"[0-9a-f]{16}"),
    "trace_id": text(r"[0-9a-f]{32}"),
    # An HTTP call.
    "method": one_of(*sorted(METHODS)),
    "route": text(r"(?:/(?:[a-z0-9_.-]{1,30}|\{[a-z_]{1,20}\})?){1,6}|unmatched"),
    "status": number(HTTPStatus.CONTINUE, 599),
    "seconds": _seconds,
    # What happened.
    "reason": _CODE,
    "act": _CODE,
    "alarm": _CODE,
    "seen": _COUNT,
    "error": _class,
    "errno": text(r"E[A-Z0-9]{2,15}"),
    "grpc_status": text(r"[A-Z]{2,15}(?:_[A-Z]{1,15}){0,2}"),
    "frames": _frames,
    "file": _file,
    "certificate": one_of("kdh", "kdh_next", "kdh_sm2"),
    "thumbprint": said_to_be(Thumbprint),
    "digest": text(_DIGEST),
    # Neither a code nor a check value.
    "key_id": text(rf"{_NO_NUMBER}(?![0-9a-f]{{4,6}}\Z)[a-z0-9][a-z0-9-]{{0,31}}"),
    "reader": said_to_be(StaffNo),
    "days": number(-(10**6), 10**6),
    "payloads": _COUNT,
    "refused": _COUNT,
    "keys": _COUNT,
    "kept": _COUNT,
    "locked": _COUNT,
    "waiting": _COUNT,
    "destroyed": _COUNT,
    "unknown": _COUNT,
    "adopted": _COUNT,
    "on": _flag,
}
"""Names and their forms."""
