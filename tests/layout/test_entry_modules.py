"""What import-linter cannot see: the imports of the single-module entry points, and the locks."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "activities",
    "api",
    "ceremony",
    "commands",
    "engine",
    "gateways",
    "keymanagement",
    "records",
    "telemetry",
    "terminal",
    "workflows",
}
ENTRIES = {"cli", "holdings", "keyworker", "settings", "soundness", "taskqueues", "worker"}
ALLOWED = {
    # It starts the others and looks things up; concrete gateways are bound elsewhere.
    "cli": PACKAGES - {"gateways"} | {"settings", "worker"},
    "holdings": set(),
    "settings": {"ceremony", "holdings", "soundness"},
    "soundness": {"ceremony", "holdings", "settings"},
    "keyworker": {"activities", "ceremony", "keymanagement", "records", "settings", "telemetry"},
    "taskqueues": {"activities", "ceremony", "workflows"},
    "worker": PACKAGES - {"api", "commands", "terminal"} | {"keyworker", "settings", "taskqueues"},
}


def _imported(source: str) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("entry", sorted(ENTRIES))
def test_entry_module_imports_only_what_it_may(entry: str) -> None:
    """cli, the workers and settings import, of this project, only what the design lets them."""
    ours = _imported((ROOT / f"{entry}.py").read_text()) & (PACKAGES | ENTRIES)
    assert ours <= ALLOWED[entry]


def test_package_init_modules_are_empty() -> None:
    """A package's __init__.py holds nothing, so importing one module never loads its siblings."""
    for package in PACKAGES:
        for module in (ROOT / package).rglob("__init__.py"):
            assert module.read_text() == "", module


def test_test_folders_are_no_packages_and_file_names_are_unique() -> None:
    """No __init__.py under tests, and no two test files of one name: either would shadow."""
    assert list((ROOT / "tests").rglob("__init__.py")) == []
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_locks_name_no_registry_and_hash_everything(lock: str) -> None:
    """A lock holds pinned versions with their hashes, and no address of any registry."""
    text = (ROOT / lock).read_text()
    assert "://" not in text
    entries = text.replace("\\\n", "").splitlines()
    assert entries
    for entry in entries:
        assert "==" in entry
        assert "--hash=sha256:" in entry
