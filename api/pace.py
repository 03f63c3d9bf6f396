"""The pace of refusals: their time tells nothing of what is enrolled here.

Equal effort (`api.enrolled`) brings the known and the unknown within some hundredths of each
other; what is left, a row found or not, a key of one kind or another, is covered by answering
at the next full step of time since the call came (OWASP ASVS 5.0.0, 6.3.8: no difference in
time between an unknown and a known one).
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

STEP_SECONDS: Final = 0.02
"""Several times what a refusal takes, so that nearly all of them are answered at the first step."""
PACED: Final = frozenset({401, 403, 404})
"""The answers that would tell: not authenticated, not allowed, not there or not yours."""
_COARSE_SECONDS: Final = 0.002
"""The event loop sleeps in whole milliseconds: the rest is waited for in turns of the loop."""


class RefusalPace:
    """Holds refusals back until the next step; every other answer passes at once."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        step: float = STEP_SECONDS,
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Wrap an application; `step` in seconds, zero holds nothing back; `clock` likewise."""
        self._app = app
        self._step = step
        self._clock = clock
        self._sleep = sleep

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on."""
        if scope["type"] != "http" or not self._step:
            await self._app(scope, receive, send)
            return
        came = self._clock()

        async def paced(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] in PACED:
                await self._until(next_step(came, self._clock(), self._step))
            await send(message)

        await self._app(scope, receive, paced)

    async def _until(self, moment: float) -> None:
        await self._sleep(max(0.0, moment - self._clock() - _COARSE_SECONDS))
        while self._clock() < moment:
            await self._sleep(0)


def next_step(came: float, now: float, step: float) -> float:
    """The first moment from `now` on that is a whole number of steps, one at least, after `came`.

    All in seconds of one clock.
    """
    return came + max(1, math.ceil((now - came) / step)) * step
