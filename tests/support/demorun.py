"""What a finished run of the demo leaves to look at."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any


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
