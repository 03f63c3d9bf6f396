"""Key manager and journal as before, with an observer who is told how long each call took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keymanagement.journal import Journal
from keymanagement.observer import KeyObserver, Operation, Outcome
from keymanagement.port import (
    CreatedKey,
    KeyAlgorithm,
    KeyBinding,
    KeyManagementError,
    KeyManager,
    KeyToken,
    KeyUsage,
    TokenTerms,
)


class ObservedKeyManager:
    """Answers `keymanagement.port.KeyManager` by another one, and tells of each call."""

    __slots__ = ("_manager", "_observer")

    def __init__(self, manager: KeyManager, observer: KeyObserver) -> None:
        """Bind the manager that does the work and whoever is told."""
        self._manager = manager
        self._observer = observer

    def formats_for(self, algorithm: KeyAlgorithm) -> tuple[str, ...]:
        """The formats that carry the algorithm; see the port. It asks no module, so is not told."""
        return self._manager.formats_for(algorithm)

    def create(
        self, algorithm: KeyAlgorithm, binding: KeyBinding, usage: KeyUsage = "K1"
    ) -> CreatedKey:
        """Make a key; see the port."""
        with self._told(Operation.CREATE):
            return self._manager.create(algorithm, binding, usage)

    def make_token(
        self,
        block: bytes,
        algorithm: KeyAlgorithm,
        binding: KeyBinding,
        terms: TokenTerms,
        token_format: str,
    ) -> KeyToken:
        """Wrap the key to the EPP; see the port."""
        with self._told(Operation.MAKE_TOKEN):
            return self._manager.make_token(block, algorithm, binding, terms, token_format)

    def kcv(self, block: bytes, algorithm: KeyAlgorithm, binding: KeyBinding) -> str:
        """Compute the KCV of the key in a host's copy; see the port."""
        with self._told(Operation.KCV):
            return self._manager.kcv(block, algorithm, binding)

    def forget(self, binding: KeyBinding) -> None:
        """Destroy what the manager itself holds; see the port."""
        with self._told(Operation.FORGET):
            self._manager.forget(binding)

    @contextmanager
    def _told(self, operation: Operation) -> Iterator[None]:
        started, outcome = time.perf_counter(), Outcome.FAILED
        try:
            yield
            outcome = Outcome.DONE
        except KeyManagementError as error:
            if error.reason is not None:
                outcome = Outcome.REFUSED
            raise
        finally:
            self._observer.called(operation, outcome, time.perf_counter() - started)


class ObservedJournal(Journal):
    """A journal that tells of every transaction."""

    def __init__(self, path: Path, kek: bytes, *previous: bytes, observer: KeyObserver) -> None:
        """Open the journal as `Journal` does; it is there already.

        Raises:
            JournalMissing, JournalCorrupt, KekInvalid: as `Journal` does.
        """
        super().__init__(path, kek, *previous)
        self._file.observe(observer.journal_used)
