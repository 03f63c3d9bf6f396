"""The registry at a release: entries are verified anew, and none that is older is relied on."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ceremony.reasons import Reason
from ceremony.release_rule import Entries
from ceremony.standing import standing_of
from tests.support.certificates import sample_epp
from tests.support.identities import jwk_signer
from tests.support.keybench import KeyBench, require_refused


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[KeyBench]:
    """A key worker."""
    bench = KeyBench.make(tmp_path)
    yield bench
    bench.close()


def test_entries_of_another_terminal_are_refused(bench: KeyBench) -> None:
    """Whoever points a terminal's row at another terminal's entries gets no key for either."""
    case = bench.authorised()
    no, other = bench.world.terminal.terminal_no, bench.world.other.terminal_no
    bench.archive.registry[no] = bench.archive.registry[other]
    require_refused(bench, bench.command(case), Reason.UNKNOWN_KEY)
    bench.archive.registry[other] = bench.world.entries()
    elsewhere = bench.command(case, terminal_no=other)
    require_refused(bench, elsewhere, Reason.WRONG_TERMINAL)


def test_a_terminal_without_entries_gets_nothing(bench: KeyBench) -> None:
    """Removed from the registry between approval and confirmation: no key."""
    case = bench.authorised()
    bench.archive.registry.clear()
    require_refused(bench, bench.command(case), Reason.REGISTRY_CHANGED)


def bent_entries(bench: KeyBench, **changed: str) -> Entries:
    """The terminal's entries, with envelopes replaced."""
    return replace(bench.world.entries(), **changed)


BENT_ENTRIES: dict[str, tuple[Reason, Callable[[KeyBench], Entries]]] = {
    "terminal entry unsigned": (
        Reason.UNSIGNED,
        lambda b: bent_entries(b, terminal='{"statements":[]}'),
    ),
    "terminal entry by an officer": (
        Reason.WRONG_SIGNER,
        lambda b: bent_entries(b, terminal=b.world.terminal_entry(signers=b.world.officers)),
    ),
    "terminal entry expired": (
        Reason.ENTRY_EXPIRED,
        lambda b: bent_entries(b, terminal=b.world.terminal_entry(valid_until=b.world.now)),
    ),
    "one officer only": (
        Reason.OFFICERS_MISSING,
        lambda b: bent_entries(b, first=b.world.credential_entry(b.world.first, officers=1)),
    ),
    "credential not its own": (
        Reason.WRONG_SIGNER,
        lambda b: bent_entries(b, second=b.world.credential_entry(b.world.second, own=False)),
    ),
    "credential expired": (
        Reason.ENTRY_EXPIRED,
        lambda b: bent_entries(
            b, second=b.world.credential_entry(b.world.second, valid_until=b.world.now)
        ),
    ),
    "another person's credential": (
        Reason.REGISTRY_INCOMPLETE,
        lambda b: bent_entries(b, second=b.world.credential_envelopes[b.world.third.person]),
    ),
    "one person twice": (
        Reason.REGISTRY_INCOMPLETE,
        lambda b: bent_entries(b, second=b.world.entries().first),
    ),
    "an auditor": (
        Reason.NOT_ADMINISTRATOR,
        lambda b: bent_entries(
            b, first=b.world.credential_entry(b.world.first, roles=("auditor",))
        ),
    ),
    "the same telephone": (
        Reason.SAME_NUMBER,
        lambda b: bent_entries(
            b, second=b.world.credential_entry(b.world.second, number=b.world.first.number)
        ),
    ),
    "re-signed since": (
        Reason.REGISTRY_CHANGED,
        lambda b: bent_entries(b, terminal=b.world.terminal_entry(seq=2)),
    ),
}


@pytest.mark.parametrize("name", BENT_ENTRIES)
def test_a_bent_registry_leaves_nothing(bench: KeyBench, name: str) -> None:
    """Entries are verified at the release itself, whatever was approved before."""
    reason, bend = BENT_ENTRIES[name]
    case = bench.authorised()
    bench.archive.registry[bench.world.terminal.terminal_no] = bend(bench)
    require_refused(bench, bench.command(case), reason)


def put_in_force(bench: KeyBench, **terminal: Any) -> None:
    """Re-sign the terminal's entry, bent, and put it in force everywhere."""
    world = bench.world
    world.terminal_envelopes[world.terminal.terminal_no] = world.terminal_entry(**terminal)
    bench.register()


def test_an_older_entry_put_back_grants_nothing(bench: KeyBench) -> None:
    """The journal remembers the highest `seq` that was relied on, of all three entries."""
    world = bench.world
    old = world.entries()
    put_in_force(bench, seq=5)
    for one in (world.first, world.second):
        world.credential_envelopes[one.person] = world.credential_entry(one, seq=5)
    bench.register()
    bench.released()
    new = world.entries()
    for name in ("terminal", "first", "second"):
        entries = replace(new, **{name: getattr(old, name)})
        require_rolled_back(bench, entries)
    assert len(bench.archive.tokens) == 1


def require_rolled_back(bench: KeyBench, entries: Entries) -> None:
    """A whole authorisation over these entries is refused as rolled back."""
    world = bench.world
    standing = standing_of(
        world.read_terminal(entries.terminal),
        world.read_credential(entries.first),
        world.read_credential(entries.second),
    )
    case = bench.authorised(application={"registry_digest": standing.registry_digest})
    bench.archive.registry[world.terminal.terminal_no] = entries
    assert bench.release(bench.command(case)).refused is Reason.SEQ_LOWERED
    assert bench.journal.release_of(case.request_id) is None


def test_two_entries_of_one_seq_are_refused(bench: KeyBench) -> None:
    """A second entry of a `seq` that was relied on is not genuine, or the first was not."""
    bench.released()
    put_in_force(bench, branch="Elsewhere")
    case = bench.authorised()
    assert bench.release(bench.command(case)).refused is Reason.SEQ_LOWERED
    assert bench.journal.release_of(case.request_id) is None


@pytest.mark.parametrize("changed", ["device key", "EPP"])
def test_changed_keys_of_a_known_terminal_need_an_officer(bench: KeyBench, changed: str) -> None:
    """The feed key alone cannot give a known terminal another device key or EPP."""
    bench.released()
    world = bench.world
    world.terminal = (
        replace(world.terminal, device=jwk_signer("another device"))
        if changed == "device key"
        else replace(world.terminal, epp=sample_epp("another EPP"))
    )
    put_in_force(bench, seq=2)
    case = bench.authorised()
    assert bench.release(bench.command(case)).refused is Reason.OFFICER_REQUIRED
    assert bench.journal.release_of(case.request_id) is None
    put_in_force(bench, seq=3, signers=(world.feed, world.officers[0]))
    accepted = bench.authorised()
    assert bench.release(bench.command(accepted)).refused is None
