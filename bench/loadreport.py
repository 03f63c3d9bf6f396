"""A load test's figures, as people read them and as JSON."""

import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from bench.loadcourse import Course
from bench.loadtally import CHOSEN, percentiles

_MIB: Final = 1024 * 1024
_SHOWN: Final = 20
"""Of what went wrong, so many lines."""


def report(courses: Sequence[Course], at_once: int) -> str:
    """All figures of all courses; of two, the ratio of each turn as well."""
    lines: list[str] = []
    for one in courses:
        lines += [*_course(one, at_once), ""]
    if len(courses) > 1:
        lines += _ratio(courses[0], courses[1])
    return "\n".join(lines) + "\n"


def figures(course: Course) -> dict[str, Any]:
    """One course's figures."""
    count = max(1, len(course.played))
    before, after = course.rows
    return {
        "plan": str(course.plan),
        "ceremonies": len(course.played),
        "loaded": sum(one.loaded for one in course.played),
        "seconds": round(course.seconds, 2),
        "loads_a_minute": round(course.a_minute, 1),
        "server_errors": course.tally.server_errors,
        "troubles": {" ".join(map(str, one)): n for one, n in course.tally.troubles.items()},
        "cut": dict(course.tally.cut),
        "answers": dict(sorted(_statuses(course).items())),
        "retried": dict(sorted(course.tally.retried.items())),
        "milliseconds": {
            name: [round(1000 * one) for one in percentiles(values)]
            for name, values in _times(course).items()
        },
        "processor_seconds_per_load": {
            name: round(cost.seconds / count, 3) for name, cost in course.costs.items()
        },
        "peak_mib": {name: round(cost.peak) for name, cost in course.costs.items()},
        "rows_per_load": {
            name: round((rows - before.tables[name]) / count, 2)
            for name, rows in after.tables.items()
            if rows != before.tables[name]
        },
        "kib_per_load": round((after.size - before.size) / count / 1024, 1),
        "history_events": course.histories.events,
        "history_bytes": course.histories.size,
        "wrong": course.wrong,
    }


def _course(course: Course, at_once: int) -> list[str]:
    known = figures(course)
    lines = [
        f"{known['plan']}: {known['loaded']} of {known['ceremonies']} loaded, {at_once} at once, "
        f"in {known['seconds']} s: {known['loads_a_minute']} a minute",
        f"  answers by status: {known['answers']}, asked again after: {known['retried']}, "
        f"500 and above: {known['server_errors']}, connections cut: {known['cut']}",
        f"  {'milliseconds':52}{'calls':>7}" + "".join(f"{f'p{p}':>8}" for p in CHOSEN),
    ]
    times = _times(course)
    for name, values in known["milliseconds"].items():
        shown = "".join(f"{one:8}" for one in values)
        lines.append(f"    {name:50}{len(times[name]):7}{shown}")
    lines.append(f"  {'process':28}{'CPU s a load':>14}{'cores busy':>12}{'peak MiB':>10}")
    for name, cost in course.costs.items():
        share, each = cost.seconds / course.seconds, known["processor_seconds_per_load"][name]
        lines.append(f"    {name:26}{each:14.3f}{share:12.2f}{cost.peak:10.0f}")
    lines += [
        f"  rows a load: {known['rows_per_load']}",
        f"  the database grew by {known['kib_per_load']} KiB a load",
        f"  largest history: {known['history_events']} events, {known['history_bytes']} bytes",
    ]
    lines += [f"  WRONG: {n} times {one}" for one, n in known["troubles"].items()]
    lines += [f"  WRONG: {one}" for one in known["wrong"][:_SHOWN]]
    if not known["wrong"]:
        lines.append("  one active key each; journal, records and EPPs agree")
    return lines


def _ratio(one: Course, other: Course) -> list[str]:
    """How many times as many loads the first plan does in the same time, turn by turn."""

    def pace(turn: tuple[int, float]) -> float:
        return turn[0] / turn[1]

    pairs = zip(one.turns, other.turns, strict=True)
    ratios = [pace(mine) / pace(its) for mine, its in pairs]
    shown = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    middle = statistics.median(ratios)
    return [f"{one.plan} against {other.plan}: {middle:.2f} times as many loads ({shown})"]


def _times(course: Course) -> dict[str, list[float]]:
    whole = [one.seconds for one in course.played if one.loaded]
    calls = dict(sorted(course.tally.seconds.items()))
    return {"a whole ceremony": whole, **calls} if whole else calls


def _statuses(course: Course) -> Counter[int]:
    found: Counter[int] = Counter()
    for (_, status), count in course.tally.answers.items():
        found[status] += count
    return found
