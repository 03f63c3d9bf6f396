"""What all tests share: one Hypothesis profile, so that a run in CI repeats on any machine.

And which tests a run is about (`tests/support/twice.py`), and how several processes share them out.
"""

import sys

import pytest
from hypothesis import settings
from xdist.remote import Producer  # type: ignore[import-untyped]

from tests.support.sharing import Shares, longest_first
from tests.support.twice import MARKER, chosen, runs_again

# No deadline: two slow cores would fail a good test. No database: a run depends on the tree only.
settings.register_profile("keyfill", deadline=None, derandomize=True, database=None)
settings.load_profile("keyfill")

# `python-pkcs11` is installed on Linux only.
collect_ignore_glob = [] if sys.platform == "linux" else ["*test_hsm_*.py"]


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", MARKER)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what does not run again on PostgreSQL, if this run is about that."""
    again = [one for one in items if runs_again(one)]
    if chosen() == "postgresql":
        config.hook.pytest_deselected(items=list(set(items) - set(again)))
        items[:] = again
    if hasattr(config, "workerinput"):
        longest_first(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Shares | None:
    """Share `--dist loadfile` out in an order of our own."""
    return Shares(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Stop the PostgreSQL server that tests of this process may have started.

    If none of the chosen tests uses a database, there is nothing to run again, and that is well.
    """
    if chosen() == "postgresql" and exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
        session.exitstatus = pytest.ExitCode.OK
    used = sys.modules.get("tests.support.postgresql")
    if used is not None:
        used.stop()
