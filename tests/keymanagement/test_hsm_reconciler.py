"""Two stores without a common transaction: what a crash between HSM and journal leaves, and ends.

Every step of a release is cut once, in the HSM's session as in the journal and the archive. Then
a new key manager on the same token answers the same command, or nobody does.
"""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pkcs11
import pytest

from keymanagement.checkvalue import key_check_value
from keymanagement.journalrows import KeyState
from keymanagement.observer import KeyObserver
from keymanagement.pkcs11.faults import TerminalUntrusted
from keymanagement.pkcs11.reconciler import ABANDONED_SECONDS, Finding, KeyReconciler
from keymanagement.pkcs11.session import HsmConnection
from keymanagement.pkcs11.terminalkeys import trusted_key
from keymanagement.port import HostCopyInvalid, KeyAlgorithm, KeyBinding
from tests.support.hsmbench import HsmBench, opened, public_key
from tests.support.keybench import Case, KeyBench
from tests.support.keyfakes import MemoryObserver, PowerCut, Wire
from tests.support.world import World

MOST_STEPS = 80
AES = KeyAlgorithm.AES_128


class CutConnection:
    """A connection whose sessions die at a wire's call."""

    def __init__(self, connection: HsmConnection, wire: Wire | None) -> None:
        self._connection = connection
        self._wire = wire

    def run(self, work: Callable[[Any], Any]) -> Any:
        """See `HsmConnection.run`."""
        wire = self._wire
        if wire is None:
            return self._connection.run(work)
        return self._connection.run(lambda session: work(wire.around(session)))


class House:
    """A token, a world whose EPP it trusts, and a key worker's journal for each case."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hsm = HsmBench.softhsm(folder / "hsm")
        self.world = World.make()
        self.hsm.trust(self.world.terminal.epp)
        # Trying the module out takes time, and it stays the same one.
        self.tried = self.hsm.manager()

    def bench(self, name: str) -> KeyBench:
        """A key worker on a journal of its own, whose keys the HSM tells from all others."""
        bench = KeyBench.make(self.folder / name, self.world)
        bench.manager = self.manager(name)
        return bench

    def manager(self, name: str, wire: Wire | None = None) -> Any:
        """The key manager of one bench, whose sessions die at the wire's call."""
        made = copy(self.tried)
        made.keys = replace(self.tried.keys, deployment=name)
        made._connection = CutConnection(self.hsm.connection, wire)  # type: ignore[assignment]
        return made

    def reconcile(
        self, bench: KeyBench, later: int = 0, observer: KeyObserver | None = None
    ) -> Counter[Finding]:
        """Compare the bench's keys with its journal, so many seconds later."""
        return KeyReconciler(
            self.hsm.connection,
            bench.manager.keys,  # type: ignore[attr-defined]
            bench.journal,
            lambda: self.world.now + later,
            observer=observer,
        ).reconcile()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One house for all cases: each has a deployment name of its own."""
    folder = tmp_path_factory.mktemp("house")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SOFTHSM2_CONF", str(folder / "hsm" / "softhsm2.conf"))
        yield House(folder)


def every_death(house: House, name: str) -> Iterator[tuple[KeyBench, Case, bool]]:
    """Releases that each died after one step more than the last, and whether they died."""
    for at in range(1, MOST_STEPS):
        bench = house.bench(f"{name}-{at}")
        case = bench.authorised()
        wire = Wire(at, after=True)
        bench.manager = house.manager(f"{name}-{at}", wire)
        release, died = bench.key_release(wire), False
        try:
            release.release(bench.command(case))
        except PowerCut:
            died = True
        bench.manager = house.manager(f"{name}-{at}")
        yield bench, case, died
        bench.close()
        if wire.calls < at:
            break


def test_a_release_that_died_anywhere_leaves_one_key_when_it_is_repeated(house: House) -> None:
    """The repeat takes the key that was made: one object, and every token holds it."""
    deaths = adopted = 0
    for bench, case, died in every_death(house, "repeated"):
        deaths += died
        before = house.reconcile(bench)
        assert set(before) <= {Finding.WAITING, Finding.KEPT}
        again = bench.restart()
        again.manager = bench.manager
        outcome = again.release(again.command(case))
        assert outcome.refused is None
        found = again.manager.adopted  # type: ignore[attr-defined]
        assert found == (1 if before[Finding.WAITING] else 0)
        adopted += found
        assert house.reconcile(again) == {Finding.KEPT: 1}
        keys = {opened(one.value, again.world.terminal.epp) for one in again.archive.tokens}
        kcv = again.journal.kcv_of(case.request_id)
        assert [key_check_value(AES, key) for key in keys] == [kcv]
        again.close()
    assert deaths >= 20
    assert adopted >= 4


def test_an_observer_is_told_what_was_found(house: House) -> None:
    """Every finding with its number, zeros too: an alert waits for the first unknown key."""
    bench, told = house.bench("observed"), MemoryObserver()
    bench.released()
    house.reconcile(bench, observer=told)
    assert told.found == [dict.fromkeys((one.value for one in Finding), 0) | {"kept": 1}]
    bench.close()


def test_a_release_that_nobody_repeats_leaves_no_key_without_a_row(house: House) -> None:
    """Two days on no authorisation is left that could take the key: it is destroyed."""
    destroyed = 0
    for bench, case, _ in every_death(house, "abandoned"):
        found = house.reconcile(bench, later=ABANDONED_SECONDS)
        rows = int(bench.journal.key_of(case.request_id) is not None)
        assert (found[Finding.KEPT], found[Finding.WAITING]) == (rows, 0)
        destroyed += found[Finding.DESTROYED]
        assert sum(house.reconcile(bench, later=ABANDONED_SECONDS).values()) == rows
    assert destroyed >= 4


def test_a_terminal_that_the_officer_trusts_later_gets_the_same_key(house: House) -> None:
    """Until then the release fails and may be repeated; another process brings the EPP's key in."""
    bench = house.bench("later")
    case = bench.authorised()
    epp = bench.world.terminal.epp
    house.hsm.connection.run(lambda session: trusted_key(session, public_key(epp)).destroy())
    with pytest.raises(TerminalUntrusted):
        bench.release(bench.command(case))
    assert house.reconcile(bench) == {Finding.WAITING: 1}
    certificate = house.folder / "epp.der"
    certificate.write_bytes(epp.certificate)
    access = house.hsm.access
    subprocess.run(
        [
            *(sys.executable, "-m", "cli", "hsm", "trust", "--module", str(access.module)),
            *("--token", access.token, str(certificate)),
        ],
        env=os.environ | {"KEYFILL_PKCS11_SO_PIN": house.hsm.so_pin},
        check=True,
        capture_output=True,
    )
    assert bench.release(bench.command(case)).refused is None
    assert bench.manager.adopted == 1  # type: ignore[attr-defined]
    assert house.reconcile(bench) == {Finding.KEPT: 1}


def test_of_two_keys_made_at_once_the_journals_is_kept(house: House) -> None:
    """What a second key worker made for the same request is destroyed, at any age."""
    bench = house.bench("twice")
    case = bench.released()
    manager = house.manager("twice")
    binding = KeyBinding(bench.world.terminal.terminal_no, case.request_id)
    house.hsm.connection.run(lambda session: manager.keys.generate(session, AES, binding))
    assert house.reconcile(bench) == {Finding.KEPT: 1, Finding.DESTROYED: 1}
    held = bench.journal.key_of(case.request_id)
    assert held is not None
    assert manager.kcv(held.host_block, AES, binding) == bench.journal.kcv_of(case.request_id)


def test_two_key_workers_take_the_same_of_two_left_keys(house: House) -> None:
    """Whichever asks: the lowest name, so that a third race adds no third key."""
    manager = house.manager("left")
    binding = KeyBinding("ATM-1", "L" * 24)
    for _ in range(3):
        house.hsm.connection.run(lambda session: manager.keys.generate(session, AES, binding))
    made = {house.manager("left").create(AES, binding).block for _ in range(3)}
    assert len(made) == 1
    assert len(house.hsm.objects(binding.request_id)) == 3


def test_a_settled_key_is_locked_in(house: House) -> None:
    """After the receipt no token of it is made any more: the HSM itself then keeps it inside."""
    bench = house.bench("settled")
    case = bench.released()
    assert house.reconcile(bench) == {Finding.KEPT: 1}
    bench.settle(case.request_id, bench.receipt(case))
    held = bench.journal.key_of(case.request_id)
    assert held is not None
    assert held.state is KeyState.ACTIVE
    assert house.reconcile(bench) == {Finding.LOCKED: 1}
    assert house.reconcile(bench) == {Finding.KEPT: 1}


def test_a_key_that_the_journal_does_not_know_is_kept(house: House) -> None:
    """Under a restored old journal it may be a terminal's: counted, and never destroyed."""
    bench = house.bench("unknown")
    manager = house.manager("unknown")
    binding = KeyBinding("ATM-1", "U" * 24)
    created = manager.create(AES, binding)
    assert house.reconcile(bench, later=10 * ABANDONED_SECONDS) == {Finding.UNKNOWN: 1}
    assert manager.kcv(created.block, AES, binding) == created.kcv


def test_the_hsm_is_free_between_two_keys(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """One turn for the names, one a key: a key destroyed in between is no error and not counted."""
    bench = house.bench("turns")
    manager = house.manager("turns")
    bindings = [KeyBinding("ATM-1", letter * 24) for letter in "VWX"]
    names = {manager.create(AES, one).block: one for one in bindings}
    last = names[max(names)]
    turns: list[object] = []

    class Interrupting(CutConnection):
        def run(self, work: Callable[[Any], Any]) -> Any:
            found = super().run(work)
            turns.append(found)
            if len(turns) == 1:
                manager.forget(last)
            return found

    connection: Any = Interrupting(house.hsm.connection, None)
    reconciler = KeyReconciler(
        connection, manager.keys, bench.journal, adopted=lambda: manager.adopted
    )
    with caplog.at_level("INFO", "keyfill.hsm"):
        assert reconciler.reconcile() == {Finding.UNKNOWN: 2}
        assert turns[1:] == [[Finding.UNKNOWN], [Finding.UNKNOWN], []]
        reconciler.reconcile()
    counts = [one.getMessage() for one in caplog.records if one.levelname == "INFO"]
    kept = "0 kept, 0 locked, 0 waiting, 0 destroyed, 2 unknown; 0 adopted since the start"
    assert counts == [f"keys in the HSM: {kept}"]


def test_other_deployments_keys_are_nobodys_business(house: House) -> None:
    """Two deployments share a token: neither counts, opens or destroys the other's keys."""
    one, other = house.bench("here"), house.bench("there")
    binding = KeyBinding("ATM-1", "D" * 24)
    created = house.manager("there").create(AES, binding)
    assert house.reconcile(one, later=10 * ABANDONED_SECONDS) == {}
    house.manager("here").forget(binding)
    with pytest.raises(HostCopyInvalid):
        house.manager("here").kcv(created.block, AES, binding)
    assert house.manager("there").kcv(created.block, AES, binding) == created.kcv
    assert house.reconcile(other) == {Finding.UNKNOWN: 1}


def test_a_planted_key_is_never_handed_out(house: House) -> None:
    """Whoever has the PIN stores a key of their own under the right name: it is not taken."""
    manager = house.manager("planted")
    binding = KeyBinding("ATM-1", "P" * 24)
    known = b"known to an evil"
    made = house.hsm.connection.run(
        lambda session: bytes(manager.keys.generate(session, AES, binding)[pkcs11.Attribute.ID])
    )
    manager.forget(binding)

    def plant(session: pkcs11.Session) -> None:
        session.create_object(
            {
                pkcs11.Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY,
                pkcs11.Attribute.KEY_TYPE: pkcs11.KeyType.AES,
                pkcs11.Attribute.TOKEN: True,
                pkcs11.Attribute.PRIVATE: True,
                pkcs11.Attribute.SENSITIVE: True,
                pkcs11.Attribute.EXTRACTABLE: True,
                pkcs11.Attribute.SIGN: True,
                pkcs11.Attribute.LABEL: binding.request_id,
                pkcs11.Attribute.ID: made,
                pkcs11.Attribute.VALUE: known,
                **manager.keys.hardening,
            }
        )

    house.hsm.connection.run(plant)
    created = manager.create(AES, binding)
    assert created.kcv != key_check_value(AES, known)
    assert manager.adopted == 0
    assert len(house.hsm.objects(binding.request_id)) == 1


def test_the_reconciler_runs_beside_the_key_worker(house: House) -> None:
    """In a thread of its own, from the start and again and again, until it is told to stop."""
    bench = house.bench("running")
    case = bench.released()
    bench.settle(case.request_id, bench.receipt(case))
    turns: list[Counter[Finding]] = []
    reconciler = KeyReconciler(house.hsm.connection, bench.manager.keys, bench.journal)  # type: ignore[attr-defined]
    once = reconciler.reconcile

    def counted() -> Counter[Finding]:
        turns.append(once())
        return turns[-1]

    reconciler.reconcile = counted  # type: ignore[method-assign]
    with reconciler.running(every=0.01):
        while len(turns) < 3:
            pass
    stood = len(turns)
    assert turns[0] == {Finding.LOCKED: 1}
    assert turns[1] == {Finding.KEPT: 1}
    assert len(turns) == stood
