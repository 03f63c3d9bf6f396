"""`keyfill up` as a process: everything answers, everything stops, nothing is left running."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import expect
from typer.testing import CliRunner

from cli import app
from commands.homefolder import HomeFolder
from commands.init import make_home
from commands.running import sole_runner
from engine.embedded import free_port
from tests.support.browser import browser
from tests.support.databases import furnish
from tests.support.processtree import children_of, gone
from tests.support.sabotage import NO_PORT, SABOTAGES

ROOT = Path(__file__).parents[2]
UP_WITHIN = 90.0
DOWN_WITHIN = 60.0


class Up:
    """A running `keyfill up --json`."""

    def __init__(self, home: HomeFolder) -> None:
        self.home = home
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        environment.pop("TEMPORAL_ADDRESS", None)
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "cli", "up", "--json", "--home", str(home.path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1]
        self.told: dict[str, Any] = json.loads(line)
        self.children = children_of(self.process.pid)

    def keyfill(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run another command on the same home."""
        return subprocess.run(
            [sys.executable, "-P", "-m", "cli", *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT), "KEYFILL_HOME": str(self.home.path)},
            capture_output=True,
            text=True,
            timeout=UP_WITHIN,
            check=False,
        )

    def end(self, number: signal.Signals) -> int:
        """Send a signal and wait for the end; gives the exit code."""
        self.process.send_signal(number)
        self.process.communicate(timeout=DOWN_WITHIN)
        return self.process.returncode


def new_home(folder: Path) -> HomeFolder:
    """A development home whose API has a port of its own."""
    home = HomeFolder(folder)
    origin = f"http://localhost:{free_port()}"
    make_home(home, origin=origin, audience="keyfill-test", now=int(time.time()))
    furnish(home, migrated=False)
    return home


@pytest.fixture
def home(tmp_path: Path) -> HomeFolder:
    """A home of the test's own."""
    return new_home(tmp_path / "home")


@pytest.fixture
def up(home: HomeFolder) -> Iterator[Up]:
    """Everything up, for a test that ends it."""
    running = Up(home)
    yield running
    if running.process.poll() is None:
        running.end(signal.SIGTERM)


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """Everything up, for tests that leave it as it is, and for the last one, which stops it."""
    running = Up(new_home(tmp_path_factory.mktemp("standing") / "home"))
    yield running
    if running.process.poll() is None:
        running.end(signal.SIGTERM)


def test_everything_answers(standing: Up) -> None:
    """Database, Temporal and key worker are ready behind the API, and the Web UI answers."""
    ready = httpx.get(f"{standing.told['api']}/readyz").json()
    assert ready == {"database": "ok", "temporal": "ok", "key_worker": "ok"}
    assert httpx.get(standing.told["temporal_ui"], follow_redirects=True).is_success


def test_terminals_are_synchronised_by_the_worker(standing: Up) -> None:
    """`sync` finds Temporal by itself, adds a terminal, and then finds it unchanged."""
    sample = ["terminals", "sample", "ATM-0001", "--first", "ana", "--second", "ben"]
    assert standing.keyfill(*sample, "--bits", "2048").returncode == 0
    added, unchanged = (standing.keyfill("terminals", "sync", "--json") for _ in range(2))
    assert (added.returncode, json.loads(added.stdout)["added"]) == (0, 1)
    assert (unchanged.returncode, json.loads(unchanged.stdout)["unchanged"]) == (0, 1)


def test_a_refused_row_is_told(standing: Up) -> None:
    """A row that is no entry is refused with its place and reason: exit code 3."""
    feed = standing.home.feed_file
    good = feed.read_text() if feed.exists() else ""
    feed.write_text(good + '{"statements": ["not.a.jws"]}\n')
    refused = standing.keyfill("terminals", "sync", "--json")
    feed.write_text(good)
    assert refused.returncode == 3
    (row,) = json.loads(refused.stdout)["refused"]
    assert (row["reason"], row["position"].startswith("line ")) == ("malformed", True)


def test_a_schedule_repeats_the_synchronisation(standing: Up) -> None:
    """`schedule` is made, made anew with another interval, and taken away."""
    for arguments in (["--every", "5"], ["--every", "10"], ["--remove"], ["--remove"]):
        done = standing.keyfill("terminals", "schedule", *arguments)
        assert done.returncode == 0, done.stderr


def test_a_home_runs_once(home: HomeFolder) -> None:
    """`up` on a home that runs already is refused with exit code 2."""
    with sole_runner(home.path):
        second = subprocess.run(
            [sys.executable, "-P", "-m", "cli", "up", "--home", str(home.path)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=UP_WITHIN,
            check=False,
        )
    assert (second.returncode, "running already" in second.stderr) == (2, True)


def test_a_dead_process_ends_everything(up: Up) -> None:
    """When one process dies, `up` says which, stops the others and exits with 1."""
    worker = next(pid for pid, line in up.children.items() if "--role keys" in line)
    os.kill(worker, signal.SIGKILL)
    _, said = up.process.communicate(timeout=DOWN_WITHIN)
    assert (up.process.returncode, "keys-worker ended" in said) == (1, True)
    assert gone(up.children)


def test_a_killed_parent_leaves_nothing(up: Up) -> None:
    """Even SIGKILL of `up` itself leaves no process behind (Linux)."""
    up.process.kill()
    up.process.communicate()
    assert gone(up.children)


def test_the_doctor_finds_nothing_to_mend(standing: Up) -> None:
    """On what `up` started, `doctor` ends with 0, and every line is well."""
    done = standing.keyfill("doctor", "--json")
    assert done.returncode == 0, done.stdout
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert {one["grade"] for one in found} == {"good"}
    looked_at = {one["check"].partition(":")[0] for one in found}
    assert looked_at >= {
        "settings",
        "payload keys",
        "trust file",
        "certificate",
        "journal",
        "key policy",
        "key manager",
        "database",
        "Temporal",
        "worker",
        "API",
        "codec server",
    }


@pytest.mark.parametrize("name", SABOTAGES)
def test_the_doctor_names_what_was_sabotaged(standing: Up, tmp_path: Path, name: str) -> None:
    """One thing wrong at a time: `doctor` says which, in a sentence, and ends accordingly."""
    sabotage, changes, check, code = SABOTAGES[name]
    leave_out = shutil.ignore_patterns("logs", "temporal.db*", "running.*", "terminals")
    home = HomeFolder(
        Path(shutil.copytree(standing.home.path, tmp_path / "home", ignore=leave_out))
    )
    # A server's database would not be copied with the home, and an old schema would be everybody's.
    furnish(home)
    sabotage(home)
    environment = {
        "KEYFILL_HOME": str(home.path),
        "KEYFILL_TEMPORAL_ADDRESS": standing.told["temporal"],
        **changes,
    }
    api = f"http://{NO_PORT}" if name == "no API" else standing.told["api"]
    result = CliRunner().invoke(app, ["doctor", "--json", "--api", api], env=environment)
    found = [json.loads(line) for line in result.stdout.splitlines()]
    wrong = {one["check"]: one["says"] for one in found if one["grade"] in ("bad", "away")}
    assert check in wrong, found
    assert wrong[check].endswith((".", ")"))
    assert result.exit_code == code


def test_a_namespace_is_made_and_prepared(standing: Up) -> None:
    """`prepare-temporal` makes the namespace with our search attributes; again is harmless."""
    environment = {
        "KEYFILL_HOME": str(standing.home.path),
        "KEYFILL_TEMPORAL_NAMESPACE": "a-namespace-of-our-own",
    }
    for said in ("made", "was there"):
        result = CliRunner().invoke(app, ["prepare-temporal", "--keep-days", "9"], env=environment)
        assert result.exit_code == 0, result.output
        assert f"a-namespace-of-our-own: {said}" in result.output
    report = CliRunner().invoke(app, ["doctor"], env=environment).output
    assert "kept for 9 days" in report
    assert "search attributes: All are registered" in report


async def _shown_in_the_ui(url: str, text: str) -> list[str]:
    """Open a page of the Temporal UI, wait for a text, and give what else asked whom to decode."""
    asked: list[str] = []
    async with browser() as chromium:
        page = await chromium.new_page()
        page.on(
            "request",
            lambda one: asked.append(one.url.partition("?")[0]) if "/decode" in one.url else None,
        )
        await page.goto(url)
        await expect(page.get_by_text(text).first).to_be_visible(timeout=20_000)
    return asked


def test_the_temporal_ui_shows_what_temporal_cannot_read(standing: Up) -> None:
    """In a real browser the UI has payloads opened by the codec server; Temporal has none."""
    standing.home.feed_file.touch()
    assert standing.keyfill("terminals", "sync", "--json").returncode == 0
    ui = f"{standing.told['temporal_ui']}/namespaces/default/workflows/registry-sync"
    asked = asyncio.run(_shown_in_the_ui(ui, "read the back office's feed and apply it"))
    assert set(asked) == {f"{standing.told['codec']}/decode"}
    assert "payloads-read" in (standing.home.logs / "codec-server.log").read_text()
    stored = b"".join(one.read_bytes() for one in standing.home.path.glob("temporal.db*"))
    assert b"registry-sync" in stored
    assert b"back office's feed" not in stored


# ---- the end of it: the last tests, as they stop what the others used


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_signal_stops_everything(
    number: signal.Signals, request: pytest.FixtureRequest
) -> None:
    """One signal ends all processes, in order, with exit code 0, and nothing is left running."""
    # The second of them starts everything anew.
    up: Up = request.getfixturevalue("standing" if number is signal.SIGTERM else "up")
    assert len(up.children) >= 4
    assert up.end(number) == 0
    assert gone(up.children)
    assert not (up.home.path / "running.json").exists()
