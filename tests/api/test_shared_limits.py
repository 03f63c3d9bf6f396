"""Limits hold across processes: two APIs on one database let through what one would."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from api.app import build_app
from api.limits import BATCHES, RateLimited, RateLimits, Scope
from api.parts import Parts
from records.database import Database
from records.engines import Limits
from records.failures import DatabaseUnavailable
from records.rates import Charged, SharedRates
from tests.support.apihouse import GENEROUS, House, wire
from tests.support.databases import make_database
from tests.support.identities import ORIGIN
from tests.support.twice import ENGINES

pytestmark = pytest.mark.once("it runs on both databases by itself")

SLOW = "40 per 10 hour"
"""A rate at which none is given back while a test runs."""


@dataclass
class Two:
    """Two processes' worth of limits on one database."""

    doors: tuple[Database, Database]

    def limits(self, rate: str = SLOW) -> tuple[RateLimits, RateLimits]:
        """Both processes' limits, all scopes at this rate."""
        rates = dict.fromkeys(Scope, rate)
        one, other = (RateLimits(rates, SharedRates(door)) for door in self.doors)
        return one, other


@pytest.fixture(params=ENGINES)
def two(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Two]:
    """Two doors to one database, on each kind of database."""
    url = make_database(tmp_path, request.param)
    doors = (Database(url, limits=Limits(lock_ms=20_000)), Database(url))
    yield Two(doors)
    for door in doors:
        door.close()


@pytest.mark.parametrize("scope", [Scope.LOGINS, Scope.SMS_CODES])
async def test_what_is_counted_one_by_one_is_exact(two: Two, scope: Scope) -> None:
    """A hundred calls at once to two processes: as many pass as the limit says, and no more."""
    both = two.limits()
    passed = await asyncio.gather(*(both[n % 2].take(scope, "who") for n in range(100)))
    assert sum(passed) == 40
    with pytest.raises(RateLimited) as refused:
        await both[0].admit(scope, "who")
    assert 1 <= refused.value.retry_after <= 900
    assert await both[1].take(scope, "another")


@pytest.mark.parametrize("scope", sorted(set(Scope) - {Scope.LOGINS, Scope.SMS_CODES}))
async def test_batches_let_through_at_most_one_less_than_a_batch_more_for_each_process(
    two: Two, scope: Scope
) -> None:
    """480 an hour in batches of 20: one process lets 480 through, two at most 19 more each."""
    one, other = two.limits("480 per 10 hour")
    batch = 480 // BATCHES
    alone = [await one.take(scope, "alone") for _ in range(600)]
    assert sum(alone) == 480
    both = [await limits.take(scope, "both") for _ in range(600) for limits in (one, other)]
    assert 480 <= sum(both) <= 480 + 2 * (batch - 1)


class Counted(SharedRates):
    """Notes how often it is asked."""

    asked = 0

    async def charge(self, subject: str, calls: int, *, limit: int, seconds: int) -> Charged:
        """Ask, and note it."""
        self.asked += 1
        return await super().charge(subject, calls, limit=limit, seconds=seconds)


async def test_not_every_call_asks_the_database(two: Two) -> None:
    """1200 calls ask 24 times, a few not at all, and a flood of refused ones no more."""
    counts = Counted(two.doors[0])
    limits = RateLimits({Scope.ADDRESS: "1200 per 10 hour"}, counts)
    for n in range(100):
        assert await limits.take(Scope.ADDRESS, f"192.0.2.{n}")
    assert counts.asked == 0
    assert all([await limits.take(Scope.ADDRESS, "busy") for _ in range(1200)])
    assert counts.asked == BATCHES
    assert not any([await limits.take(Scope.ADDRESS, "busy") for _ in range(1200)])
    assert counts.asked == BATCHES + 1


async def test_two_services_count_apart(two: Two) -> None:
    """The codec server's calls are not the API's."""
    rates = dict.fromkeys(Scope, "1 per 10 hour")
    api, codec = (
        RateLimits(rates, SharedRates(two.doors[0]), realm=realm) for realm in ("api", "codec")
    )
    assert await api.take(Scope.CREDENTIAL, "kid")
    assert await codec.take(Scope.CREDENTIAL, "kid")
    assert not await api.take(Scope.CREDENTIAL, "kid")


class Away:
    """A database that is away; `asked` is how often that was found out."""

    asked = 0

    async def charge(self, subject: str, calls: int, *, limit: int, seconds: int) -> Charged:
        """Be away."""
        del subject, calls, limit, seconds
        self.asked += 1
        raise DatabaseUnavailable("away")


@pytest.mark.parametrize("scope", sorted(set(Scope) - {Scope.ADDRESS}))
async def test_without_the_database_nobody_is_let_through_uncounted(scope: Scope) -> None:
    """A login flood does not become free: what cannot be counted is an outage (503)."""
    limits = RateLimits(dict.fromkeys(Scope, "20 per minute"), Away())
    with pytest.raises(DatabaseUnavailable):
        await limits.admit(scope, "who")


async def test_without_the_database_addresses_are_counted_by_each_process() -> None:
    """A flood stays stopped, and pages that need no database are answered; it is asked seldom."""
    away, clock = Away(), [1000.0]
    limits = RateLimits({Scope.ADDRESS: "24 per hour"}, away, clock=lambda: clock[0])
    passed = [await limits.take(Scope.ADDRESS, "busy") for _ in range(100)]
    assert sum(passed) == 24
    assert away.asked == 1
    clock[0] += 6
    assert await limits.take(Scope.ADDRESS, "another")
    assert away.asked == 2


class Ahead:
    """Counts to which somebody whose clock was far ahead had charged a call."""

    def __init__(self) -> None:
        """Begin ahead."""
        self.until: float | None = 1_000_060.0

    async def charge(self, subject: str, calls: int, *, limit: int, seconds: int) -> Charged:
        """Refuse while it is ahead."""
        del subject, calls, limit, seconds
        return Charged(0, self.until)


async def test_a_clock_that_was_put_back_refuses_nobody_until_it_is_where_it_was() -> None:
    """What was refused by the wrong time is asked anew."""
    ahead, clock = Ahead(), [1_000_000.0]
    limits = RateLimits({Scope.LOGINS: "20 per minute"}, ahead, clock=lambda: clock[0])
    assert not await limits.take(Scope.LOGINS, "who")
    clock[0] -= 3600
    ahead.until = None
    assert await limits.take(Scope.LOGINS, "who")


async def test_two_apis_share_every_limit(tmp_path: Path) -> None:
    """Over HTTP: who signed in as often as may be at one API, is limited at the other."""
    house = House.make(tmp_path, rates={**GENEROUS, Scope.LOGINS: "3 per hour"})
    door = Database(house.backstage.url)
    rates = {**GENEROUS, Scope.LOGINS: "3 per hour"}
    parts = Parts(
        **{**vars(house.parts), "database": door, "limits": RateLimits(rates, SharedRates(door))}
    )
    other = httpx.AsyncClient(transport=httpx.ASGITransport(build_app(parts)), base_url=ORIGIN)
    answers = []
    for n in range(5):
        login = house.world.login(challenge=house.challenge())
        client = (house.client, other)[n % 2]
        answer = await client.post("/v1/sessions", json={"statement": wire(login)})
        answers.append(answer.status_code)
    assert answers == [201] * 3 + [429] * 2
    await house.sign_in(house.world.second)
    await other.aclose()
    door.close()
    await house.close()
