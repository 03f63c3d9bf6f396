"""Many ceremonies at once, by whole processes and over HTTP only.

    python -m bench.load --ceremonies 200 --at-once 50
    python -m bench.load --ceremonies 100 --at-once 50 --beside 1x1
    python -m bench.load --ceremonies 100 --at-once 50 --beside sqlite

Each ceremony has a terminal of its own, with an EPP key of its own, and a pair of administrators
who have four terminals. Rate limits and SMS caps are production's: every terminal and phone calls
from an address of its own, as from the branches of a bank. People never pause.

`--beside` runs a second arrangement by turns with the first, so that whatever else the machine
does slows down both, and gives the ratio. Exit code 1: an answer of 500 or above, a load that did
not end LOADED, a request with two keys, or records that are not as the key worker's journal says.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from bench.loadact import Act
from bench.loadcast import cast
from bench.loadchecks import wrong
from bench.loadcosts import costs, histories, rows, spent
from bench.loadcourse import Course
from bench.loadreport import figures, report
from bench.loadsystem import Plan, System, system
from engine.client import TemporalTarget, connect
from tests.support.arrangement import NAMESPACE

TURNS: Final = 4
"""With `--beside`, how often each arrangement has its turn."""


def main(arguments: Sequence[str]) -> int:
    """Run the load, tell what came of it, and give the exit code."""
    chosen = _parser().parse_args(arguments)
    first = Plan(chosen.apis, chosen.workers, chosen.database)
    plans = [first, *([_beside(first, chosen.beside)] if chosen.beside else [])]
    courses = [Course(plan, cast(chosen.ceremonies)) for plan in plans]
    with tempfile.TemporaryDirectory(prefix="keyfill-load-") as folder:
        asyncio.run(_run(Path(folder), courses, chosen.at_once))
    sys.stdout.write(report(courses, chosen.at_once))
    if chosen.json:
        chosen.json.write_text(json.dumps([figures(one) for one in courses], indent=2) + "\n")
    return 1 if any(one.failed for one in courses) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Many ceremonies at once.")
    parser.add_argument("--ceremonies", type=int, default=200)
    parser.add_argument("--at-once", type=int, default=50)
    parser.add_argument("--database", choices=("postgresql", "sqlite"), default="postgresql")
    parser.add_argument("--apis", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--beside", help="APIs x workers, as 1x1, or another database")
    parser.add_argument("--json", type=Path, help="where to write the figures as JSON")
    return parser


def _beside(plan: Plan, text: str) -> Plan:
    if text in ("postgresql", "sqlite"):
        return Plan(plan.apis, plan.workers, "sqlite" if text == "sqlite" else "postgresql")
    apis, _, workers = text.partition("x")
    return Plan(int(apis), int(workers), plan.engine)


async def _run(folder: Path, courses: Sequence[Course], at_once: int) -> None:
    turns = TURNS if len(courses) > 1 else 1
    async with AsyncExitStack() as stack:
        running: list[tuple[Course, System]] = []
        for n, course in enumerate(courses):
            place = folder / f"{n}"
            place.mkdir()
            made = await stack.enter_async_context(system(place, course.plan, course.parts))
            course.rows.append(rows(made.database))
            running.append((course, made))
        for turn in range(turns):
            for course, made in running:
                await _turn(course, made, at_once, turn, turns)
        for course, made in running:
            course.rows.append(rows(made.database))
            client = await connect(TemporalTarget(made.temporal.target.address, NAMESPACE))
            terminals = [one.terminal_no for one in course.parts]
            course.histories = await histories(client, terminals)
            course.wrong = wrong(made, course.played)


async def _turn(course: Course, made: System, at_once: int, turn: int, turns: int) -> None:
    """Play the share of one turn, and count what it costs."""
    share = course.parts[turn::turns]
    before, began = costs(made.roots), time.perf_counter()
    with ThreadPoolExecutor(at_once) as terminals:
        loop = asyncio.get_running_loop()
        acts = [Act(made, course.tally, one) for one in share]
        playing = [loop.run_in_executor(terminals, act.play) for act in acts]
        course.played += await asyncio.gather(*playing)
    course.turns.append((len(share), time.perf_counter() - began))
    course.add(spent(before, costs(made.roots)))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
