"""`keyfill doctor`: checks everything that a deployment needs, and says what to do."""

import asyncio
from pathlib import Path
from typing import Annotated, Final

import typer

from commands.checks import Finding, Grade
from commands.options import DEFAULT_HOME, AsJson, Exit, Home, write_json
from commands.running import Running

_SIGNS: Final = {Grade.GOOD: "ok", Grade.WARNING: "note", Grade.BAD: "MEND", Grade.AWAY: "AWAY"}

Address = Annotated[
    str | None, typer.Option("--api", help="Where the API answers; by default its origin.")
]


def doctor(home: Home = DEFAULT_HOME, api: Address = None, as_json: AsJson = False) -> None:
    """Check settings, keys, certificates, database, Temporal, workers, servers and clocks.

    Looks at the roles whose secrets are on this machine. Changes nothing. Ends with 0 if all is
    well (notes apart), 2 if something has to be mended, 4 if something only does not answer.
    """
    grades: set[Grade] = set()
    for finding in asyncio.run(_examined(home, api)):
        grades.add(finding.grade)
        if as_json:
            write_json({"check": finding.check, "grade": finding.grade, "says": finding.says})
        else:
            typer.echo(f"{_SIGNS[finding.grade]:5} {finding.check}: {finding.says}")
    if Grade.BAD in grades:
        raise typer.Exit(Exit.USAGE)
    if Grade.AWAY in grades:
        raise typer.Exit(Exit.UNAVAILABLE)


async def _examined(home: Path, api: str | None) -> list[Finding]:
    from commands.examination import Examination

    running = Running.read(home)
    return [
        finding
        async for finding in Examination(
            home,
            api or (running.api if running else None),
            running.codec if running else None,
        ).findings()
    ]
