"""Codes guessed a thousand times at once, over HTTP, against a whole deployment."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

import httpx

from ceremony.stages import Stage
from tests.support.genuine import Ceremony, eventually

GUESSES: Final = 1_000


async def guess_at_once(load: Ceremony, send: Callable[[int], Awaitable[httpx.Response]]) -> None:
    """Send guesses 1 to 1 000, all at once, and wait until the request has failed over them.

    `send` is given how far off the right code to guess. Asserts that none was granted and that
    some were held back; a connection that the server closed is neither.
    """

    async def guess(n: int) -> int:
        try:
            return (await send(n)).status_code
        except httpx.TransportError:
            return 0

    answers = Counter(await asyncio.gather(*(guess(n) for n in range(1, GUESSES + 1))))
    assert answers[200] == 0
    assert answers[429] > 0
    await eventually(lambda: load.stage is Stage.FAILED or None, "the end of the guesses")
    workflow_id = f"loading-request/{load.place.terminal_no}"
    await load.bench.client.get_workflow_handle(workflow_id).result()


def times_refused(load: Ceremony, reason: str) -> int:
    """How often the audit trail names a reason about this request."""
    sql = "SELECT count(*) FROM audit_events WHERE request_id = ? AND reason = ?"
    return int(str(load.bench.value(sql, load.request_id, reason)))
