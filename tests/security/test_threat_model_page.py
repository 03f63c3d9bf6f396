"""The pages that list attacks and threats, held against the tests that show them."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

HERE = Path(__file__).parent
DOCS = HERE.parents[1] / "docs"
MODEL = DOCS / "threat-model.md"
THREATS = DOCS / "threats.md"
COUNT = 32
ATTACKS = ("database", "genuine", "http", "no", "outage", "passkey", "temporal")
"""The tests on a whole deployment, by the first word of their modules."""
NAMED = re.compile(r"`(test_\w+)`")

pytestmark = pytest.mark.once("about pages of the documentation")


def defined_in(path: Path) -> set[str]:
    """The tests that a module defines."""
    return {
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if node.name.startswith("test_")
    }


@cache
def every_test() -> frozenset[str]:
    """Every test there is."""
    return frozenset(name for path in HERE.parent.rglob("test_*.py") for name in defined_in(path))


def rows_of(heading: str) -> list[list[str]]:
    """The cells of a section's table in docs/threats.md, without its two heads."""
    section = THREATS.read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [line.strip("|").split("|") for line in lines[2:]]


def test_every_attack_is_listed_with_its_outcome_and_every_listed_one_exists() -> None:
    """docs/threat-model.md names every test on the attacked deployment, and no other."""
    made = {
        name
        for word in ATTACKS
        for path in HERE.glob(f"test_{word}_*.py")
        for name in defined_in(path)
    }
    listed = re.findall(r"`(test_\w+)` \|$", MODEL.read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(made)


def test_every_threat_has_its_row() -> None:
    """docs/threats.md has each number once, in order."""
    assert [int(row[0]) for row in rows_of("Threats")] == list(range(1, COUNT + 1))


@pytest.mark.parametrize("heading", ["Threats", "Requirements that can be checked"])
def test_each_row_is_shown_or_open(heading: str) -> None:
    """A control has a test, and what has none says that it is open."""
    rows = rows_of(heading)
    assert rows
    for row in rows:
        *_, control, shown, left = (cell.strip() for cell in row)
        tests = NAMED.findall(shown)
        assert (control == "–") == (not tests), row
        assert shown == (", ".join(f"`{one}`" for one in tests) or "–"), row
        assert left == "–" or left.startswith("open: "), row
        assert tests or left != "–", row


@pytest.mark.parametrize("page", [MODEL, THREATS], ids=lambda page: page.name)
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    """A renamed or deleted test shows no control any more."""
    assert set(NAMED.findall(page.read_text())) <= every_test()
