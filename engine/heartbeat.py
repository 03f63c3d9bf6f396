"""A sign of life for what has no port: a file that is touched as long as all is well.

Who looks after a process (a container's health check) sees by the file's age whether it lives and
has Temporal; a process that hangs, or lost its server, lets the file grow old.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from errno import errorcode
from pathlib import Path
from typing import Final

from temporalio.service import RPCError

from engine.client import TemporalUnavailable

BEAT_SECONDS: Final = 10.0

_log = logging.getLogger("keyfill.heartbeat")


@asynccontextmanager
async def beating(
    file: Path | None, check: Callable[[], Awaitable[None]], every: float = BEAT_SECONDS
) -> AsyncIterator[None]:
    """Touch `file` now and every so many seconds after a `check` that passed; None: do nothing.

    The check says by TemporalUnavailable or RPCError that not all is well; then the file stays as
    it is until it passes again. A file that cannot be touched is told to the log.
    """
    if file is None:
        yield
        return
    beats = asyncio.create_task(_beat(file, check, every), name="keyfill-heartbeat")
    try:
        yield
    finally:
        beats.cancel()
        with suppress(asyncio.CancelledError):
            await beats


async def _beat(file: Path, check: Callable[[], Awaitable[None]], every: float) -> None:
    while True:
        try:
            await check()
            file.touch()
        except (TemporalUnavailable, RPCError) as error:
            _log.warning("no sign of life: %(error)s", {"error": type(error)})
        except OSError as error:
            _log.error(
                "cannot touch %(file)s: %(errno)s",
                {"file": file, "errno": errorcode.get(error.errno or 0)},
            )
        await asyncio.sleep(every)
