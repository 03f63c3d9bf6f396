"""Rate limits: per address, terminal, credential, in moving windows.

The counts are this process's own: several API processes allow as many times more. What guards
the codes is not here but in the database (attempts per request and per person and day).
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv6Address, ip_address
from types import MappingProxyType
from typing import Final

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

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


@dataclass
class RateLimits:
    """Counts in memory, safe to use from several threads."""

    rates: Mapping[Scope, str] = field(default_factory=lambda: DEFAULT_RATES)

    def __post_init__(self) -> None:
        """Read the rates.

        Raises:
            ValueError: if one is not of the form "20 per minute".
        """
        wanted = {**DEFAULT_RATES, **self.rates}
        self._items: dict[Scope, RateLimitItem] = {s: parse(rate) for s, rate in wanted.items()}
        self._windows = MovingWindowRateLimiter(MemoryStorage())

    def admit(self, scope: Scope, who: str) -> None:
        """Count one call.

        Raises:
            RateLimited: if it is one too many; it was not counted then.
        """
        if not self.take(scope, who):
            raise self._limited(scope, who)

    def take(self, scope: Scope, who: str) -> bool:
        """Count one call, and say whether there was room for it."""
        return self._windows.hit(self._items[scope], scope, who)

    def _limited(self, scope: Scope, who: str) -> RateLimited:
        reset_at = self._windows.get_window_stats(self._items[scope], scope, who).reset_time
        return RateLimited(scope, max(1, math.ceil(reset_at - time.time())))


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
