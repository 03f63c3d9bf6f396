"""A development home with a migrated database, and the `keyfill` command on it."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli import app
from commands.homefolder import HomeFolder
from commands.init import make_home
from tests.support.commandline import Keyfill, Lines
from tests.support.databases import drop_database, furnish

NO_TEMPORAL = "127.0.0.1:1"
NO_API = "http://localhost:1"
"""Nobody listens there: a command of these tests reaches no deployment of somebody else's."""


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home, made once: its RSA keys take a moment."""
    path = tmp_path_factory.mktemp("template") / "home"
    make_home(
        HomeFolder(path),
        origin=NO_API,
        audience="keyfill-test",
        now=int(time.time()),
    )
    return path


@pytest.fixture
def home(template: Path, tmp_path: Path) -> Iterator[HomeFolder]:
    """A home of the test's own."""
    home = HomeFolder(Path(shutil.copytree(template, tmp_path / "home")))
    url = furnish(home)
    yield home
    drop_database(url)


@pytest.fixture
def keyfill(home: HomeFolder) -> Keyfill:
    """Runs the command on the home, and gives its result."""

    def run(*arguments: str, typed: str = "", **environment: str) -> Result:
        variables = {
            "KEYFILL_HOME": str(home.path),
            "KEYFILL_TEMPORAL_ADDRESS": NO_TEMPORAL,
            **environment,
        }
        return CliRunner().invoke(app, arguments, input=typed, env=variables)

    return run


@pytest.fixture
def lines(keyfill: Keyfill) -> Lines:
    """Runs a command with --json that has to end with 0, and gives its lines."""

    def run(*arguments: str) -> list[dict[str, Any]]:
        result = keyfill(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return [json.loads(line) for line in result.stdout.splitlines()]

    return run
