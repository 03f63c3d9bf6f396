"""Readiness: whether the database, Temporal and a key worker are there for a key loading."""

import asyncio
from collections.abc import Awaitable
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from api.ceremonies import CeremoniesAway
from api.parts import Parts
from records.failures import DatabaseUnavailable

Finding = Literal["ok", "away"]


class Ready(BaseModel):
    """All that a key loading needs is there."""

    database: Annotated[Finding, Field(examples=["ok"])]
    temporal: Annotated[Finding, Field(examples=["ok"])]
    key_worker: Annotated[Finding, Field(examples=["ok"])]


async def readiness(parts: Parts, within: float | None = None) -> Ready:
    """Look for all three; what does not answer within so many seconds, if given, is away."""
    database, (temporal, key_worker) = await asyncio.gather(
        _finding(parts.database.run(parts.database.ping), within), _temporal(parts, within)
    )
    return Ready(database=database, temporal=temporal, key_worker=key_worker)


async def _temporal(parts: Parts, within: float | None) -> tuple[Finding, Finding]:
    temporal = await _finding(parts.ceremonies.ready(), within)
    if temporal == "away":
        return temporal, "away"
    return temporal, await _finding(_key_worker(parts), within)


async def _key_worker(parts: Parts) -> None:
    if not await parts.ceremonies.key_worker_polls():
        raise CeremoniesAway


async def _finding(check: Awaitable[None], within: float | None) -> Finding:
    try:
        async with asyncio.timeout(within):
            await check
    except (CeremoniesAway, DatabaseUnavailable, TimeoutError):
        return "away"
    return "ok"
