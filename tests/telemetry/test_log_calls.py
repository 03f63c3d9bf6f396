"""Every log call of ours says a literal, with named arguments that the log lets out."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from telemetry.fields import FORMS

ROOT: Final = Path(__file__).parents[2]
LEVELS: Final = {"debug", "info", "warning", "error", "exception", "critical"}
LOGGERS: Final = {"_log", "_LOG", "logger"}
ELSEWHERE: Final = {"tests", "bench", "build", ".venv"}
NAMED: Final = re.compile(r"%\((\w+)\)")
BARE: Final = re.compile(r"%(?![%(])")


def calls() -> Iterator[tuple[str, ast.Call]]:
    """Every call of a logger in what is installed, with its place."""
    for path in sorted(ROOT.rglob("*.py")):
        inner = path.relative_to(ROOT)
        if inner.parts[0] in ELSEWHERE or inner.parts[0].startswith("."):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner = node.func.value
                name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
                if name in LOGGERS and node.func.attr in LEVELS | {"log"}:
                    yield f"{inner}:{node.lineno}", node


CALLS: Final = dict(calls())


def test_there_are_calls_to_look_at() -> None:
    """The search finds them."""
    assert len(CALLS) > 15
    assert {"worker.py", "keyworker.py", "api"} <= {re.split(r"[:/]", one)[0] for one in CALLS}


@pytest.mark.parametrize("place", CALLS)
def test_a_call_says_a_literal_with_named_arguments(place: str) -> None:
    """What is put together, or has no name, would be a mark in the log; unknown names too."""
    call = CALLS[place]
    assert isinstance(call.func, ast.Attribute)
    text, *arguments = call.args[1:] if call.func.attr == "log" else call.args
    assert isinstance(text, ast.Constant) and isinstance(text.value, str)
    assert not BARE.search(text.value.replace("%%", ""))
    assert set(NAMED.findall(text.value)) <= FORMS.keys()
    assert len(arguments) <= 1
    for argument in arguments:
        assert isinstance(argument, ast.Dict)
        keys = {key.value for key in argument.keys if isinstance(key, ast.Constant)}
        assert keys <= FORMS.keys()
        unpacked = None in argument.keys
        assert unpacked or set(NAMED.findall(text.value)) <= keys
    assert not {one.arg for one in call.keywords} - {"exc_info"}
