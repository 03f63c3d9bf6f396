"""A connection to one token: one login, pooled sessions, and a second try after a failure.

PKCS#11 logs in a process, not a session (2.40, section 5.6): one session logs in and is kept, the
others are opened beside it. A wrong PIN is given once in the life of a connection: tokens lock
after a few, and a retry loop would lock out everybody.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self, TypeVar

import pkcs11
from pkcs11 import TokenFlag

from keymanagement.pkcs11.faults import HsmUnavailable, PinRefused
from keymanagement.pkcs11.module import Pkcs11Module, is_lost

SESSIONS: Final = 4
_PING_BITS: Final = 64

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class TokenAccess:
    """Where a token is and how to log in; `parameters` only for a module that needs them (NSS).

    `parallel` lets up to `SESSIONS` threads work at the same time, in a module that bears it.
    """

    module: Path
    token: str
    pin: str = field(repr=False)
    parameters: str = ""
    parallel: bool = False


class HsmConnection:
    """Runs work in a token's sessions, as its user; safe for threads. One a process and token."""

    def __init__(self, access: TokenAccess) -> None:
        """Load the module and log in.

        Raises:
            ModuleMissing, TokenMissing, PinRefused, HsmUnavailable.
        """
        self._access = access
        self._module = Pkcs11Module.load(str(access.module), access.parameters)
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(SESSIONS)
        self._idle: list[pkcs11.Session] = []
        self._keeper: pkcs11.Session | None = None
        self._generation = -1
        self._refused = False
        self.run(lambda session: session.token.label)

    def __enter__(self) -> Self:
        """Hold the connection for a block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def run(self, work: Callable[[pkcs11.Session], _Result]) -> _Result:
        """Do some work in a session, and once more in a new one if the first was lost under it.

        So `work` must be repeatable. What it raises itself comes through.

        Raises:
            HsmUnavailable: if the module failed twice, or refused in a way that `work` left open.
            TokenMissing, PinRefused: if the token is not as it was.
        """
        try:
            return self._once(work)
        except _Lost as lost:
            self._module.restart(lost.generation)
        try:
            return self._once(work)
        except _Lost as lost:
            raise HsmUnavailable(f"the module failed: {lost}") from lost.__cause__

    def close(self) -> None:
        """Log out and close all sessions; the connection opens them again when it is used."""
        with self._module.calling(), self._lock:
            for session in self._idle:
                _close(session)
            if self._keeper is not None:
                _close(self._keeper)
            self._idle, self._keeper, self._generation = [], None, -1

    def _once(self, work: Callable[[pkcs11.Session], _Result]) -> _Result:
        parallel = self._access.parallel
        with self._slots, self._module.calling(parallel=parallel) as generation:
            try:
                with self._session(generation) as session:
                    return work(session)
            except pkcs11.PKCS11Error as error:
                name = type(error).__name__
                if is_lost(error):
                    raise _Lost(name, generation) from error
                raise HsmUnavailable(f"the module refused: {name}") from error

    @contextmanager
    def _session(self, generation: int) -> Iterator[pkcs11.Session]:
        session = self._take(generation)
        try:
            # A dead session fails here, not in a search, which `python-pkcs11` would leave open.
            session.generate_random(_PING_BITS)
            yield session
        except BaseException:
            # An operation may be left half-done in it, or objects of ours.
            _close(session)
            raise
        with self._lock:
            self._idle.append(session)

    def _take(self, generation: int) -> pkcs11.Session:
        with self._lock:
            if self._generation != generation:
                self._log_in()
                self._generation = generation
            if self._idle:
                return self._idle.pop()
        return self._module.token(self._access.token).open(rw=True)

    def _log_in(self) -> None:
        self._idle, self._keeper = [], None
        if self._refused:
            raise PinRefused("The token refused the PIN before; it is not tried again.")
        token = self._module.token(self._access.token)
        if token.flags & (TokenFlag.USER_PIN_LOCKED | TokenFlag.USER_PIN_FINAL_TRY):
            raise PinRefused("One more wrong PIN would lock the token, or it is locked already.")
        try:
            self._keeper = token.open(rw=True, user_pin=self._access.pin)
        except pkcs11.UserAlreadyLoggedIn:
            self._keeper = token.open(rw=True)
        except _PIN_REFUSED:
            self._refused = True
            raise PinRefused("The token refused the PIN; it is not tried again.") from None


class _Lost(Exception):
    """The session, the login or the module went away in this generation."""

    def __init__(self, name: str, generation: int) -> None:
        super().__init__(name)
        self.generation = generation


_PIN_REFUSED: Final = (
    pkcs11.PinIncorrect,
    pkcs11.PinInvalid,
    pkcs11.PinLenRange,
    pkcs11.PinExpired,
    pkcs11.PinLocked,
    pkcs11.UserPinNotInitialized,
)


def _close(session: pkcs11.Session) -> None:
    # What cannot be closed was lost already; the module knows no more of it.
    with suppress(pkcs11.PKCS11Error):
        session.close()
