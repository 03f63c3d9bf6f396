"""What whole processes and real browsers share: the demo's one run, a browser, a house, a phone."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.support.applicant import Applicant
from tests.support.browser import Window, browser, window
from tests.support.databases import chosen, make_empty_database
from tests.support.demorun import DemoRun
from tests.support.localhouse import LocalHouse, local_house
from tests.support.reviewer import Reviewer

ROOT = Path(__file__).parents[2]
DEMO_WITHIN = 240.0


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoRun:
    """Run the demo, with a folder for temporary files of its own."""
    export, temporary = tmp_path_factory.mktemp("export"), tmp_path_factory.mktemp("demo")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)}
    environment.pop("TEMPORAL_ADDRESS", None)
    if chosen() == "postgresql":
        environment["KEYFILL_DATABASE_URL"] = make_empty_database(temporary)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "cli", "demo", "--json", "--export", str(export)],
        env=environment,
        cwd=temporary,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEMO_WITHIN,
        check=False,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return DemoRun(done.returncode, lines, done.stderr, export, temporary)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """One browser for all tests of a module."""
    async with browser() as started:
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def local(tmp_path: Path) -> AsyncIterator[LocalHouse]:
    """A house on localhost."""
    async with local_house(tmp_path) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def phone(chromium: Browser, local: LocalHouse) -> AsyncIterator[Window]:
    """A phone with nothing on it yet."""
    async with window(chromium, local.origin, touch=True) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def applicant(phone: Window, local: LocalHouse) -> Applicant:
    """The first administrator with a phone, before a terminal that shows its QR code."""
    key = await local.bring_passkey(phone, local.house.world.first)
    return Applicant(local, phone, key, await local.house.open())


@pytest_asyncio.fixture(loop_scope="session")
async def reviewer(local: LocalHouse, phone: Window) -> Reviewer:
    """The second administrator with a phone, before an application that awaits review."""
    return await Reviewer.open(local, phone)
