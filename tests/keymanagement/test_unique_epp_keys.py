"""No EPP key belongs to two terminals, whatever certificates it is in (PCI PIN 20-1)."""

from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from ceremony.reasons import Reason
from ceremony.registry import VerifiedTerminal
from keymanagement.changerows import AT_ONCE
from keymanagement.entries import observe_entries
from keymanagement.journal import Journal
from keymanagement.journalerrors import EppKeyForeign
from keymanagement.journalrows import Reliance, Revoked
from tests.support.certificates import Epp, sample_authority, sample_epp
from tests.support.identities import Terminal
from tests.support.keybench import Case, KeyBench
from tests.support.keyfakes import KEK


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[KeyBench]:
    """A key worker."""
    bench = KeyBench.make(tmp_path)
    yield bench
    bench.close()


def show(bench: KeyBench, one: VerifiedTerminal) -> None:
    """Show the key worker a terminal's entry."""
    observe_entries(bench.journal, bench.world.trust, [one], now=bench.world.now)


def register(bench: KeyBench, one: Terminal, **fields: Any) -> None:
    """Put a terminal's new entry in force; the feed and an officer sign it."""
    world = bench.world
    if one.terminal_no == world.other.terminal_no:
        world.other = one
    else:
        world.terminal = one
    signers = (world.feed, world.officers[0])
    world.terminal_envelopes[one.terminal_no] = world.terminal_entry(one, signers=signers, **fields)
    bench.register()


def certified_anew(epp: Epp) -> Epp:
    """The same key in another certificate."""
    der = sample_authority().issue(epp.private_key.public_key(), name="certified anew")
    return replace(epp, certificate=der)


def share(bench: KeyBench, epp: Epp | None = None) -> Case:
    """Give the first terminal's EPP key to the other terminal, which asks for a key."""
    mine = bench.world.terminal.epp
    register(bench, replace(bench.world.other, epp=epp or certified_anew(mine)))
    return bench.authorised(request={"about": bench.world.other})


def require_foreign(bench: KeyBench, case: Case) -> None:
    """The release is refused for the EPP's key, and nothing is made or remembered of it."""
    made = bench.manager.made
    outcome = bench.release(bench.command(case))
    assert (outcome.refused, outcome.token_digest) == (Reason.FOREIGN_EPP_KEY, None)
    assert bench.manager.made == made
    assert bench.journal.release_of(case.request_id) is None
    assert bench.journal.known_seqs("terminal", [bench.world.other.terminal_no]) == {}


def test_the_same_epp_key_in_two_terminals_is_refused(bench: KeyBench) -> None:
    """One key in two certificates, of two terminals: the second gets no key, the first still does.

    The registry refuses it first; the key worker, who believes no registry, does by its journal.
    """
    bench.released()
    case = share(bench)
    assert bench.world.other.epp.certificate != bench.world.terminal.epp.certificate
    require_foreign(bench, case)
    bench.released()


def test_the_same_certificate_in_two_terminals_is_refused(bench: KeyBench) -> None:
    """As is the very same certificate."""
    bench.released()
    require_foreign(bench, share(bench, bench.world.terminal.epp))


def test_an_entry_that_was_only_shown_counts(bench: KeyBench) -> None:
    """The key worker need not have released to the first terminal: it was shown its entry."""
    show(bench, bench.world.read_terminal(bench.world.entries().terminal))
    require_foreign(bench, share(bench))


def test_it_is_refused_after_a_restart(bench: KeyBench) -> None:
    """The journal remembers, not the process."""
    bench.released()
    case = share(bench)
    again = bench.restart()
    assert again.release(again.command(case)).refused is Reason.FOREIGN_EPP_KEY
    again.close()


@pytest.mark.parametrize("shown", [True, False])
def test_an_epp_that_its_terminal_gave_up_moves(bench: KeyBench, shown: bool) -> None:
    """Once a newer entry of the first terminal names another EPP, the other one may have it."""
    bench.released()
    case = share(bench)
    moved = replace(bench.world.terminal, epp=sample_epp("the new EPP of ATM-0001"))
    register(bench, moved, seq=2)
    if shown:
        show(bench, bench.world.read_terminal(bench.world.entries().terminal))
        assert bench.release(bench.command(case)).refused is None
    else:
        bench.released()
        assert bench.release(bench.command(case)).refused is None


def test_the_epp_of_a_revoked_terminal_moves(bench: KeyBench) -> None:
    """A terminal that was given up needs an officer's word: its entry then holds nothing."""
    bench.released()
    case = share(bench)
    bench.journal.revoke(Revoked("terminal", bench.world.terminal.terminal_no, 1, "77" * 32))
    assert bench.release(bench.command(case)).refused is None


def test_a_key_is_wrapped_again_only_for_its_own_terminal(bench: KeyBench) -> None:
    """A further confirmation is checked too: the key may have come to another terminal since."""
    case = bench.released()
    mine = bench.world.read_terminal(bench.world.entries().terminal)
    share(bench)
    theirs = bench.world.read_terminal(bench.world.entries(bench.world.other).terminal)
    assert mine.epp.key_fingerprint == theirs.epp.key_fingerprint
    show(bench, theirs)
    outcome = bench.release(bench.command(bench.confirmed_anew(case)))
    assert outcome.refused is Reason.FOREIGN_EPP_KEY


def test_a_receipt_counts_whoever_has_the_epp_now(bench: KeyBench) -> None:
    """What the terminal loaded it has loaded: settling gives out nothing."""
    case = bench.released()
    share(bench)
    theirs = bench.world.read_terminal(bench.world.entries(bench.world.other).terminal)
    show(bench, theirs)
    assert bench.settle(case.request_id, bench.receipt(case)).active


def digest(text: str) -> str:
    """A digest for a test."""
    return sha256(text.encode()).hexdigest()


def entry(terminal_no: str, seq: int, key: str) -> Reliance:
    """A terminal's entry with this EPP key."""
    name = f"{terminal_no} {seq} {key}"
    return Reliance("terminal", terminal_no, seq, digest(name), digest(key), digest(key))


def test_a_page_of_entries_is_remembered_whole(tmp_path: Path) -> None:
    """Of many entries shown at once each terminal's newest counts, in whatever order they come."""
    with Journal(tmp_path / "journal.db", KEK, create=True) as journal:
        shown = [
            entry("ATM-1", 2, "new"),
            entry("ATM-1", 1, "old"),
            entry("ATM-2", 1, "two"),
            entry("ATM-2", 2, "three"),
            Reliance("person", "ATM-2", 9, digest("person"), digest("key")),
        ]
        journal.observe([replace(one, may_change=True) for one in shown], cooling=AT_ONCE)
        journal.rely_on([entry("ATM-3", 1, "old")], releasing=True, cooling=AT_ONCE)
        journal.rely_on([entry("ATM-4", 1, "two")], releasing=True, cooling=AT_ONCE)
        for taken in ("new", "three", "old", "two"):
            with pytest.raises(EppKeyForeign):
                journal.rely_on([entry("ATM-9", 1, taken)], releasing=True, cooling=AT_ONCE)
        journal.rely_on([entry("ATM-2", 2, "three")], releasing=True, cooling=AT_ONCE)
        journal.verify()


def test_nothing_is_remembered_of_a_refused_release(tmp_path: Path) -> None:
    """All of a release's entries or none: the refused terminal does not hold the key either."""
    with Journal(tmp_path / "journal.db", KEK, create=True) as journal:
        journal.rely_on([entry("ATM-1", 1, "one")], releasing=True, cooling=AT_ONCE)
        with pytest.raises(EppKeyForeign):
            journal.rely_on([entry("ATM-2", 5, "one")], releasing=True, cooling=AT_ONCE)
        assert journal.known_seqs("terminal", ["ATM-1", "ATM-2"]) == {"ATM-1": 1}
        journal.rely_on([entry("ATM-1", 1, "one")], releasing=True, cooling=AT_ONCE)


def test_a_revocation_frees_only_what_it_reaches(tmp_path: Path) -> None:
    """An entry above the revoked `seq` holds its key; so does one of a revoked person's name."""
    with Journal(tmp_path / "journal.db", KEK, create=True) as journal:
        journal.rely_on([entry("ATM-1", 3, "one")], cooling=AT_ONCE)
        journal.revoke(Revoked("terminal", "ATM-1", 2, digest("revocation")))
        journal.revoke(Revoked("person", "ATM-1", 9, digest("another")))
        with pytest.raises(EppKeyForeign):
            journal.rely_on([entry("ATM-2", 1, "one")], releasing=True, cooling=AT_ONCE)
        journal.revoke(Revoked("terminal", "ATM-1", 3, digest("further")))
        journal.rely_on([entry("ATM-2", 1, "one")], releasing=True, cooling=AT_ONCE)
