"""Rate limits: per address, terminal, credential; shared by all processes through the database.

A limit lets through as many calls at once as it says, and so many in each period from then on.
What is counted at every call is counted here first and in the database a batch at a time, so
that a call in general costs no write: N processes let through at most N × (batch - 1) calls more
than the limit, a batch being a 24th of it. Sign-in and SMS codes are counted one by one.

What guards the codes themselves is elsewhere in the database (attempts per request, and per
person and day).
"""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv6Address, ip_address
from types import MappingProxyType
from typing import Final, Protocol

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from records.failures import DatabaseUnavailable
from records.rates import Charged

BATCHES: Final = 24
"""A limit is charged in so many batches."""
REMEMBERED: Final = 20_000
"""Subjects that a process remembers; of the others it only knows what the database says."""
AWAY_SECONDS: Final = 5.0
"""So long a process counts addresses by itself before it asks a database that was away again."""
_IPV6_NETWORK_BITS: Final = 64


class Scope(StrEnum):
    """What is counted."""

    ADDRESS = "address"
    TERMINAL = "terminal"
    CREDENTIAL = "credential"
    LOGINS = "logins"
    SMS_CODES = "sms-codes"
    AUDITED = "audited"
    AUDITED_ALL = "audited-all"


ONE_BY_ONE: Final = frozenset({Scope.LOGINS, Scope.SMS_CODES})
"""Calls that write anyway, and of which not one more may pass than the limit."""

DEFAULT_RATES: Final[Mapping[Scope, str]] = MappingProxyType(
    {
        # Many terminals of a bank come through one gateway; this only stops a flood.
        Scope.ADDRESS: "1200 per minute",
        Scope.TERMINAL: "120 per minute",
        Scope.CREDENTIAL: "240 per minute",
        Scope.LOGINS: "20 per minute",
        # On top of three codes a request and one a minute.
        Scope.SMS_CODES: "10 per minute",
        # The audit trail is append-only: strangers must not be able to fill the disk with it.
        # Beyond these, refusals are only counted; nobody is locked out, for a forger may share
        # the address of honest terminals.
        Scope.AUDITED: "60 per minute",
        Scope.AUDITED_ALL: "600 per minute",
    }
)


class RateLimited(Exception):
    """Asked too often; `retry_after` is in seconds, at least 1."""

    def __init__(self, scope: Scope, retry_after: int) -> None:
        """Name what was counted, never who."""
        super().__init__(scope.value)
        self.scope = scope
        self.retry_after = retry_after


class Counts(Protocol):
    """Counts that all processes share."""

    async def charge(self, subject: str, calls: int, *, limit: int, seconds: int) -> Charged:
        """Count calls if there is room for them all.

        Raises:
            DatabaseUnavailable: nothing was counted.
        """
        ...


@dataclass
class _Tally:
    """What a process knows of one subject: calls let through and not yet charged, and until when.

    `free` more may pass before the next charge; none at all before `refused_until`.
    """

    free: int
    pending: int = 0
    touched: float = 0.0
    refused_until: float = 0.0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def known(self, now: float) -> bool:
        """Whether the next call can be answered without asking the database."""
        return self.free > 0 or now < self.refused_until

    def pass_or_refuse(self) -> float | None:
        """Let one through, and note it; or say until when none passes."""
        if self.free == 0:
            return self.refused_until
        self.free -= 1
        self.pending += 1
        return None


class RateLimits:
    """Counts calls; not for two event loops at once.

    Without `counts` everything is counted in this process's memory alone, as in tests. `realm`
    keeps apart what different services count on one database. `clock` gives Unix seconds.
    """

    def __init__(
        self,
        rates: Mapping[Scope, str] = DEFAULT_RATES,
        counts: Counts | None = None,
        *,
        realm: str = "api",
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Read the rates; what is not given is as in `DEFAULT_RATES`.

        Raises:
            ValueError: if one is not of the form "20 per minute".
        """
        wanted = {**DEFAULT_RATES, **rates}
        self._items: dict[Scope, RateLimitItem] = {s: parse(rate) for s, rate in wanted.items()}
        self._counts = counts
        self._realm = realm
        self._clock = clock
        self._local = MovingWindowRateLimiter(MemoryStorage())
        self._tallies: OrderedDict[tuple[Scope, str], _Tally] = OrderedDict()
        self._away_until = 0.0

    @property
    def shared(self) -> bool:
        """Whether other processes' calls count too."""
        return self._counts is not None

    async def admit(self, scope: Scope, who: str) -> None:
        """Count one call.

        Raises:
            RateLimited: if it is one too many; it was not counted then.
            DatabaseUnavailable: if it cannot be counted; of addresses a process then keeps count
                by itself.
        """
        retry_at = await self._refused_until(scope, who)
        if retry_at is not None:
            raise RateLimited(scope, max(1, math.ceil(retry_at - self._clock())))

    async def take(self, scope: Scope, who: str) -> bool:
        """Count one call, and say whether there was room for it.

        Raises:
            DatabaseUnavailable: as `admit`.
        """
        return await self._refused_until(scope, who) is None

    async def _refused_until(self, scope: Scope, who: str) -> float | None:
        if self._counts is None:
            return self._alone(scope, who)
        tally = self._tally(scope, who)
        if tally.known(self._clock()):
            return tally.pass_or_refuse()
        # Before the loop turns to another call of the same subject: each is charged once.
        async with tally.turn:
            if tally.known(self._clock()):
                return tally.pass_or_refuse()
            try:
                return await self._charge(self._counts, scope, who, tally)
            except DatabaseUnavailable:
                if scope is not Scope.ADDRESS:
                    raise
                # What matters answers 503 by itself; that a database restarts must not make
                # every page fail, nor a flood free.
                self._away_until = self._clock() + AWAY_SECONDS
                return self._alone(scope, who)

    async def _charge(self, counts: Counts, scope: Scope, who: str, tally: _Tally) -> float | None:
        if scope is Scope.ADDRESS and self._clock() < self._away_until:
            return self._alone(scope, who)
        item = self._items[scope]
        charged = await counts.charge(
            f"{self._realm}/{scope}/{who}",
            tally.pending + 1,
            limit=item.amount,
            seconds=item.get_expiry(),
        )
        if charged.retry_at is not None:
            tally.refused_until = charged.retry_at
            return charged.retry_at
        tally.pending = 0
        tally.free = max(0, min(self._batch(scope) - 1, charged.room - 1))
        return None

    def _alone(self, scope: Scope, who: str) -> float | None:
        item = self._items[scope]
        if self._local.hit(item, scope, who):
            return None
        return self._local.get_window_stats(item, scope, who).reset_time

    def _tally(self, scope: Scope, who: str) -> _Tally:
        now, period = self._clock(), self._items[scope].get_expiry()
        tally = self._tallies.get((scope, who))
        if tally is None:
            tally = self._tallies[scope, who] = _Tally(self._batch(scope) - 1)
            if len(self._tallies) > REMEMBERED:
                self._tallies.popitem(last=False)
        elif abs(now - tally.touched) > period:
            # What was let through so long ago has drained away by now, charged or not. A clock that
            # was put back must not refuse until it is where it was.
            tally.free, tally.pending, tally.refused_until = self._batch(scope) - 1, 0, 0.0
        tally.touched = now
        self._tallies.move_to_end((scope, who))
        return tally

    def _batch(self, scope: Scope) -> int:
        return 1 if scope in ONE_BY_ONE else max(1, self._items[scope].amount // BATCHES)


def network_of(host: str | None) -> str:
    """Whom to count as one address: an IPv4 address, or an IPv6 network of 64 bits."""
    if host is None:
        return "unknown"
    try:
        address = ip_address(host)
    except ValueError:
        return "unknown"
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    bits = 128 - _IPV6_NETWORK_BITS
    return f"{IPv6Address(int(address) >> bits << bits)}/{_IPV6_NETWORK_BITS}"
