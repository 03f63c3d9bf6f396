"""Changes that the key worker is shown: terminals' like persons', and what a journal learns."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from ceremony.messages import ChangeNote, RegistryNoted, RegistryPage
from ceremony.reasons import Reason
from ceremony.registry import envelope_statements
from ceremony.revocations import Subject
from ceremony.signing import sign
from ceremony.statements import RevocationPayload
from ceremony.verification import peek
from keymanagement.changerows import AT_ONCE, Cooling
from keymanagement.entries import recall_assignment
from keymanagement.journal import Journal
from keymanagement.journalerrors import (
    AssignmentChanged,
    EntryCooling,
    EppKeyForeign,
    JournalCorrupt,
)
from keymanagement.journalfile import HEADS
from keymanagement.journalrows import Reliance
from keymanagement.registrymemory import RegistryMemory
from tests.support.certificates import sample_epp
from tests.support.journals import NOW, digest
from tests.support.keybench import KeyBench

DAY = 86_400
HOUR = 3_600
PERSON = Reliance("person", "X-1", 3, digest("entry 3"), digest("key"), may_change=True)
TERMINAL = Reliance(
    "terminal",
    "X-1",
    7,
    digest("entry 7"),
    digest("identity"),
    epp_key=digest("EPP"),
    assignment_digest=digest("ann and ben"),
)
OTHERS = replace(
    TERMINAL,
    seq=8,
    digest=digest("entry 8"),
    identity_digest=digest("another identity"),
    epp_key=digest("another EPP"),
    assignment_digest=digest("ann and cleo"),
    may_change=True,
    may_reassign=True,
)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[KeyBench]:
    """A key worker that released on the registry in force; from now on changes wait a day."""
    bench = KeyBench.make(tmp_path)
    bench.released()
    bench.world.cool_off(DAY)
    yield bench
    bench.close()


@pytest.fixture
def journal(tmp_path: Path, kek: bytes) -> Iterator[Journal]:
    """A journal that relied on a terminal's entry and on a person's of the same name."""
    with Journal(tmp_path / "journal.db", kek, create=True) as made:
        made.rely_on([TERMINAL, PERSON], cooling=AT_ONCE)
        yield made


def memory(bench: KeyBench) -> RegistryMemory:
    """The key worker's memory."""
    return RegistryMemory(
        trust=bench.world.trust,
        journal=bench.journal,
        archive=bench.archive,
        clock=lambda: bench.world.now,
    )


def shown(bench: KeyBench, seq: int, envelope: str) -> ChangeNote:
    """Put an entry of the terminal on record, and tell of it."""
    no = bench.world.terminal.terminal_no
    bench.archive.shown.setdefault((Subject.TERMINAL, no), {})[seq] = envelope
    said = peek(envelope_statements(envelope)[0])
    return ChangeNote(subject=Subject.TERMINAL, name=no, digest=said.digest)


def forget_assignments(bench: KeyBench) -> None:
    """Make the journal one of before it knew who administers what."""
    with bench.journal._file.transaction():
        bench.journal._file._connection.execute("DELETE FROM assignments")
        bench.journal._file.update(HEADS, {"name": "assignments", "rows": 0})


def test_a_terminals_change_is_shown_like_a_persons(bench: KeyBench) -> None:
    """Its own signatures decide: officers for other administrators, one for another EPP."""
    world = bench.world
    others = replace(world.terminal, second=world.third.person)
    signers = (world.feed, *world.officers[:2])
    alone = memory(bench).note_change(shown(bench, 2, world.terminal_entry(others, seq=2)))
    assert alone.refused is Reason.OFFICERS_MISSING
    other_epp = replace(world.terminal, epp=sample_epp("another EPP"))
    unsigned = memory(bench).note_change(shown(bench, 3, world.terminal_entry(other_epp, seq=3)))
    assert unsigned.refused is Reason.OFFICER_REQUIRED
    signed = shown(bench, 4, world.terminal_entry(others, seq=4, signers=signers))
    assert memory(bench).note_change(signed).effective_at == world.now + DAY
    ended = shown(bench, 5, world.terminal_entry(seq=5, valid_until=world.now))
    assert memory(bench).note_change(ended).refused is Reason.ENTRY_EXPIRED
    world.pass_time(DAY)
    after = memory(bench).note_change(signed)
    assert (after.effective_at, after.refused) == (None, None)


def test_a_receipt_puts_no_change_into_effect(bench: KeyBench) -> None:
    """It is judged by the entry in force, whose administrators have still to wait."""
    world, case = bench.world, bench.released()
    no = world.terminal.terminal_no
    world.terminal = replace(world.terminal, second=world.third.person)
    world.second = world.third
    signers = (world.feed, *world.officers[:2])
    world.terminal_envelopes[no] = world.terminal_entry(seq=2, signers=signers)
    bench.register()
    assert bench.settle(case.request_id, bench.receipt(case)).active
    note = shown(bench, 2, world.terminal_envelopes[no])
    assert memory(bench).note_change(note).effective_at == world.now + DAY


def test_a_revocation_on_record_keeps_a_change_from_waiting(bench: KeyBench) -> None:
    """Nobody carried it to the key worker; that it is there is enough."""
    world = bench.world
    note = shown(bench, 2, world.terminal_entry(seq=2, branch="Elsewhere"))
    text = sign(
        RevocationPayload(
            **world.common(), person=None, terminal_no=note.name, seq=2, reason_code="stolen"
        ),
        world.officers[0],
    )
    bench.archive.revoked["r"] = text
    assert memory(bench).note_change(note).refused is Reason.ENTRY_REVOKED


def test_a_fault_of_the_journal_is_no_change_in_effect(
    bench: KeyBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is raised, so that the call is repeated: an answer would put the entry in force."""

    def broken(*_: object) -> int:
        raise JournalCorrupt("a row")

    note = shown(bench, 2, bench.world.terminal_entry(seq=2))
    monkeypatch.setattr(bench.journal, "sight", broken)
    with pytest.raises(JournalCorrupt):
        memory(bench).note_change(note)


def test_a_journal_of_before_learns_from_what_it_is_shown(bench: KeyBench) -> None:
    """By a page as by a note; rows that are no entries, and other entries, teach it nothing."""
    world = bench.world
    no = world.terminal.terminal_no
    rows = bench.archive.shown.setdefault((Subject.TERMINAL, no), {})
    others = replace(world.terminal, second=world.third.person)
    # By `seq`, the worst before the genuine one: rows say of themselves what they like.
    rows[1] = '{"statements":[]}'
    rows[2] = '{"statements":["x"]}'
    rows[3] = world.terminal_entry(others, seq=1, branch="Other")
    rows[4] = world.terminal_envelopes[no]
    rows[5] = world.terminal_entry(seq=2, branch="Elsewhere")
    forget_assignments(bench)
    page = memory(bench).note_registry(RegistryPage(part="terminals"))
    assert page == RegistryNoted(noted=1, refused=2, after=None)
    forget_assignments(bench)
    moved = shown(bench, 6, world.terminal_entry(seq=3, branch="Nowhere"))
    assert memory(bench).note_change(moved).refused is None
    forget_assignments(bench)
    recall_assignment(bench.journal, bench.archive, no)
    assert (
        memory(bench).note_change(shown(bench, 7, world.terminal_entry(others, seq=4))).refused
        is Reason.OFFICERS_MISSING
    )


def test_only_the_known_entry_teaches_who_administers_it(journal: Journal) -> None:
    """Of another digest, of a terminal that was never seen, or what is remembered: nothing."""
    recall = journal.recall_assignment
    assert recall("X-1", digest("entry 9"), digest("ann and cleo")) is False
    assert recall("X-2", digest("entry 7"), digest("ann and cleo")) is False
    assert recall("X-1", TERMINAL.digest, digest("ann and cleo")) is False
    journal.rely_on([replace(TERMINAL, seq=8, digest=digest("entry 8"))], cooling=AT_ONCE)


def test_what_does_not_wait_is_not_withdrawn(journal: Journal) -> None:
    """Nothing is known of it, or it is in effect: told so, and nothing is remembered."""
    cooling = Cooling(HOUR, NOW)
    assert journal.withdraw("person", "X-2", digest("entry 4"), cooling) is False
    assert journal.withdraw("person", "X-1", PERSON.digest, cooling) is False
    assert journal.withdraw_unseen(PERSON, cooling) is False
    journal.rely_on([PERSON], releasing=True, cooling=cooling)


def test_a_person_and_a_terminal_of_one_name_change_apart(journal: Journal) -> None:
    """Neither takes the other's place, or its time."""
    cooling = Cooling(HOUR, NOW)
    person = replace(PERSON, seq=4, digest=digest("entry 4"))
    assert journal.sight(person, cooling) == NOW + HOUR
    assert journal.sight(OTHERS, Cooling(HOUR, NOW + 60)) == NOW + 60 + HOUR
    assert journal.sight(person, Cooling(HOUR, NOW + 90)) == NOW + HOUR


def test_a_due_change_brings_its_own_epp_and_administrators(journal: Journal) -> None:
    """From its time on, without anybody's call: others may not hold its EPP's key."""
    journal.sight(OTHERS, Cooling(HOUR, NOW))
    due = Cooling(HOUR, NOW + HOUR)
    routine = replace(OTHERS, seq=9, digest=digest("entry 9"), may_reassign=False)
    with pytest.raises(AssignmentChanged):
        former = replace(routine, assignment_digest=TERMINAL.assignment_digest)
        journal.rely_on([former], releasing=True, cooling=due)
    thief = replace(TERMINAL, name="X-2", epp_key=OTHERS.epp_key)
    with pytest.raises(EppKeyForeign):
        journal.rely_on([thief], releasing=True, cooling=due)
    journal.rely_on([routine], releasing=True, cooling=due)


def test_an_epp_key_of_two_is_nobodys(journal: Journal) -> None:
    """Whichever of the two asks, and whichever was first: settling gave nothing out."""
    journal.rely_on([replace(TERMINAL, name="X-2")], cooling=AT_ONCE)
    for name in ("X-1", "X-2"):
        with pytest.raises(EppKeyForeign):
            journal.rely_on([replace(TERMINAL, name=name)], releasing=True, cooling=AT_ONCE)


def test_a_settlement_begins_the_time_of_a_change_too(journal: Journal) -> None:
    """It goes by the entry, which nobody had shown before, since the keys are the same."""
    others = replace(OTHERS, identity_digest=TERMINAL.identity_digest, epp_key=TERMINAL.epp_key)
    journal.rely_on([others], cooling=Cooling(HOUR, NOW))
    assert journal.sight(others, Cooling(HOUR, NOW + 60)) == NOW + HOUR


def test_a_journal_of_version_3_begins_to_remember_changes(
    journal: Journal, tmp_path: Path, kek: bytes
) -> None:
    """What it lacks is made when it is opened; what it held stays."""
    journal.close()
    path = tmp_path / "journal.db"
    with closing(sqlite3.connect(path)) as file, file:
        for name in ("changes", "assignments"):
            file.execute(f"DROP TABLE {name}")
            file.execute("DELETE FROM heads WHERE name = ?", (name,))
        file.execute("PRAGMA user_version = 3")
    person = replace(PERSON, seq=4, digest=digest("entry 4"))
    with Journal(path, kek) as again:
        assert again.recall_assignment("X-1", TERMINAL.digest, TERMINAL.assignment_digest) is True
        assert again.sight(person, Cooling(HOUR, NOW)) == NOW + HOUR
        again.verify()


def test_the_shortest_time_is_a_second(journal: Journal) -> None:
    """And none at all puts in effect what waits, whatever the clock says."""
    person = replace(PERSON, seq=4, digest=digest("entry 4"))
    second = Cooling(1, NOW)
    for _ in range(2):
        with pytest.raises(EntryCooling):
            journal.rely_on([person], releasing=True, cooling=second)
    journal.rely_on([person], releasing=True, cooling=AT_ONCE)
