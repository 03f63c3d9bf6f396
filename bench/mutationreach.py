"""Which tests reach which lines, measured by coverage.py in one run of all the tests."""

import importlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import Phase, settings

OPTIONS: Final = (
    "--disable-plugin-autoload",
    "-p_hypothesis_pytestplugin",
    "-ppytest_asyncio.plugin",
    "--capture=no",
    "--hypothesis-profile=mutants",
    "--override-ini=addopts=",
    "--import-mode=importlib",
    "-pno:cacheprovider",
    "-pno:terminal",
    # Hypothesis is imported first, on purpose: forks need not repeat it.
    "-Wignore:Module already imported:pytest.PytestAssertRewriteWarning",
)
EXAMPLES: Final = 25
"""Examples of a property at most: a mutant that only the hundredth finds counts as survived."""


@dataclass
class Reach:
    """Which tests run which lines, and the processor time of each test, in seconds.

    `lines` is by file (relative, as `ceremony/qr.py`), then line; `imported` holds the lines that
    ran outside of any test.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    lines: dict[str, dict[int, list[str]]] = field(default_factory=dict)
    imported: dict[str, list[int]] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Keep it as JSON."""
        path.write_text(json.dumps(vars(self)))

    @classmethod
    def load(cls, path: Path) -> "Reach":
        """Read what was kept."""
        kept = json.loads(path.read_text())
        lines = {
            file: {int(line): tests for line, tests in of_file.items()}
            for file, of_file in kept["lines"].items()
        }
        return cls(kept["seconds"], lines, kept["imported"])

    def of_lines(self, file: str, first: int, last: int) -> set[str]:
        """The tests that run any of these lines."""
        of_file = self.lines.get(file, {})
        return {test for line in range(first, last + 1) for test in of_file.get(line, ())}

    def runs_at_import(self, file: str, first: int, last: int) -> bool:
        """Whether any of these lines runs outside of tests."""
        return any(first <= line <= last for line in self.imported.get(file, ()))


def measure(tests: Sequence[str], folders: Sequence[str], path: Path) -> None:
    """Run the tests once under coverage.py, in a process of its own, and keep their reach.

    Raises:
        RuntimeError: if a test fails: mutants cannot be judged by failing tests.
    """
    child = os.fork()
    if child == 0:
        os._exit(_measured(tests, folders, path))
    if os.waitpid(child, 0)[1] != 0:
        raise RuntimeError("the tests fail without any mutant")


def _measured(tests: Sequence[str], folders: Sequence[str], path: Path) -> int:
    # No dependency of Keyfill's beyond this program: `python -m pip install coverage`.
    coverage = importlib.import_module("coverage")
    root = Path.cwd()
    tracer = coverage.Coverage(
        data_file=None, include=[f"{folder}/*" for folder in folders], config_file=False
    )
    tracer.start()
    plugin = _Measuring(tracer.switch_context)
    status = int(pytest.main([*OPTIONS, *tests], plugins=[plugin]))
    tracer.stop()
    data = tracer.get_data()
    reach = Reach(plugin.seconds)
    for name in data.measured_files():
        file = Path(name).relative_to(root).as_posix()
        by_line = data.contexts_by_lineno(name)
        reach.lines[file] = {
            line: [one for one in contexts if one] for line, contexts in by_line.items()
        }
        reach.imported[file] = [line for line, contexts in by_line.items() if "" in contexts]
    reach.save(path)
    return status


class FewExamples:
    """Few examples, and no shrinking: a failure is enough."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Have the profile that the options ask for."""
        settings.register_profile(
            "mutants",
            deadline=None,
            derandomize=True,
            database=None,
            max_examples=EXAMPLES,
            phases=[Phase.explicit, Phase.generate],
        )

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Cut down the properties that ask for more examples."""
        for item in items:
            test: Any = getattr(item, "obj", None)
            test = getattr(test, "__func__", test)
            asked = getattr(test, "_hypothesis_internal_use_settings", None)
            if asked is not None and asked.max_examples > EXAMPLES:
                test._hypothesis_internal_use_settings = settings(asked, max_examples=EXAMPLES)


class _Measuring(FewExamples):
    def __init__(self, switch: Callable[[str], None]) -> None:
        self.seconds: dict[str, float] = {}
        self._switch = switch

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._switch(item.nodeid)
        began = time.process_time()
        try:
            return (yield)
        finally:
            self.seconds[item.nodeid] = time.process_time() - began
            self._switch("")
