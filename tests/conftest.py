"""What all tests share: one Hypothesis profile, so that a run in CI repeats on any machine."""

from hypothesis import settings

# No deadline: two slow cores would fail a good test. No database: a run depends on the tree only.
settings.register_profile("keyfill", deadline=None, derandomize=True, database=None)
settings.load_profile("keyfill")
