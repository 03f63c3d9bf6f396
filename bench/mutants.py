"""Mutation testing of the rules: change one thing, and see whether any test notices.

    python -m bench.mutants                          # every module of the claim
    python -m bench.mutants ceremony/qr.py --jobs 2  # one module
    python -m bench.mutants --check                  # and compare with docs/mutation-testing.md
    python -m bench.mutants --resume --check         # only what no run has seen killed yet

The operators are those of `bench.mutationoperators`, the tests those of `tests/ceremony` and
`tests/keymanagement`. Needs coverage.py. No file of the project is changed. With `--check` the
exit status is 1 if a mutant survived that the page does not excuse, if an excused one did not
survive, or if more than 5 % survived.
"""

import argparse
import ast
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from bench.mutationchoice import EFFORTS, Choice
from bench.mutationreach import Reach, measure
from bench.mutationsites import Mutant, mutants_of
from bench.mutationtrials import Finding, judge

FOLDERS: Final = ("ceremony", "keymanagement")
TESTS: Final = ("tests/ceremony", "tests/keymanagement")
_RELEASE: Final = (
    "case",
    "changerows",
    "codetries",
    "entries",
    "entryplace",
    "hostcopy",
    "journal",
    "journaldraft",
    "kcvseal",
    "oaepjws",
    "registryjournal",
    "registrymemory",
    "release",
    "releaserecord",
    "reliance",
    "settlement",
    "settling",
    "strength",
)
_ROOT: Final = Path(__file__).parents[1]
MODULES: Final = (
    *sorted(path.relative_to(_ROOT).as_posix() for path in _ROOT.glob("ceremony/[!_]*.py")),
    *(f"keymanagement/{name}.py" for name in _RELEASE),
)
EXCUSES: Final = Path("docs/mutation-testing.md")
WORK: Final = Path(".mutants")
SURVIVING_PERCENT: Final = 5
NOT_JUDGED: Final = "not judged"
ALIVE: Final = frozenset({"survived", "not placed", NOT_JUDGED})
_ROW: Final = re.compile(
    r"^\| `(?P<file>[^`]+)` \| `(?P<scope>[^`]+)` \| "
    r"`(?P<before>[^`]+)` → `(?P<after>[^`]+)` \| (?P<why>.+) \|$"
)


@dataclass(frozen=True, slots=True)
class Name:
    """What names a mutant wherever its line moves."""

    file: str
    scope: str
    before: str
    after: str

    def __str__(self) -> str:
        """As a row of the page begins."""
        cells = (f"`{self.file}`", f"`{self.scope}`", f"`{self.before}` → `{self.after}`")
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


class Verdicts:
    """What became of each mutant: a file of JSON lines, the newest of which counts.

    A kill is remembered for as long as the module's source stays the same.
    """

    def __init__(self, path: Path) -> None:
        """Read the file if there is one."""
        self._path = path
        self._found: dict[tuple[str, Name], str] = {}
        if path.exists():
            for line in path.read_text().splitlines():
                said = json.loads(line)
                self._found[said["source"], Name(*said["name"])] = said["verdict"]

    def of(self, source: str, name: Name) -> str:
        """`killed`, `timed out`, `survived`, or `not judged`."""
        found = self._found.get((source, name), NOT_JUDGED)
        return NOT_JUDGED if found == "not placed" else found

    def add(self, source: str, name: Name, finding: Finding) -> None:
        """Keep a verdict, at once."""
        self._found[source, name] = finding.verdict
        said = {
            "source": source,
            "name": [name.file, name.scope, name.before, name.after],
            "verdict": finding.verdict,
            "killer": finding.killer,
            "seconds": finding.seconds,
        }
        with self._path.open("a") as file:
            file.write(json.dumps(said) + "\n")


@dataclass(frozen=True, slots=True)
class Known:
    """A mutant of a module, whose tree it changes and whose source has this digest."""

    name: Name
    mutant: Mutant
    tree: ast.Module
    source: str


def main(arguments: Sequence[str]) -> int:
    """Run, report, and if asked compare with the page; gives the exit status."""
    parser = argparse.ArgumentParser(prog="bench.mutants", description=__doc__)
    parser.add_argument("modules", nargs="*", default=MODULES)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--resume", action="store_true", help="believe the kills of former runs")
    parser.add_argument("--quick", action="store_true", help="few tests for each mutant")
    parser.add_argument("--only-report", action="store_true", help="judge nothing")
    asked = parser.parse_args(arguments)
    WORK.mkdir(exist_ok=True)
    known = find(asked.modules)
    verdicts = Verdicts(WORK / "verdicts.jsonl")
    excuses = read_excuses(EXCUSES.read_text()) if EXCUSES.exists() else {}
    if not asked.only_report:
        former = verdicts if asked.resume else None
        run(known, verdicts, former, excuses, jobs=asked.jobs, quick=asked.quick)
    survived = {one.name for one in known if verdicts.of(one.source, one.name) in ALIVE}
    say(summary(known, verdicts))
    return check(known, survived, excuses) if asked.check else 0


def find(modules: Iterable[str]) -> list[Known]:
    """Every mutant of these modules."""
    known: list[Known] = []
    for file in modules:
        text = Path(file).read_text()
        tree = ast.parse(text)
        source = sha256(text.encode()).hexdigest()
        for mutant in mutants_of(tree):
            name = Name(file, mutant.scope, mutant.before, mutant.after)
            known.append(Known(name, mutant, tree, source))
    return known


def run(
    known: Sequence[Known],
    verdicts: Verdicts,
    former: Verdicts | None,
    excuses: Iterable[Name],
    *,
    jobs: int,
    quick: bool,
) -> None:
    """Judge mutants, least effort first; an excused one that survives it is left alone."""
    reach_file = WORK / "reach.json"
    if former is None or not reach_file.exists():
        measure(TESTS, FOLDERS, reach_file)
    choice = Choice(Reach.load(reach_file), FOLDERS)
    excused = set(excuses)
    found = {
        number: Finding(number, former.of(one.source, one.name) if former else NOT_JUDGED, "", 0)
        for number, one in enumerate(known)
    }
    for effort in EFFORTS[:2] if quick else EFFORTS:
        trials = [
            choice.trial(number, one.name.file, one.tree, one.mutant, effort)
            for number, one in enumerate(known)
            if found[number].verdict in ALIVE
            and not (one.name in excused and effort.thorough)
            and choice.suits(one.name.file, one.mutant, found[number], effort)
        ]
        say(f"{len(trials)} of {len(known)} mutants: {effort}")
        began = time.monotonic()
        reached = [one for one in trials if one.tests]
        for unreached in (known[trial.number] for trial in trials if not trial.tests):
            none_runs_it = Finding(0, "survived", "", 0)
            verdicts.add(unreached.source, unreached.name, none_runs_it)
        for done, finding in enumerate(judge(reached, TESTS, jobs), 1):
            found[finding.number] = finding
            one = known[finding.number]
            verdicts.add(one.source, one.name, finding)
            if done % 100 == 0:
                say(f"  {done} judged in {time.monotonic() - began:.0f} s")


def summary(known: Sequence[Known], verdicts: Verdicts) -> str:
    """The figures by module, as the table of the page."""
    lines = [
        "| module | mutants | killed | timed out | survived | not judged |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    files = dict.fromkeys(one.name.file for one in known)
    for file in [*files, None]:
        counted = Counter(
            verdicts.of(one.source, one.name) for one in known if file in {None, one.name.file}
        )
        judged = [counted[verdict] for verdict in ("killed", "timed out", "survived", NOT_JUDGED)]
        numbers = [counted.total(), *judged]
        label = f"`{file}`" if file else "all"
        lines.append(f"| {label} | " + " | ".join(str(number) for number in numbers) + " |")
    return "\n".join(lines)


def read_excuses(page: str) -> dict[Name, str]:
    """The excused mutants of the page, and why each is."""
    excuses: dict[Name, str] = {}
    for line in page.splitlines():
        row = _ROW.match(line.replace("\\|", "\0"))
        if row:
            cells = {name: text.replace("\0", "|") for name, text in row.groupdict().items()}
            why = cells.pop("why")
            excuses[Name(**cells)] = why
    return excuses


def check(known: Sequence[Known], survived: set[Name], excuses: dict[Name, str]) -> int:
    """Compare survivors with excuses; gives the exit status."""
    files = {one.name.file for one in known}
    stale = {name for name in excuses if name.file in files} - survived
    for name in sorted(survived - set(excuses), key=str):
        say(f"not excused: {name}")
    for name in sorted(stale, key=str):
        say(f"excused, but not among the survivors: {name}")
    percent = 100 * len(survived) / max(1, len(known))
    say(f"{len(survived)} of {len(known)} survived: {percent:.1f} %")
    return int(bool(survived - set(excuses) or stale or percent > SURVIVING_PERCENT))


def say(text: str) -> None:
    """Print at once."""
    print(text, flush=True)  # noqa: T201 - a command


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
