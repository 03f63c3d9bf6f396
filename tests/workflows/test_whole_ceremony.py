"""The whole ceremony on a real Temporal server: a key loaded, within its history budget."""

import asyncio

from temporalio.client import Client

from ceremony.stages import Stage
from records import keystore
from records.tables.key import KeyState
from tests.support.backstage import Backstage
from tests.support.load import Load

MAX_EVENTS = 80
MAX_BYTES = 40 * 1024
PAUSE_S = 0.3
"""People pause between their steps, which costs a workflow task each: part of the budget."""


async def test_a_key_is_loaded_within_the_budget(running: Backstage, client: Client) -> None:
    """Two approvals, a release and a receipt end LOADED, in 80 events and 40 KiB at most."""
    load = await Load.open(running, client)
    await asyncio.sleep(PAUSE_S)
    await load.ask_code()
    for act, reached in (
        (load.apply, Stage.AWAITING_REVIEW),
        (load.decide, Stage.AWAITING_CONFIRMATION),
        (load.confirm, Stage.AWAITING_RECEIPT),
    ):
        await asyncio.sleep(PAUSE_S)
        verdict = await act()
        assert (verdict.reason, verdict.stage) == (None, reached)
    await asyncio.sleep(PAUSE_S)
    (token,) = load.tokens()
    acknowledged = await load.receive()
    assert acknowledged.accepted
    result = await load.result()
    assert result.stage is Stage.LOADED
    assert result.token_digest == token.token_digest
    assert result.kcv == running.journal.kcv_of(load.request_id)

    history = await load.handle.fetch_history()
    assert len(history.events) <= MAX_EVENTS
    assert sum(event.ByteSize() for event in history.events) <= MAX_BYTES
    with running.database.read() as session:
        key = keystore.key(session, load.request_id)
    assert key is not None
    assert (key.state, key.kcv) == (KeyState.ACTIVE, result.kcv)
    assert load.row.stage is Stage.LOADED


async def test_each_is_told_by_sms_what_concerns_them(running: Backstage, client: Client) -> None:
    """Code, approval and end go to the first administrator, the review to the second."""
    load = await Load.open(running, client)
    await load.apply()
    await load.told("review")
    await load.decide()
    await load.told("approved")
    await load.confirm()
    await load.receive()
    await load.result()
    first, second = running.world.first.number, running.world.second.number
    told = [(step.rsplit("/", 1)[1], to) for step, to, _ in running.memory.sent]
    assert told == [("code-1", first), ("review", second), ("approved", first), ("ended", first)]
