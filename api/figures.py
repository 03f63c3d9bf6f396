"""What the API's metrics say beyond its own process: the records' figures, and who is away.

Looked up when Prometheus asks. Every API process gives the same figures, so whoever adds them up
counts twice.
"""

import asyncio
from typing import Final

from api.board import Sight
from api.parts import Parts
from api.readiness import readiness
from records import figures
from records.failures import DatabaseUnavailable
from records.figures import Figures

LOOKING_SECONDS: Final = 3.0
"""Whoever does not answer within is away; a scrape waits ten seconds unless told else."""


async def look(parts: Parts) -> Sight:
    """Look everything up."""
    ready, found = await asyncio.gather(readiness(parts, LOOKING_SECONDS), _figures(parts))
    return Sight({part: finding == "ok" for part, finding in ready.model_dump().items()}, found)


async def _figures(parts: Parts) -> Figures | None:
    def read() -> Figures:
        with parts.database.read() as session:
            return figures.read(session, now=parts.now())

    try:
        async with asyncio.timeout(LOOKING_SECONDS):
            return await parts.database.run(read)
    except (DatabaseUnavailable, TimeoutError):
        return None
