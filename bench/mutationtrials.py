"""One mutant against its tests, in a process of its own.

A mutant never touches a file. One inside a function is put into the living function objects of a
forked copy of a process that has collected all tests. Any other, and one whose line runs while
modules are imported, gets a fork in which no module of the project has been imported yet, and an
importer that hands out the changed module.
"""

import gc
import importlib
import importlib.abc
import importlib.machinery
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final

import pytest

from bench.mutationreach import OPTIONS, FewExamples

_MEMORY_BYTES: Final = 6 * 1024**3
_SURVIVED: Final = 0
_KILLED: Final = 1
_NOT_PLACED: Final = 2
_PRELOADED: Final = (
    "OpenSSL.crypto",
    "_hypothesis_pytestplugin",
    "cryptography.hazmat.primitives.serialization.pkcs7",
    "cryptography.hazmat.primitives.twofactor.hotp",
    "cryptography.x509",
    "hypothesis.internal.conjecture.engine",
    "hypothesis.stateful",
    "joserfc.jwe",
    "joserfc.jws",
    "phonenumbers",
    "pydantic",
    "pytest_asyncio.plugin",
    "sqlite3",
    "webauthn",
    "xml.etree.ElementTree",
)


@dataclass(frozen=True, slots=True)
class Trial:
    """One mutant to judge: its number, its module's file, and its tests in order.

    `original` and `changed` compile the module; `fresh` asks for one that is imported anew.
    """

    number: int
    file: str
    original: Callable[[], CodeType]
    changed: Callable[[], CodeType]
    fresh: bool
    tests: tuple[str, ...]
    allowed_seconds: float


@dataclass(frozen=True, slots=True)
class Finding:
    """How a trial ended: `killed`, `timed out`, `survived` or `not placed`, and what killed.

    `not placed` is for a change that no living function can take; it needs a fresh import.
    """

    number: int
    verdict: str
    killer: str
    seconds: float


def judge(trials: Iterable[Trial], tests: Sequence[str], jobs: int) -> Iterator[Finding]:
    """Judge every trial, `jobs` at a time."""
    waiting = sorted(trials, key=lambda trial: trial.number)
    fresh = [trial for trial in waiting if trial.fresh]
    inner = [trial for trial in waiting if not trial.fresh]
    for name in _PRELOADED:
        importlib.import_module(name)
    yield from _pool(fresh, _judge_fresh, jobs)
    if inner:
        yield from _from_session(inner, tests, jobs)


def _from_session(trials: list[Trial], tests: Sequence[str], jobs: int) -> Iterator[Finding]:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        with os.fdopen(writing, "w") as results:
            pytest.main([*OPTIONS, *tests], plugins=[_Judging(trials, jobs, results)])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as results:
        for line in results:
            yield Finding(**json.loads(line))
    os.waitpid(child, 0)


class _Judging(FewExamples):
    def __init__(self, trials: list[Trial], jobs: int, results: Any) -> None:
        self._trials = trials
        self._jobs = jobs
        self._results = results

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        living = _living(trial.file for trial in self._trials)
        # Without the collector a fork does not copy what it only looks at.
        gc.collect()
        gc.freeze()
        gc.disable()

        def run(trial: Trial) -> str:
            _swap(trial, living[trial.file])
            return _first_failure([items[test] for test in trial.tests if test in items])

        for finding in _pool(self._trials, run, self._jobs):
            found = {name: getattr(finding, name) for name in Finding.__slots__}
            self._results.write(json.dumps(found) + "\n")
            self._results.flush()
        return True


class _Fresh(FewExamples):
    killer = ""

    def __init__(self, tests: Sequence[str]) -> None:
        self._order = {_function(test): place for place, test in reversed([*enumerate(tests)])}

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            self.killer = "(collection)"
            return True
        # By function: a parameter that the mutant changed has changed the test's name with it.
        chosen = [item for item in session.items if _function(item.nodeid) in self._order]
        chosen.sort(key=lambda item: self._order[_function(item.nodeid)])
        self.killer = _first_failure(chosen)
        return True


def _function(test: str) -> str:
    return test.split("[", 1)[0]


def _judge_fresh(trial: Trial) -> str:
    gc.disable()
    sys.meta_path.insert(0, _MutantFinder(trial))
    plugin = _Fresh(trial.tests)
    files = list(dict.fromkeys(test.split("::", 1)[0] for test in trial.tests))
    try:
        status = pytest.main([*OPTIONS, *files], plugins=[plugin])
    except BaseException as error:  # noqa: BLE001 - a mutant may raise anything, and is then dead
        return f"(import: {type(error).__name__})"
    if plugin.killer:
        return plugin.killer
    return "" if status in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED} else "(import)"


class _NotPlaced(Exception):
    """No living function can take the change: it must be there when the module is imported."""


class _MutantFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def __init__(self, trial: Trial) -> None:
        self._name = trial.file.removesuffix(".py").replace("/", ".")
        self._file = str(Path.cwd() / trial.file)
        self._code = trial.changed()

    def find_spec(
        self, fullname: str, path: Any, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        spec = importlib.machinery.ModuleSpec(fullname, self, origin=self._file)
        spec.has_location = True
        return spec

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        exec(self._code, vars(module))  # noqa: S102 - our own source, with one change


def _first_failure(items: list[pytest.Item]) -> str:
    from _pytest.runner import runtestprotocol

    for place, item in enumerate(items):
        following = items[place + 1] if place + 1 < len(items) else None
        reports = runtestprotocol(item, log=False, nextitem=following)
        if any(report.failed for report in reports):
            return item.nodeid
    return ""


def _living(files: Iterable[str]) -> dict[str, list[FunctionType]]:
    """Every function object whose code stands in one of these files."""
    found: dict[str, list[FunctionType]] = {file: [] for file in files}
    paths = {str(Path.cwd() / file): file for file in found}
    for one in gc.get_objects():
        if isinstance(one, FunctionType) and one.__code__.co_filename in paths:
            found[paths[one.__code__.co_filename]].append(one)
    return found


def _swap(trial: Trial, living: Iterable[FunctionType]) -> None:
    """Give every living function of the module the changed code."""
    former, changed = _codes(trial.original()), _codes(trial.changed())
    swapped = False
    for one in living:
        key = (one.__code__.co_qualname, one.__code__.co_firstlineno)
        if key in former and former[key] != changed.get(key):
            try:
                one.__code__ = changed[key]
            except (KeyError, ValueError) as error:
                raise _NotPlaced from error
            swapped = True
    if not swapped:
        raise _NotPlaced


def _codes(code: CodeType) -> dict[tuple[str, int], CodeType]:
    found: dict[tuple[str, int], CodeType] = {}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found[constant.co_qualname, constant.co_firstlineno] = constant
            found.update(_codes(constant))
    return found


def _pool(trials: list[Trial], run: Callable[[Trial], str], jobs: int) -> Iterator[Finding]:
    waiting = list(reversed(trials))
    running: dict[int, tuple[Trial, int, float]] = {}
    while waiting or running:
        while waiting and len(running) < jobs:
            trial = waiting.pop()
            child, pipe = _start(trial, run)
            running[child] = (trial, pipe, time.monotonic())
        for child, (trial, pipe, began) in list(running.items()):
            spent = time.monotonic() - began
            ended, status = os.waitpid(child, os.WNOHANG)
            late = ended == 0 and spent > trial.allowed_seconds
            if late:
                os.killpg(child, signal.SIGKILL)
                ended, status = os.waitpid(child, 0)
            if ended:
                del running[child]
                yield Finding(trial.number, *_verdict(status, pipe, late), round(spent, 2))
        time.sleep(0.005)


def _start(trial: Trial, run: Callable[[Trial], str]) -> tuple[int, int]:
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    os.setsid()
    os.close(reading)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    silence = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silence, stream)
    status = _KILLED
    try:
        killer = run(trial)
        os.write(writing, killer[:400].encode())
        status = _KILLED if killer else _SURVIVED
    except _NotPlaced:
        status = _NOT_PLACED
    except BaseException as error:  # noqa: BLE001 - as above
        os.write(writing, f"({type(error).__name__}: {error})"[:400].encode())
    finally:
        os._exit(status)


def _verdict(status: int, pipe: int, late: bool) -> tuple[str, str]:
    said = os.read(pipe, 4096).decode(errors="replace")
    os.close(pipe)
    if late:
        return "timed out", ""
    code = os.waitstatus_to_exitcode(status)
    if code in {_SURVIVED, _NOT_PLACED}:
        return "survived" if code == _SURVIVED else "not placed", ""
    return "killed", said or "(died)"
