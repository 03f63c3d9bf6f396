"""One whole deployment for all attacks, which each take a terminal and two people of their own."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from settings import Settings
from tests.support.attacked import Bench, attacked
from tests.support.ledger import MOST_CODES, MOST_MESSAGES
from tests.support.trespass import Trespasser, trespassing


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    """The deployment; at the end the journal must be whole, row by row."""
    async with attacked(tmp_path_factory.mktemp("attacked")) as bench:
        yield bench
        kek = Settings.for_role("keys", home=bench.home.path).secret("kek")
        bench.ledger.verify_journal(kek)


@pytest_asyncio.fixture(loop_scope="session")
async def bench(running: Bench) -> AsyncIterator[Bench]:
    """The deployment; after each attack the ledger is asked what really happened.

    No key without two genuine approvals, no key retired but by its successor, no SMS to a number
    that is not in the registry, and never more of them than one loading request may send.
    """
    yield running
    await asyncio.to_thread(_ask, running)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def trespasser(running: Bench) -> AsyncIterator[Trespasser]:
    """Somebody with write access to Temporal."""
    async with trespassing(running.client) as one:
        yield one


def _ask(bench: Bench) -> None:
    assert bench.ledger.requests_with_keys() <= bench.expected
    assert not bench.ledger.bereft_terminals()
    numbers = {number for place in bench.places for number in place.numbers}
    sent: dict[str, list[str]] = {}
    for message in bench.ledger.messages():
        assert message.to in numbers
        request_id, _, what = message.step.partition("/sms/")
        sent.setdefault(request_id, []).append(what)
    for steps in sent.values():
        assert len(steps) <= MOST_MESSAGES
        assert sum(step.startswith("code-") for step in steps) <= MOST_CODES
