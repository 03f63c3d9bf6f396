"""What several commands take: the home folder, JSON instead of text, and how they end.

Exit codes of `keyfill`: 0 done, 1 a fault (run again), 2 wrong usage or set-up, 3 refused by a
rule, 4 something that is needed does not answer.
"""

import json
import sys
from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

Home = Annotated[
    Path,
    typer.Option("--home", envvar="KEYFILL_HOME", help="The deployment's folder.", file_okay=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON, one object a line.")]
DEFAULT_HOME = Path(".keyfill")


class Exit(IntEnum):
    """How a command ended."""

    DONE = 0
    FAULT = 1
    USAGE = 2
    REFUSED = 3
    UNAVAILABLE = 4


def leave(code: Exit, message: str) -> NoReturn:
    """End the command with a sentence on standard error."""
    typer.echo(message, err=True)
    raise typer.Exit(code)


def write_json(members: Mapping[str, Any]) -> None:
    """Write one JSON object as one line, at once."""
    sys.stdout.write(json.dumps(members, ensure_ascii=False) + "\n")
    sys.stdout.flush()
