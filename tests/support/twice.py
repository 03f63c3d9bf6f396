"""Which tests run again on PostgreSQL: all of the rings that use a database, with few exceptions.

`TEST_DATABASE=postgresql` runs these and no others. `tests/records` is not among them: its tests
run on both databases by themselves.
"""

import os
from typing import Final, Literal

import pytest

Engine = Literal["sqlite", "postgresql"]
ENGINES: Final[tuple[Engine, ...]] = ("sqlite", "postgresql")

RINGS: Final = ("activities", "api", "cli", "e2e", "security", "workflows")
"""Folders of `tests` whose tests may ask for a database, and are run on each."""

MARK: Final = "once"
MARKER: Final = f"{MARK}(reason): on SQLite, or on whatever the test says, but not again"


def chosen() -> Engine:
    """The database that this run is about.

    Raises:
        ValueError: if TEST_DATABASE names another.
    """
    named = os.environ.get("TEST_DATABASE") or "sqlite"
    for engine in ENGINES:
        if engine == named:
            return engine
    raise ValueError(f"TEST_DATABASE is one of {', '.join(ENGINES)}")


def runs_again(item: pytest.Item) -> bool:
    """Whether a test is one of those that run on PostgreSQL as well.

    Raises:
        pytest.UsageError: if it is marked not to, without a reason.
    """
    mark = item.get_closest_marker(MARK)
    if mark is not None and not mark.args:
        raise pytest.UsageError(f"{item.nodeid}: {MARK} needs a reason")
    return mark is None and in_rings(item.nodeid)


def in_rings(nodeid: str) -> bool:
    """Whether a test is in a ring whose tests run on both databases."""
    return nodeid.startswith(tuple(f"tests/{ring}/" for ring in RINGS))
