"""What whole processes and real browsers share: the demo's one run, a browser, a house, a phone."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.support.applicant import Applicant
from tests.support.browser import Window, browser, window
from tests.support.databases import make_empty_database
from tests.support.demorun import DemoRun, run_demo
from tests.support.localhouse import LocalHouse, local_house
from tests.support.reviewer import Reviewer
from tests.support.twice import chosen


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoRun:
    """Run the demo."""
    environment = {}
    if chosen() == "postgresql":
        folder = tmp_path_factory.mktemp("database")
        environment["KEYFILL_DATABASE_URL"] = make_empty_database(folder)
    return run_demo(tmp_path_factory, **environment)


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
