"""The page that lists the attacks, held against the tests that make them."""

import ast
import re
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "threat-model.md"
ATTACKS = ("database", "genuine", "http", "no", "outage", "passkey", "temporal")
"""The tests on a whole deployment, by the first word of their modules."""


def test_every_attack_is_listed_with_its_outcome_and_every_listed_one_exists() -> None:
    """docs/threat-model.md names every test on the attacked deployment, and no other."""
    made = {
        node.name
        for word in ATTACKS
        for path in HERE.glob(f"test_{word}_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if node.name.startswith("test_")
    }
    listed = re.findall(r"`(test_\w+)` \|$", PAGE.read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(made)
