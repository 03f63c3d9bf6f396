"""Which tests judge a mutant, in which order, and how much of their time it is worth."""

import ast
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import CodeType
from typing import Final

from bench.mutationreach import Reach
from bench.mutationsites import Mutant
from bench.mutationtrials import Finding, Trial


@dataclass(frozen=True, slots=True)
class Effort:
    """How much one trial is worth: seconds of tests, as measured, and test files to import anew.

    With no files the mutant is put into a process that has everything imported.
    """

    seconds: float
    files: int
    thorough: bool = False


# Most mutants die in a second. What does not meets more tests, and a fresh import of its module.
EFFORTS: Final = (
    Effort(1.5, 0),
    Effort(1.5, 3),
    Effort(8, 0, thorough=True),
    Effort(8, 14, thorough=True),
)


class Choice:
    """Which tests judge a mutant, in which order: those nearest to it, the quickest first."""

    def __init__(self, reach: Reach, folders: Iterable[str]) -> None:
        self._reach = reach
        self._sources = {
            path.as_posix(): path.read_text().splitlines()
            for folder in folders
            for path in sorted(Path(folder).glob("*.py"))
        }
        self._test_files = {
            name: Path(name).read_text()
            for name in {test.split("::", 1)[0] for test in reach.seconds}
        }
        self._ranks: dict[str, dict[str, int]] = {}
        self._files_naming: dict[str, set[str]] = {}

    def suits(self, file: str, mutant: Mutant, found: Finding, effort: Effort) -> bool:
        """Whether such a trial can tell more than the ones before it."""
        if effort.files == 0:
            return mutant.in_function and found.verdict != "not placed"
        if not mutant.in_function or found.verdict == "not placed":
            return True
        lines = (mutant.first_line, mutant.last_line)
        return effort.thorough and self._reach.runs_at_import(file, *lines)

    def trial(  # noqa: D102 - as the class says
        self, number: int, file: str, tree: ast.Module, mutant: Mutant, effort: Effort
    ) -> Trial:
        reaching = self._reach.of_lines(file, mutant.first_line, mutant.last_line)
        if effort.files == 0:
            near = self._nearest(mutant, file, reaching)
        else:
            near = self._in_files(self._near(mutant, file, reaching), effort.files)
        tests = self._capped(near, effort.seconds)
        cost = sum(self._reach.seconds[test] for test in tests)
        return Trial(
            number=number,
            file=file,
            original=partial(_compiled, tree, file),
            changed=partial(_compiled, tree, file, mutant),
            fresh=effort.files > 0,
            tests=tests,
            allowed_seconds=40 + 10 * cost,
        )

    def _nearest(self, mutant: Mutant, file: str, reaching: set[str]) -> list[str]:
        """Tests whose file names the function, then the module, then the rest."""
        own_names = [part for part in mutant.scope.split(".") if not part.startswith("__")]
        words = (*reversed(own_names), file.removesuffix(".py").replace("/", "."))
        naming = [self._naming(word) for word in words]

        def rank(test: str) -> tuple[int, float]:
            own = test.split("::", 1)[0]
            near = next((at for at, files in enumerate(naming) if own in files), len(naming))
            # A long property test of the very function still comes after the short tests.
            return near + int(self._reach.seconds[test] / 0.3), self._reach.seconds[test]

        return sorted(reaching, key=rank)

    def _naming(self, word: str) -> set[str]:
        if word not in self._files_naming:
            pattern = re.compile(rf"\b{re.escape(word)}\b")
            self._files_naming[word] = {
                file for file, text in self._test_files.items() if pattern.search(text)
            }
        return self._files_naming[word]

    def _near(self, mutant: Mutant, file: str, reaching: set[str]) -> list[str]:
        """For what stands outside of functions: the tests of the lines that mention its names."""
        module = file.removesuffix(".py").replace("/", ".")
        ranks = dict.fromkeys(reaching if mutant.in_function else (), 0)
        for place, name in enumerate((*mutant.names, module)):
            for test, rank in self._ranks_of(name).items():
                ranks.setdefault(test, 3 * place + rank)
        return sorted(ranks, key=lambda test: (ranks[test], self._reach.seconds[test]))

    def _ranks_of(self, name: str) -> dict[str, int]:
        """Tests that name it and run a line with it: 0; run such a line: 1; only name it: 2."""
        if name not in self._ranks:
            word = re.compile(rf"\b{re.escape(name)}\b")
            running = {
                test
                for source, lines in self._sources.items()
                for line, text in enumerate(lines, 1)
                if word.search(text)
                for test in self._reach.of_lines(source, line, line)
            }
            naming = self._naming(name)
            ranks = self._ranks[name] = dict.fromkeys(running, 1)
            for test in self._reach.seconds:
                if test.split("::", 1)[0] in naming:
                    ranks[test] = 0 if test in running else 2
        return self._ranks[name]

    def _in_files(self, tests: Iterable[str], most: int) -> list[str]:
        files: dict[str, None] = {}
        chosen = []
        for test in tests:
            file = test.split("::", 1)[0]
            if file in files or len(files) < most:
                files[file] = None
                chosen.append(test)
        return chosen

    def _capped(self, tests: Sequence[str], seconds: float) -> tuple[str, ...]:
        chosen: list[str] = []
        left = seconds
        for test in tests:
            if self._reach.seconds[test] <= left:
                left -= self._reach.seconds[test]
                chosen.append(test)
        return tuple(chosen or sorted(tests, key=lambda test: self._reach.seconds[test])[:1])


def _compiled(tree: ast.Module, file: str, mutant: Mutant | None = None) -> CodeType:
    path = str(Path.cwd() / file)
    if mutant is None:
        return compile(tree, path, "exec", dont_inherit=True)
    with mutant.applied():
        return compile(ast.fix_missing_locations(tree), path, "exec", dont_inherit=True)
