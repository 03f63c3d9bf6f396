"""The `keyfill` command as tests run it."""

from collections.abc import Callable
from typing import Any

from typer.testing import Result

Keyfill = Callable[..., Result]
"""Runs the command with these arguments; `typed` is its input, the rest its environment."""

Lines = Callable[..., list[dict[str, Any]]]
"""Runs a command with --json that has to end with 0, and gives its lines."""
