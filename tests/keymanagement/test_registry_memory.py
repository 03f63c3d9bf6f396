"""The key worker's memory of the registry: what it was shown counts, whoever shows it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ceremony.keys import SigningKey
from ceremony.messages import RegistryNoted, RegistryPage, RegistryPart, RevocationNote
from ceremony.reasons import Reason
from ceremony.revocations import Subject
from ceremony.signing import digest_of, sign
from ceremony.statements import RevocationPayload
from ceremony.verification import peek
from keymanagement.journalrows import KeyState
from keymanagement.registrymemory import RegistryMemory
from tests.support.identities import jwk_signer, signing_key, terminal
from tests.support.keybench import KeyBench

NO = "ATM-0001"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[KeyBench]:
    """A key worker."""
    bench = KeyBench.make(tmp_path)
    yield bench
    bench.close()


def memory(bench: KeyBench, page: int = 1_000) -> RegistryMemory:
    """Its memory of the registry."""
    return RegistryMemory(
        trust=bench.world.trust,
        journal=bench.journal,
        archive=bench.archive,
        clock=lambda: bench.world.now,
        page=page,
    )


def look(bench: KeyBench, part: RegistryPart) -> tuple[int, int]:
    """Show it a part of the records; give how much was noted and refused."""
    noted = memory(bench).note_registry(RegistryPage(part=part))
    assert noted.after is None
    return noted.noted, noted.refused


def show(bench: KeyBench, envelope: str, subject: Subject, name: str, seq: int) -> None:
    """Put an envelope on record."""
    bench.archive.shown.setdefault((subject, name), {})[seq] = envelope


def show_terminal(bench: KeyBench, seq: int, **fields: Any) -> None:
    """Put an entry of the terminal on record, signed by the feed unless said otherwise."""
    show(bench, bench.world.terminal_entry(seq=seq, **fields), Subject.TERMINAL, NO, seq)


def revocation(bench: KeyBench, signer: SigningKey | None = None, **fields: Any) -> str:
    """A revocation of the second administrator, unless bent."""
    world = bench.world
    said = {
        **world.common(),
        "person": world.second.person,
        "terminal_no": None,
        "seq": 1,
        "reason_code": "lost-phone",
        **fields,
    }
    return sign(RevocationPayload(**said), signer or world.officers[2])


def refused(bench: KeyBench) -> Reason | None:
    """Why a whole new authorisation gets no key, or None if it gets one."""
    return bench.release(bench.command(bench.authorised())).refused


@pytest.mark.parametrize("subject", ["first", "second", "terminal"])
def test_a_revoked_subject_gets_no_key_whatever_is_in_force(bench: KeyBench, subject: str) -> None:
    """The records still hold the entry: undone there, it counts for nothing here."""
    person = getattr(bench.world, subject).person if subject != "terminal" else None
    text = revocation(bench, person=person, terminal_no=None if person else NO)
    assert memory(bench).note_revocation(RevocationNote(statement=text)).refused is None
    assert refused(bench) is Reason.ENTRY_REVOKED
    assert bench.manager.made == 0


def test_a_newer_entry_counts_again(bench: KeyBench) -> None:
    """Enrolled anew with a higher seq, a revoked person may approve again."""
    world = bench.world
    memory(bench).note_revocation(RevocationNote(statement=revocation(bench)))
    world.credential_envelopes[world.second.person] = world.credential_entry(world.second, seq=2)
    bench.register()
    assert refused(bench) is None


def test_a_revoked_terminals_receipt_activates_nothing(bench: KeyBench) -> None:
    """The key that it was given stays unconfirmed."""
    case = bench.released()
    text = revocation(bench, person=None, terminal_no=NO)
    memory(bench).note_revocation(RevocationNote(statement=text))
    settled = bench.settle(case.request_id, bench.receipt(case))
    assert (settled.active, settled.reason) == (False, Reason.ENTRY_REVOKED)
    held = bench.journal.key_of(case.request_id)
    assert held is not None
    assert held.state is KeyState.UNCONFIRMED


def test_a_revoked_request_is_not_wrapped_again(bench: KeyBench) -> None:
    """A further confirmation of a released key rests on the same entries."""
    case = bench.released()
    memory(bench).note_revocation(RevocationNote(statement=revocation(bench)))
    again = bench.confirmed_anew(case)
    assert bench.release(bench.command(again)).refused is Reason.ENTRY_REVOKED


def test_only_an_officer_revokes(bench: KeyBench) -> None:
    """The feed's, an administrator's, a stranger's and another deployment's change nothing."""
    world = bench.world
    for signer in (world.feed, signing_key("first"), SigningKey.generate()):
        note = RevocationNote(statement=revocation(bench, signer))
        assert memory(bench).note_revocation(note).refused is Reason.UNKNOWN_KEY
    elsewhere = RevocationNote(statement=revocation(bench, aud="elsewhere"))
    assert memory(bench).note_revocation(elsewhere).refused is Reason.WRONG_AUDIENCE
    nonsense = RevocationNote(statement="nonsense")
    assert memory(bench).note_revocation(nonsense).refused is Reason.MALFORMED
    bench.archive.revoked["0f" * 32] = revocation(bench, world.feed)
    assert look(bench, "revocations") == (0, 1)
    assert refused(bench) is None
    # Nor does a bad one keep those behind it from being noted.
    bench.archive.revoked["1f" * 32] = revocation(bench)
    assert look(bench, "revocations") == (1, 1)
    assert refused(bench) is Reason.ENTRY_REVOKED


def test_revocations_on_record_are_noted_too(bench: KeyBench) -> None:
    """One that could not be carried when it was signed is found in the records."""
    text = revocation(bench)
    bench.archive.revoked[digest_of(peek(text).payload)] = text
    assert look(bench, "revocations") == (1, 0)
    assert look(bench, "revocations") == (0, 0)
    bench.archive.revoked.clear()
    assert refused(bench) is Reason.ENTRY_REVOKED


def test_a_revocation_that_nobody_carried_counts_while_it_is_on_record(bench: KeyBench) -> None:
    """The key worker looks before it relies on anybody, and remembers what it found."""
    text = revocation(bench)
    case = bench.released()
    bench.archive.revoked["somewhere"] = revocation(bench, person=None, terminal_no=NO)
    settled = bench.settle(case.request_id, bench.receipt(case))
    assert settled.reason is Reason.ENTRY_REVOKED
    bench.world.terminal_envelopes[NO] = bench.world.terminal_entry(seq=2)
    bench.register()
    bench.archive.revoked["nonsense"] = "nonsense"
    assert refused(bench) is None
    bench.archive.revoked["somewhere"] = text
    assert refused(bench) is Reason.ENTRY_REVOKED
    bench.archive.revoked.clear()
    assert refused(bench) is Reason.ENTRY_REVOKED


def test_an_entry_put_back_after_its_successor_was_shown_grants_nothing(bench: KeyBench) -> None:
    """No release relied on the newer ones: having been shown them is enough."""
    world = bench.world
    show_terminal(bench, 5)
    assert look(bench, "terminals") == (1, 0)
    assert refused(bench) is Reason.SEQ_LOWERED
    bench.archive.shown.clear()
    world.terminal_envelopes[NO] = world.terminal_entry(seq=6)
    bench.register()
    assert refused(bench) is None
    one = world.second
    show(bench, world.credential_entry(one, seq=2), Subject.PERSON, one.person, 2)
    assert look(bench, "persons") == (1, 0)
    assert refused(bench) is Reason.SEQ_LOWERED


def test_the_entry_in_force_may_be_relied_on_after_it_was_shown(bench: KeyBench) -> None:
    """Having seen an entry keeps nobody from using it."""
    entries = bench.world.entries()
    show(bench, entries.terminal, Subject.TERMINAL, NO, 1)
    for one, envelope in ((bench.world.first, entries.first), (bench.world.second, entries.second)):
        show(bench, envelope, Subject.PERSON, one.person, 1)
    assert look(bench, "terminals") == (1, 0)
    assert look(bench, "persons") == (2, 0)
    assert look(bench, "persons") == (0, 0)
    assert refused(bench) is None


def test_a_persons_new_credential_is_noted(bench: KeyBench) -> None:
    """Officers sign every credential entry: with a new key it puts the older one out of force."""
    world = bench.world
    old = world.second
    first = world.entries().second
    show(bench, first, Subject.PERSON, old.person, 1)
    assert look(bench, "persons") == (1, 0)
    renewed = replace(old, signer=jwk_signer("the second administrator's new key"))
    show(bench, world.credential_entry(renewed, seq=2), Subject.PERSON, old.person, 2)
    assert look(bench, "persons") == (1, 0)
    assert refused(bench) is Reason.SEQ_LOWERED


UNSIGNED_ENTRIES: dict[str, dict[str, Any]] = {
    "an officer alone": {"signers": "officers"},
    "a stranger": {"signers": "stranger"},
    "expired": {"valid_until": 0},
    "another deployment": {"aud": "elsewhere"},
}


@pytest.mark.parametrize("name", UNSIGNED_ENTRIES)
def test_an_entry_that_does_not_count_is_not_remembered(bench: KeyBench, name: str) -> None:
    """Whoever writes to the records cannot put a newer entry before the genuine one."""
    world = bench.world
    bent = dict(UNSIGNED_ENTRIES[name])
    signers = {"officers": world.officers, "stranger": (SigningKey.generate(),)}
    if "signers" in bent:
        bent["signers"] = signers[bent["signers"]]
    show_terminal(bench, 9, **bent)
    under_signed = world.credential_entry(world.second, seq=9, officers=1)
    show(bench, under_signed, Subject.PERSON, world.second.person, 9)
    show(bench, "nonsense", Subject.PERSON, world.first.person, 9)
    assert look(bench, "terminals") == (0, 1)
    assert look(bench, "persons") == (0, 2)
    assert refused(bench) is None


def test_a_lower_seq_on_record_lowers_nothing(bench: KeyBench) -> None:
    """The index may say what it likes: an older entry is not taken for a newer one."""
    world = bench.world
    bench.world.terminal_envelopes[NO] = world.terminal_entry(seq=5)
    bench.register()
    bench.released()
    show(bench, world.terminal_entry(seq=4), Subject.TERMINAL, NO, 99)
    assert look(bench, "terminals") == (0, 0)
    assert refused(bench) is None


def test_changed_keys_of_a_known_terminal_are_not_noted_without_an_officer(
    bench: KeyBench,
) -> None:
    """The feed key alone can neither bring another device key in nor keep the known one out."""
    bench.released()
    world, known = bench.world, bench.world.terminal
    changed = replace(known, device=jwk_signer("another device"))
    show(bench, world.terminal_entry(changed, seq=5), Subject.TERMINAL, NO, 5)
    assert look(bench, "terminals") == (0, 1)
    assert refused(bench) is None
    by_officer = world.terminal_entry(changed, seq=6, signers=(world.feed, world.officers[0]))
    show(bench, by_officer, Subject.TERMINAL, NO, 6)
    show(bench, world.terminal_entry(changed, seq=7), Subject.TERMINAL, NO, 7)
    assert look(bench, "terminals") == (2, 1)
    assert refused(bench) is not None
    world.terminal = changed
    world.terminal_envelopes[NO] = world.terminal_entry(changed, seq=8)
    bench.register()
    assert refused(bench) is None


def test_a_second_entry_of_one_seq_is_not_noted(bench: KeyBench) -> None:
    """The one known stays the one that counts."""
    world = bench.world
    show(bench, world.entries().terminal, Subject.TERMINAL, NO, 1)
    assert look(bench, "terminals") == (1, 0)
    show(bench, world.terminal_entry(branch="Elsewhere"), Subject.TERMINAL, NO, 2)
    assert look(bench, "terminals") == (0, 1)
    assert refused(bench) is None


def test_a_large_registry_is_looked_at_page_by_page(bench: KeyBench) -> None:
    """Each answer says where the next page starts; the last one says that there is none."""
    for n in range(1, 6):
        one = terminal(f"ATM-000{n}")
        show(bench, bench.world.terminal_entry(one), Subject.TERMINAL, one.terminal_no, 1)
    pages, after = [], ""
    while True:
        noted = memory(bench, page=2).note_registry(RegistryPage(part="terminals", after=after))
        pages.append(noted)
        if noted.after is None:
            break
        after = noted.after
    assert pages == [
        RegistryNoted(noted=2, refused=0, after="ATM-0002"),
        RegistryNoted(noted=2, refused=0, after="ATM-0004"),
        RegistryNoted(noted=1, refused=0, after=None),
    ]


def test_a_page_goes_on_behind_its_last_name(bench: KeyBench) -> None:
    """Whatever its size."""
    for n in range(1, 5):
        one = terminal(f"ATM-000{n}")
        show(bench, bench.world.terminal_entry(one), Subject.TERMINAL, one.terminal_no, 1)
    noted = memory(bench, page=3).note_registry(RegistryPage(part="terminals"))
    assert noted == RegistryNoted(noted=3, refused=0, after="ATM-0003")


def test_an_entry_of_seq_0_is_noted_like_any_other(bench: KeyBench) -> None:
    """A back office may count from 0."""
    show_terminal(bench, 0)
    assert look(bench, "terminals") == (1, 0)
    assert look(bench, "terminals") == (0, 0)
