"""What several tests of the Temporal side need."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.embedded import EmbeddedOptions, EmbeddedServer


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedServer]:
    """A running embedded server with Keyfill's search attributes, without the Web UI."""
    options = EmbeddedOptions(log_file=tmp_path / "temporal.log", headless=True)
    async with await EmbeddedServer.start(options) as running:
        yield running
