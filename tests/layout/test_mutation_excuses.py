"""The page of excused mutants speaks of the code as it is."""

from pathlib import Path

import pytest

from bench.mutants import EXCUSES, MODULES, Name, find, read_excuses

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _from_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules are named as from the project's root."""
    monkeypatch.chdir(ROOT)


def test_every_excused_mutant_exists() -> None:
    """Code that changed takes its excuse with it: a row that names no mutant must go."""
    excuses = read_excuses(EXCUSES.read_text())
    existing = {one.name for one in find(sorted({name.file for name in excuses}))}
    assert excuses, "the page excuses nothing, or its table is not read"
    assert set(excuses) <= existing, sorted(map(str, set(excuses) - existing))


def test_every_excuse_is_one_line_about_a_module_of_the_claim() -> None:
    """Each survivor is named and excused in one line."""
    for name, why in read_excuses(EXCUSES.read_text()).items():
        assert name.file in MODULES
        assert 10 <= len(why) <= 200, str(name)


def test_mutants_have_names_of_their_own() -> None:
    """No two mutants share a name, so no excuse covers more than it says."""
    names = [one.name for one in find(MODULES)]
    assert len(names) == len(set(names)) > 3_000


def test_a_row_reads_back() -> None:
    """What the run prints of a survivor is what the page is read for."""
    name = Name("ceremony/qr.py", "QrSeal.open", "a | b", "a & b #2")
    assert read_excuses(f"{name} it is the same |") == {name: "it is the same"}
