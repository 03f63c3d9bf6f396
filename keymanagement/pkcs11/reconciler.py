"""Agreement of HSM and journal: keys that a crash left over, and keys that must stay inside.

An HSM and a journal are two stores without a common transaction. The order is intent, key, row
(`keymanagement.journal`), so that a crash in between leaves a key without a row, never the other
way round. A repeated release takes it (`HsmKeyManager.create`); this module destroys what nobody
takes any more, and counts both.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import partial
from typing import Final, Protocol

import pkcs11
from pkcs11 import Attribute

from ceremony.keylife import KeyState
from keymanagement.journalrows import HeldKey, ReleaseIntent
from keymanagement.observer import KeyObserver, Unobserved
from keymanagement.pkcs11.objects import HsmKey
from keymanagement.pkcs11.session import HsmConnection
from keymanagement.pkcs11.tokenkeys import TokenKeys, lock
from keymanagement.port import KeyBinding, KeyManagementError

ABANDONED_SECONDS: Final = 48 * 3600
"""An intent of this age makes no key any more: an application, and with it every authorisation,
expires after 24 hours at most (design, section 3)."""
EVERY_SECONDS: Final = 900.0

_log = logging.getLogger("keyfill.hsm")


class Finding(StrEnum):
    """What a key in the HSM was found to be, and so what was done to it."""

    KEPT = "kept"
    """The journal names it."""
    LOCKED = "locked"
    """The journal names it and no token of it will be made: it was made unextractable."""
    WAITING = "waiting"
    """A release was begun and may be repeated, which then takes it."""
    DESTROYED = "destroyed"
    """Nobody has it or will: a duplicate, an abandoned one, or one that officers had destroyed."""
    UNKNOWN = "unknown"
    """The journal knows no release of it. It may be in a terminal, and the journal a restored old
    one: it is kept, and somebody has to look."""


class Ledger(Protocol):
    """The journal as the reconciler reads it."""

    def key_of(self, request_id: str) -> HeldKey | None:
        """The key of a request."""
        ...

    def release_of(self, request_id: str) -> ReleaseIntent | None:
        """The intent of a request."""
        ...


class KeyReconciler:
    """Goes through all keys of one deployment in one token; may run beside releases."""

    def __init__(
        self,
        connection: HsmConnection,
        keys: TokenKeys,
        ledger: Ledger,
        clock: Callable[[], float] = time.time,
        adopted: Callable[[], int] = lambda: 0,
        observer: KeyObserver | None = None,
    ) -> None:
        """Bind HSM and journal; `clock` gives Unix seconds, `adopted` what to log beside."""
        self._connection = connection
        self._keys = keys
        self._ledger = ledger
        self._clock = clock
        self._adopted = adopted
        self._observer = observer or Unobserved()
        self._told: tuple[Counter[Finding], int] | None = None

    def reconcile(self) -> Counter[Finding]:
        """Judge every key once, and count the findings.

        The HSM is asked for the names, and then for one key at a time: a release waits for one key
        at most. One that is gone by then was somebody else's to destroy, and is not counted. Counts
        that are not those of the last time are logged.

        Raises:
            HsmUnavailable: if the module fails; what was done stays done.
            JournalCorrupt: if the journal was changed from outside.
        """
        found: Counter[Finding] = Counter()
        for name in self._connection.run(self._names):
            found.update(self._connection.run(partial(self._judged, name)))
        if found[Finding.UNKNOWN]:
            _log.error(
                "%(unknown)d keys in the HSM that the journal does not know",
                {"unknown": found[Finding.UNKNOWN]},
            )
        told = found, self._adopted()
        if told != self._told:
            _log.info(
                "keys in the HSM: %(kept)d kept, %(locked)d locked, %(waiting)d waiting, "
                "%(destroyed)d destroyed, %(unknown)d unknown; %(adopted)d adopted since the start",
                {**{one.value: found[one] for one in Finding}, "adopted": told[1]},
            )
            self._told = told
        self._observer.compared({one.value: found[one] for one in Finding})
        return found

    @contextmanager
    def running(self, every: float = EVERY_SECONDS) -> Iterator[None]:
        """Reconcile now, and every so many seconds in a thread until the block ends.

        A failure is logged and waits for the next turn: no release depends on it.
        """
        stop = threading.Event()

        def turns() -> None:
            while True:
                try:
                    self.reconcile()
                except KeyManagementError:
                    _log.exception("the HSM's keys were not compared with the journal")
                    self._observer.compared(None)
                if stop.wait(every):
                    return

        thread = threading.Thread(target=turns, name="keyfill-hsm-reconciler", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _names(self, session: pkcs11.Session) -> list[bytes]:
        # Each once: a name that two keys have finds both of them.
        return sorted({bytes(key[Attribute.ID]) for key in self._keys.all_of(session)})

    def _judged(self, name: bytes, session: pkcs11.Session) -> list[Finding]:
        return [self._judge(key) for key in self._keys.named(session, name)]

    def _judge(self, key: HsmKey) -> Finding:
        request_id = key[Attribute.LABEL]
        intent = self._ledger.release_of(request_id)
        if intent is None or not self._keys.is_of(key, KeyBinding(intent.terminal_no, request_id)):
            return Finding.UNKNOWN
        # After the intent, so that a row written in between is seen.
        held = self._ledger.key_of(request_id)
        if held is None:
            if self._clock() - intent.intent_at < ABANDONED_SECONDS:
                return Finding.WAITING
        elif held.host_block == self._keys.block(key):
            if held.state is KeyState.RELEASED:
                return Finding.KEPT
            return Finding.LOCKED if lock(key) else Finding.KEPT
        key.destroy()
        return Finding.DESTROYED
