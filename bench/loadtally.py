"""What a load test counts: every answer by its call and status, every call's time, every retry."""

import math
import re
import ssl
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import httpx

_ID: Final = re.compile(r"/[A-Za-z0-9_-]{24}(?=/|$)")
_NOT_ENCRYPTED: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""One for all: making one with the world's authorities takes longer than a call."""
CHOSEN: Final = (50, 95, 99)


@dataclass
class Tally:
    """Safe to use from several threads.

    Attributes:
        answers: how often each (call, status) came; a call is its method and its path's template.
        troubles: the same of answers of 500 and above, with the problem's code.
        seconds: how long each call took until its answer's headers, long polls apart.
        cut: connections that failed, by the error's class.
    """

    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    troubles: Counter[tuple[str, int, str]] = field(default_factory=Counter)
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    cut: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answered(self, call: str, status: int, seconds: float) -> None:
        """Count an answer."""
        with self._lock:
            self.answers[call, status] += 1
            self.seconds[call].append(seconds)

    def troubled(self, call: str, status: int, code: str) -> None:
        """Note why an answer was 500 or above."""
        with self._lock:
            self.troubles[call, status, code] += 1

    def failed(self, error: httpx.TransportError) -> None:
        """Count a connection that gave no answer."""
        with self._lock:
            self.cut[type(error).__name__] += 1

    def noted(self, what: str, seconds: float) -> None:
        """Count how long something else took."""
        with self._lock:
            self.seconds[what].append(seconds)

    @property
    def server_errors(self) -> int:
        """How many answers were 500 or above."""
        return sum(n for (_, status), n in self.answers.items() if status >= 500)

    @property
    def retried(self) -> Counter[int]:
        """The answers after which a client has to make the same call again, by status.

        A 202 of what only ever says "on its way" is an answer.
        """
        found: Counter[int] = Counter()
        for (call, status), n in self.answers.items():
            if status in (429, 503) or (status == 202 and not call.endswith("/sms-codes")):
                found[status] += n
        return found


class Abandoned(Exception):
    """A ceremony that cannot come to its end any more: nobody calls for it again."""


class Counting(httpx.BaseTransport):
    """One party's own connection to the servers, from an address of its own, that is tallied."""

    def __init__(self, tally: Tally, address: str, abandoned: threading.Event) -> None:
        """Name whose tally, the loopback address (127.0.0.0/8) to call from, and when to stop."""
        self._tally = tally
        self._abandoned = abandoned
        self._inner = httpx.HTTPTransport(verify=_NOT_ENCRYPTED, local_address=address)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Make a call, and count its answer and its time.

        Raises:
            Abandoned: if the ceremony was given up.
        """
        if self._abandoned.is_set():
            raise Abandoned
        began = time.perf_counter()
        try:
            response = self._inner.handle_request(request)
        except httpx.TransportError as error:
            self._tally.failed(error)
            raise
        seconds, call = time.perf_counter() - began, call_of(request)
        self._tally.answered(call, response.status_code, seconds)
        if response.is_server_error:
            response.read()
            self._tally.troubled(call, response.status_code, code_of(response))
        return response

    def close(self) -> None:
        """Close the connection."""
        self._inner.close()


def call_of(request: httpx.Request) -> str:
    """A call without what differs from one loading request to the next."""
    waits = request.url.params.get("wait", "0") != "0"
    path = _ID.sub("/{id}", request.url.path)
    return f"{request.method} {path}{' (long poll)' if waits else ''}"


def code_of(response: httpx.Response) -> str:
    """The code of a problem document."""
    try:
        return str(response.json()["code"])
    except (ValueError, KeyError, TypeError):
        return "no problem document"


def percentiles(values: Sequence[float], chosen: Sequence[int] = CHOSEN) -> list[float]:
    """The smallest values that so many in a hundred do not exceed (nearest rank)."""
    ordered = sorted(values)
    return [ordered[max(0, math.ceil(len(ordered) * p / 100) - 1)] for p in chosen]
