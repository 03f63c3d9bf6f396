"""What all tests share: one Hypothesis profile, so that a run in CI repeats on any machine."""

import sys

from hypothesis import settings

# No deadline: two slow cores would fail a good test. No database: a run depends on the tree only.
settings.register_profile("keyfill", deadline=None, derandomize=True, database=None)
settings.load_profile("keyfill")

# `python-pkcs11` is installed on Linux only.
collect_ignore_glob = [] if sys.platform == "linux" else ["*test_hsm_*.py"]


def pytest_sessionfinish() -> None:
    """Stop the PostgreSQL server that tests of this process may have started."""
    used = sys.modules.get("tests.support.postgresql")
    if used is not None:
        used.stop()
