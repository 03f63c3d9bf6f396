"""How test processes share the tests out: a file's tests stay together, the longest go first.

By itself xdist starts with the files that have most tests. Here a file of one test may take a
minute and one of a hundred a second: the long ones would come last, and one process would be at
them alone.
"""

from functools import cache
from pathlib import PurePosixPath
from typing import Final

import pytest
from xdist.remote import Producer  # type: ignore[import-untyped]
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

SAME: Final = {"tests/e2e/test_openssl_opens_demo_token.py": "tests/e2e/test_demo.py"}
"""Files whose tests look at one thing that takes long to make."""

FIRST: Final = (
    "tests/e2e/test_whole_load_on_screens.py",
    "tests/security/test_outage_anywhere.py",
    "tests/e2e/test_kiosk_screen.py",
    "tests/e2e/test_up_command.py",
    "tests/e2e/test_arrangement.py",
    "tests/e2e/test_demo.py",
    "tests/e2e/test_gm_demo.py",
    "tests/e2e/test_hsm_demo.py",
    "tests/e2e",
    "tests/security",
    "tests/workflows",
    "tests/api",
    "tests/engine",
    "tests/records",
)
"""Files and rings in the order in which they are begun; all others come after them."""


class Shares(LoadScopeScheduling):  # type: ignore[misc]
    """xdist's `loadfile`, with `SAME`, and in the order of the collection."""

    def __init__(self, config: pytest.Config, log: Producer | None = None) -> None:
        """Keep the order that `longest_first` made."""
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        return _file(nodeid)


def longest_first(items: list[pytest.Item]) -> None:
    """Put tests into the order in which they are to be shared out; a file's own order stays."""
    items.sort(key=lambda one: _rank(_file(one.nodeid)))


def _file(nodeid: str) -> str:
    file = nodeid.partition("::")[0]
    return SAME.get(file, file)


@cache
def _rank(file: str) -> int:
    places = (n for n, one in enumerate(FIRST) if PurePosixPath(file).is_relative_to(one))
    return next(places, len(FIRST))
