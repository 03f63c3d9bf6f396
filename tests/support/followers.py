"""Who follows live updates: streams of server-sent events, read as a browser reads them."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.support.apihouse import House


@dataclass
class Follower:
    """One open stream; reads it as the HTML standard says (section 9.2.6)."""

    response: httpx.Response
    lines: AsyncIterator[str]
    comments: int = 0
    retry: int | None = None
    ids: list[str] = field(default_factory=list)

    async def event(self, within: float = 5) -> tuple[str, Any] | None:
        """The next event's name and data; None at the end of the stream."""
        return await asyncio.wait_for(self._event(), within)

    async def _event(self) -> tuple[str, Any] | None:
        name, data = "message", ""
        async for line in self.lines:
            if not line and data:
                return name, json.loads(data)
            if line.startswith(":"):
                self.comments += 1
            match line.partition(": ")[::2]:
                case ("data", value):
                    data += value
                case ("event", value):
                    name = value
                case ("id", value):
                    self.ids.append(value)
                case ("retry", value):
                    self.retry = int(value)
        return None


@dataclass
class Served:
    """A house behind a real server."""

    house: House
    client: httpx.AsyncClient

    @asynccontextmanager
    async def follow(
        self, path: str, token: str, *, last: str | None = None, **query: Any
    ) -> AsyncIterator[Follower]:
        """Open a stream."""
        headers = {"Authorization": f"Bearer {token}"}
        if last is not None:
            headers["Last-Event-ID"] = last
        async with self.client.stream("GET", path, headers=headers, params=query) as response:
            if response.status_code >= 400:
                await response.aread()
            yield Follower(response, response.aiter_lines())
