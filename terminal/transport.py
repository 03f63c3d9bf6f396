"""HTTP calls that are repeated, byte for byte, until they are answered.

After a cut connection, a 503, a 429 or a 202 the very same call goes out again: the server gives
the same statement the same answer.
"""

import ipaddress
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypedDict, TypeVar, Unpack

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError

from ceremony.stages import Stage

GIVE_UP_SECONDS: Final = 600.0
CONNECT_SECONDS: Final = 5.0
READ_SECONDS: Final = 20.0
"""Longer than the server waits for a verdict before it answers 202."""

ACCEPTED: Final = 202
TROUBLES: Final = frozenset({429, 500, 502, 503, 504})
AGAIN: Final = TROUBLES | {ACCEPTED}
"""Statuses after which the same call is made again; 202: the verdict is still to come."""
_REFUSALS: Final = range(400, 500)
_LONGEST_RETRY_AFTER_S: Final = 60.0


class ServerAddressRefused(ValueError):
    """The server's address is not one that statements and codes may be sent to."""


class ServerUnavailable(Exception):
    """No answer within the caller's patience; the same call may be made again later."""


class AnswerMalformed(Exception):
    """The server answered, but not as the contract says; `status` is the HTTP status."""

    def __init__(self, status: int) -> None:
        """Keep the status; the body is not repeated."""
        super().__init__(f"the server's answer (HTTP {status}) is not the contract's")
        self.status = status


class ServerRefused(Exception):
    """The server refused, finally for this statement.

    Attributes:
        status: the HTTP status, 400 to 499.
        code: the problem document's stable code.
        stage: the loading request's stage, if the problem document tells it.
        attempts_left: likewise, of a refused application.
    """

    def __init__(
        self,
        status: int,
        code: str,
        stage: Stage | None = None,
        attempts_left: int | None = None,
    ) -> None:
        """Keep what the problem document says."""
        super().__init__(f"HTTP {status}: {code}")
        self.status = status
        self.code = code
        self.stage = stage
        self.attempts_left = attempts_left


class Answer(BaseModel):
    """An answer: frozen, and unknown members are ignored, so that newer servers may add some."""

    model_config = ConfigDict(frozen=True, extra="ignore")


A = TypeVar("A", bound=Answer)


class _Problem(Answer):
    code: str = "unknown"
    stage: Stage | None = None
    attempts_left: int | None = None


class Options(TypedDict, total=False):
    """What a call takes besides its path."""

    json: dict[str, Any]
    params: dict[str, int]
    headers: dict[str, str]
    timeout: httpx.Timeout


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one call is repeated before it is given up, and the pauses between; in seconds."""

    give_up_after: float = GIVE_UP_SECONDS
    first_pause: float = 0.2
    longest_pause: float = 5.0


def _no_trouble(what: str) -> None:
    """Nobody is told."""
    del what


def _no_answer() -> None:
    """Nobody is told."""


class PatientHttp:
    """One server, called patiently.

    Args:
        server: its origin, `https://host[:port]`.
        patience: how long to go on.
        transport, sleep, clock: replaced by tests; seconds, `clock` monotonic.
        on_trouble: told in a word why a call is being repeated.
        on_answer: told of every answer that is no trouble.

    Raises:
        ServerAddressRefused: if the origin is not https, or http to this machine itself.
    """

    def __init__(
        self,
        server: str,
        *,
        patience: Patience | None = None,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        on_trouble: Callable[[str], None] = _no_trouble,
        on_answer: Callable[[], None] = _no_answer,
    ) -> None:
        self.server = checked_server(server)
        self._patience = patience or Patience()
        self._sleep = sleep
        self._clock = clock
        self._on_trouble = on_trouble
        self._on_answer = on_answer
        self._server_ahead: float | None = None
        self._http = httpx.Client(
            base_url=self.server,
            timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
            transport=transport,
            headers={"Accept": "application/json"},
            follow_redirects=False,
            # A proxy or a .netrc of the environment must not come between the two.
            trust_env=False,
        )

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def server_time(self) -> float | None:
        """The server's clock now, Unix seconds; None if no answer told it. Not authenticated."""
        return None if self._server_ahead is None else self._server_ahead + self._clock()

    def call(
        self,
        method: str,
        path: str,
        expected: type[A],
        *,
        again: frozenset[int] = AGAIN,
        repeated: Options | None = None,
        **options: Unpack[Options],
    ) -> A:
        """Repeat one call until it is answered.

        `again` are the statuses that are no answer yet; `repeated` replaces options from the
        second time on.

        Raises:
            ServerRefused: the server said no.
            ServerUnavailable: no answer came within the patience.
            AnswerMalformed: an answer came that the contract does not know.
        """
        deadline = self._clock() + self._patience.give_up_after
        pause = self._patience.first_pause
        while True:
            response = self._attempt(method, path, options)
            if response is not None and response.status_code not in again:
                return _read(response, expected)
            wait = max(pause, _retry_after(response))
            if self._clock() + wait > deadline:
                raise ServerUnavailable(f"no answer from {self.server}")
            self._sleep(wait)
            options = {**options, **(repeated or {})}
            pause = min(2 * pause, self._patience.longest_pause)

    def _attempt(self, method: str, path: str, options: Options) -> httpx.Response | None:
        try:
            response = self._http.request(method, path, **options)
        except httpx.TransportError as error:
            self._on_trouble(type(error).__name__)
            return None
        if response.status_code in TROUBLES:
            self._on_trouble(f"HTTP {response.status_code}")
        else:
            self._note_time(response)
            self._on_answer()
        return response

    def _note_time(self, response: httpx.Response) -> None:
        """Read the server's clock, which tells whole seconds (RFC 9110 section 6.6.1)."""
        try:
            told = parsedate_to_datetime(response.headers.get("Date", "")).timestamp()
        except ValueError:
            return
        self._server_ahead = told - self._clock()


def checked_server(server: str) -> str:
    """Check a server's origin and return it without a trailing slash.

    Statements are safe to be seen, but codes and tokens are not: plain HTTP never leaves the
    machine.

    Raises:
        ServerAddressRefused: if it is no origin, not https, or http to another machine.
    """
    try:
        url = httpx.URL(server)
    except (httpx.InvalidURL, ValueError):
        raise ServerAddressRefused("Give the server as https://host[:port].") from None
    if url.scheme not in ("http", "https") or not url.host or url.path not in ("", "/"):
        raise ServerAddressRefused("Give the server as https://host[:port].")
    if url.query or url.fragment or url.userinfo:
        raise ServerAddressRefused("Give the server as https://host[:port], nothing else.")
    if url.scheme == "http" and not _is_loopback(url.host):
        raise ServerAddressRefused("Use https: plain http is for this machine itself only.")
    return str(url).rstrip("/")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _read(response: httpx.Response, expected: type[A]) -> A:
    try:
        if response.is_success:
            return expected.model_validate_json(response.content)
        if response.status_code in _REFUSALS:
            problem = _Problem.model_validate_json(response.content)
            raise ServerRefused(
                response.status_code, problem.code, problem.stage, problem.attempts_left
            )
    except ValidationError:
        # The validation error would repeat the body.
        raise AnswerMalformed(response.status_code) from None
    raise AnswerMalformed(response.status_code)


def _retry_after(response: httpx.Response | None) -> float:
    """Seconds that the server asks to wait (RFC 9110 section 10.2.3, the number form)."""
    text = "" if response is None else response.headers.get("Retry-After", "")
    return min(float(text), _LONGEST_RETRY_AFTER_S) if text.isdecimal() else 0.0
