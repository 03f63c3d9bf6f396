"""What an observer is told of a key worker: durations and outcomes, of every call."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from keymanagement.journal import Journal
from keymanagement.observed import ObservedJournal, ObservedKeyManager
from keymanagement.observer import Operation, Outcome
from keymanagement.port import FormatUnsupported, HostCopyInvalid, KeyAlgorithm, KeyBinding
from tests.support.keybench import KeyBench
from tests.support.keyfakes import KEK, CountingManager, MemoryObserver
from tests.support.keytokens import terms_for
from tests.support.world import World

AES = KeyAlgorithm.AES_128
BINDING = KeyBinding("ATM-0001", "request-1")


class BrokenManager(CountingManager):
    """A key manager that fails in a way that nobody thought of."""

    def forget(self, binding: KeyBinding) -> None:
        """Fail."""
        raise RuntimeError(binding.request_id)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[KeyBench]:
    """A key worker's bench."""
    made = KeyBench.make(tmp_path / "bench")
    yield made
    made.close()


def test_a_release_is_told_call_by_call(bench: KeyBench, tmp_path: Path) -> None:
    """Making and wrapping are told once each, every transaction too, and the key is the same."""
    told = MemoryObserver()
    bench.journal.close()
    watched = replace(
        bench,
        manager=ObservedKeyManager(bench.manager, told),  # type: ignore[arg-type]
        journal=ObservedJournal(bench.folder / "journal.db", KEK, observer=told),
    )
    case = watched.authorised()
    assert watched.release(watched.command(case)).refused is None
    assert told.calls == [(Operation.CREATE, Outcome.DONE), (Operation.MAKE_TOKEN, Outcome.DONE)]
    assert {"read", "write"} == set(told.journal)
    assert watched.journal.key_of(case.request_id) is not None
    watched.close()


def test_refusals_and_faults_are_told_apart() -> None:
    """A business refusal, a fault of storage and one that nobody modelled: told, and raised."""
    told = MemoryObserver()
    terms = terms_for(World.make().terminal.epp, terminal_no="ATM-0001", request_id="request-1")
    manager = ObservedKeyManager(BrokenManager(), told)
    block = manager.create(AES, BINDING).block
    assert len(manager.kcv(block, AES, BINDING)) == 6
    with pytest.raises(HostCopyInvalid):
        manager.kcv(block, AES, KeyBinding("ATM-0002", "request-1"))
    with pytest.raises(FormatUnsupported):
        manager.make_token(block, AES, BINDING, terms, "no-format")
    with pytest.raises(RuntimeError):
        manager.forget(BINDING)
    assert told.calls == [
        (Operation.CREATE, Outcome.DONE),
        (Operation.KCV, Outcome.DONE),
        (Operation.KCV, Outcome.FAILED),
        (Operation.MAKE_TOKEN, Outcome.REFUSED),
        (Operation.FORGET, Outcome.FAILED),
    ]


def test_a_failed_transaction_is_told_too(bench: KeyBench) -> None:
    """What rolls back took its time as well."""
    told = MemoryObserver()
    bench.journal.close()
    with ObservedJournal(bench.folder / "journal.db", KEK, observer=told) as journal:
        before = len(told.journal)
        with pytest.raises(ZeroDivisionError), journal._file.transaction():
            raise ZeroDivisionError
        assert told.journal[before:] == ["write"]
    assert isinstance(journal, Journal)
