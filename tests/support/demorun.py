"""Runs of the demo by whole processes, and what a finished one leaves to look at."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).parents[2]
WITHIN_SECONDS: Final = 240.0
WHOLE: Final = ("-m", "cli")
"""The demo as `keyfill demo` is."""
FIRST_LOAD: Final = (
    "-c",
    """
import cli
from commands import demo
demo.SCENARIOS = demo.SCENARIOS[:1]
demo.COLLEAGUES = demo.COLLEAGUES[:2]
cli.main()
""",
)
"""The demo's first terminal only: the others show what no format and no key manager changes."""


@dataclass(frozen=True)
class DemoRun:
    """A finished `keyfill demo --json --export`."""

    exit_code: int
    lines: list[dict[str, Any]]
    errors: str
    export: Path
    temporary: Path

    def outcome(self, terminal_no: str) -> dict[str, Any]:
        """The outcome of one terminal's load."""
        return next(
            line
            for line in self.lines
            if line.get("event") == "outcome" and line["terminal_no"] == terminal_no
        )


def run_demo(
    folders: pytest.TempPathFactory,
    *options: str,
    program: Sequence[str] = WHOLE,
    **environment: str,
) -> DemoRun:
    """Run `keyfill demo --json --export` to its end, with a folder for temporary files of its own.

    `options` are further ones of the command, `environment` what it is told to do otherwise.
    """
    export, temporary = folders.mktemp("export"), folders.mktemp("demo")
    inherited = {name: value for name, value in os.environ.items() if name != "TEMPORAL_ADDRESS"}
    done = subprocess.run(
        [sys.executable, "-P", *program, "demo", "--json", *options, "--export", str(export)],
        env={**inherited, "PYTHONPATH": str(ROOT), "TMPDIR": str(temporary), **environment},
        cwd=temporary,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WITHIN_SECONDS,
        check=False,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return DemoRun(done.returncode, lines, done.stderr, export, temporary)
