"""The API over a world, with the ceremonies in this process; served too, for streams."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest_asyncio

from tests.support.apihouse import House
from tests.support.followers import Served
from tests.support.openidvisits import OpenIdHouse, house_with_provider
from tests.support.servedapp import served


@pytest_asyncio.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """A house of one's own."""
    made = House.make(tmp_path)
    yield made
    await made.close()


@pytest_asyncio.fixture
async def at(house: House) -> AsyncIterator[Served]:
    """The house, served."""
    async with (
        served(house.app) as url,
        httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as client,
    ):
        yield Served(house, client)


@pytest_asyncio.fixture
async def bank(house: House) -> AsyncIterator[OpenIdHouse]:
    """A house with an OpenID provider."""
    async with house_with_provider(house) as made:
        yield made
