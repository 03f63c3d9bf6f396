"""How the tests are shared out among processes, and which of them run again on PostgreSQL."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from tests.support import databases, twice
from tests.support.sharing import FIRST, SAME, Shares, longest_first

ROOT = Path(__file__).parents[2]


class Item(SimpleNamespace):
    """As much of a test as is looked at."""

    def get_closest_marker(self, name: str) -> pytest.Mark | None:
        """Its mark of this name."""
        return self.marks.get(name)  # type: ignore[no-any-return]


def item(nodeid: str, *reason: str, marked: bool = False) -> pytest.Item:
    """A test, marked to run once or not."""
    marks = {twice.MARK: pytest.Mark(twice.MARK, reason, {}, _ispytest=True)} if marked else {}
    return cast(pytest.Item, Item(nodeid=nodeid, marks=marks))


@pytest.mark.parametrize(
    "named", [*FIRST, *SAME, *SAME.values(), *(f"tests/{r}" for r in twice.RINGS)]
)
def test_what_is_named_is_there(named: str) -> None:
    """A file or ring that was renamed is named so here too."""
    assert (ROOT / named).exists()


def test_long_files_are_begun_first_and_stay_whole() -> None:
    """The longest file, then its ring, then the rest; within a file the order is as written."""
    rest = ["tests/ceremony/test_a.py::test_2", "tests/ceremony/test_a.py::test_1"]
    ring = ["tests/e2e/test_a.py::test_1[x]"]
    first = [f"{FIRST[0]}::test_2", f"{FIRST[0]}::test_1"]
    items = [item(one) for one in (*rest, *ring, *first)]
    longest_first(items)
    assert [one.nodeid for one in items] == [*first, *ring, *rest]


def test_files_about_one_thing_go_to_one_process() -> None:
    """The demo's two files are one share; any other file is one by itself."""
    share = Shares._split_scope
    (one, other), *_ = SAME.items()
    assert share(cast(Shares, None), f"{one}::test_1") == other
    assert share(cast(Shares, None), f"{other}::test_1[a::b]") == other
    assert share(cast(Shares, None), "tests/api/test_a.py::test_1") == "tests/api/test_a.py"


def test_all_of_a_ring_runs_again_but_what_gives_a_reason_not_to() -> None:
    """A test of these rings runs on PostgreSQL too; one that does not must say why."""
    assert twice.runs_again(item("tests/api/test_a.py::test_1"))
    assert not twice.runs_again(item("tests/ceremony/test_a.py::test_1"))
    assert not twice.runs_again(item("tests/api/test_a.py::test_1", "a kiosk", marked=True))
    with pytest.raises(pytest.UsageError, match="reason"):
        twice.runs_again(item("tests/api/test_a.py::test_1", marked=True))


@pytest.mark.parametrize("make", [databases.make_database, databases.make_empty_database])
def test_a_database_is_only_for_tests_that_run_on_both(
    make: databases.Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ring whose tests would run on SQLite only is told to be named."""
    with pytest.raises(AssertionError, match=r"twice\.py"):
        make(tmp_path)
    monkeypatch.setenv("PYTEST_CURRENT_TEST", "tests/api/test_a.py::test_1 (call)")
    monkeypatch.delenv("TEST_DATABASE", raising=False)
    assert make(tmp_path).startswith("sqlite:///")
    monkeypatch.setenv("TEST_DATABASE", "oracle")
    with pytest.raises(ValueError, match="postgresql"):
        make(tmp_path)
