"""The API over a world, with the ceremonies in this process."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.support.apihouse import House


@pytest_asyncio.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """A house of one's own."""
    made = House.make(tmp_path)
    yield made
    await made.close()
