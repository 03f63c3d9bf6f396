"""Changes of administrators at a release: officers, a time to wait, nobody else's clock."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ceremony.messages import ChangeNote, ChangeNoted, ChangeWithdrawn
from ceremony.reasons import Reason
from ceremony.registry import envelope_statements, seal_envelope
from ceremony.revocations import Subject
from ceremony.verification import peek
from keymanagement.journal import Journal
from keymanagement.journalfile import HEADS
from keymanagement.registrymemory import RegistryMemory
from tests.support.identities import Administrator, jwk_signer
from tests.support.keybench import KeyBench, require_nothing

DAY = 86_400


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[KeyBench]:
    """A key worker that released on the registry in force; from now on changes wait a day."""
    bench = KeyBench.make(tmp_path)
    bench.released()
    bench.world.cool_off(DAY)
    yield bench
    bench.close()


def memory(bench: KeyBench) -> RegistryMemory:
    """The key worker's memory."""
    return RegistryMemory(
        trust=bench.world.trust,
        journal=bench.journal,
        archive=bench.archive,
        clock=lambda: bench.world.now,
    )


def renewed(bench: KeyBench, seq: int = 2) -> Administrator:
    """Put the second administrator's entry for a new phone in force, signed by two officers."""
    world = bench.world
    new = replace(
        world.second, number="+4915155555555", signer=jwk_signer("the second's new phone")
    )
    world.second = new
    world.credential_envelopes[new.person] = world.credential_entry(new, seq=seq)
    bench.register()
    return new


def given_to_third(bench: KeyBench, *, officers: int) -> None:
    """Put an entry in force that makes the third person the terminal's second administrator."""
    world = bench.world
    world.terminal = replace(world.terminal, second=world.third.person)
    world.second = world.third
    signers = (world.feed, *world.officers[:officers])
    no = world.terminal.terminal_no
    world.terminal_envelopes[no] = world.terminal_entry(seq=2, signers=signers)
    bench.register()


def ask(bench: KeyBench) -> Reason | None:
    """A whole authorisation over what is in force, and why it gets no key."""
    case = bench.authorised()
    refused = bench.release(bench.command(case)).refused
    if refused is not None:
        assert bench.journal.release_of(case.request_id) is None
        assert bench.journal.key_of(case.request_id) is None
    return refused


def note_of(bench: KeyBench, envelope: str) -> ChangeNote:
    """What the key worker is told of a person's entry, which is on record."""
    verified = bench.world.read_credential(envelope)
    person, seq = verified.entry.person, verified.entry.seq
    bench.archive.shown.setdefault((Subject.PERSON, person), {})[seq] = envelope
    return ChangeNote(subject=Subject.PERSON, name=person, digest=verified.digest)


def forget_assignments(journal: Journal) -> None:
    """Make a journal of before the assignments of it, in place."""
    with journal._file.transaction():
        journal._file._connection.execute("DELETE FROM assignments")
        journal._file.update(HEADS, {"name": "assignments", "rows": 0})


def test_two_officers_without_a_wait_get_no_key(bench: KeyBench) -> None:
    """Whoever has two officers' keys and the database waits a day, and everybody can see it."""
    renewed(bench)
    assert ask(bench) is Reason.COOLING_OFF
    bench.world.pass_time(DAY - 1)
    assert ask(bench) is Reason.COOLING_OFF
    bench.world.pass_time(1)
    assert ask(bench) is None


def test_the_feed_alone_gives_no_terminal_to_others(bench: KeyBench) -> None:
    """Neither at once nor after any wait, whoever puts the entry in force."""
    given_to_third(bench, officers=0)
    assert ask(bench) is Reason.OFFICERS_MISSING
    bench.world.pass_time(2 * DAY)
    assert ask(bench) is Reason.OFFICERS_MISSING


def test_one_officer_is_too_few_for_another_administrator(bench: KeyBench) -> None:
    """It takes as many as an enrolment, though one is enough for another EPP."""
    given_to_third(bench, officers=1)
    assert ask(bench) is Reason.OFFICERS_MISSING


def test_an_assignment_that_officers_signed_waits(bench: KeyBench) -> None:
    """The third person is known and in effect; it is the assignment that is new."""
    observed = memory(bench).note_change(
        note_of(bench, bench.world.credential_envelopes[bench.world.third.person])
    )
    assert observed.effective_at == bench.world.now + DAY
    bench.world.pass_time(DAY)
    given_to_third(bench, officers=2)
    assert ask(bench) is Reason.COOLING_OFF
    bench.world.pass_time(DAY)
    assert ask(bench) is None


def test_the_former_entry_releases_while_the_change_waits(bench: KeyBench) -> None:
    """A planned change does not stop the bank; when it is in effect the former one grants nothing.

    Also not if an old database is put back.
    """
    world = bench.world
    new = replace(world.second, number="+4915155555555")
    noted = memory(bench).note_change(note_of(bench, world.credential_entry(new, seq=2)))
    assert noted == ChangeNoted(effective_at=world.now + DAY)
    assert ask(bench) is None
    world.pass_time(DAY)
    assert ask(bench) is Reason.SEQ_LOWERED


def test_a_database_put_back_does_not_begin_the_time_anew(bench: KeyBench) -> None:
    """The journal remembers when it saw a change, whatever the records say since."""
    world = bench.world
    note = note_of(bench, world.credential_entry(world.second, seq=2))
    due = world.now + DAY
    assert memory(bench).note_change(note).effective_at == due
    kept = dict(bench.archive.shown)
    bench.archive.shown.clear()
    world.pass_time(3_600)
    assert memory(bench).note_change(note).refused is Reason.STATEMENT_MISSING
    bench.archive.shown.update(kept)
    assert memory(bench).note_change(note).effective_at == due


def test_a_change_is_judged_by_its_own_signatures(bench: KeyBench) -> None:
    """One officer, another's name, another's digest: nothing is remembered of it."""
    world = bench.world
    note = note_of(bench, world.credential_entry(world.second, seq=2, officers=2))
    one = world.credential_entry(world.second, seq=3, officers=1)
    bench.archive.shown[Subject.PERSON, world.second.person][3] = one
    bare = note.model_copy(update={"digest": peek(envelope_statements(one)[0]).digest})
    assert memory(bench).note_change(bare).refused is Reason.OFFICERS_MISSING
    for bent in (
        note.model_copy(update={"name": world.first.person}),
        note.model_copy(update={"digest": "00" * 32}),
        note.model_copy(update={"subject": Subject.TERMINAL}),
    ):
        assert memory(bench).note_change(bent).refused is Reason.STATEMENT_MISSING
    assert not memory(bench).withdraw_change(note).withdrawn


def test_a_withdrawn_change_is_answered_as_such(bench: KeyBench) -> None:
    """Without a signature, for it takes away; a release on it is refused for ever."""
    new = renewed(bench)
    note = note_of(bench, bench.world.credential_envelopes[new.person])
    assert memory(bench).withdraw_change(note) == ChangeWithdrawn(withdrawn=False)
    assert memory(bench).note_change(note).effective_at is not None
    assert memory(bench).withdraw_change(note) == ChangeWithdrawn(withdrawn=True)
    assert memory(bench).note_change(note).refused is Reason.ENTRY_WITHDRAWN
    bench.world.pass_time(2 * DAY)
    assert ask(bench) is Reason.ENTRY_WITHDRAWN


def test_a_change_that_was_withdrawn_unseen_does_not_come_back(bench: KeyBench) -> None:
    """Not even if somebody puts the withdrawal's row away, and the entry in force."""
    new = renewed(bench)
    note = note_of(bench, bench.world.credential_envelopes[new.person])
    bench.archive.withdrawn.add(note.digest)
    assert memory(bench).withdraw_change(note) == ChangeWithdrawn(withdrawn=True)
    bench.archive.withdrawn.clear()
    assert memory(bench).note_change(note).refused is Reason.ENTRY_WITHDRAWN
    bench.world.pass_time(2 * DAY)
    assert ask(bench) is Reason.ENTRY_WITHDRAWN


def test_a_change_that_is_refused_later_never_takes_effect(bench: KeyBench) -> None:
    """Its officers are trusted no more: the former entry goes on, whoever brings it again."""
    world = bench.world
    envelope = world.credential_entry(world.second, seq=2)
    note = note_of(bench, envelope)
    assert memory(bench).note_change(note).effective_at == world.now + DAY
    world.pass_time(DAY - 60)
    bench.archive.shown[Subject.PERSON, note.name][2] = seal_envelope(
        envelope_statements(envelope)[:2]
    )
    assert memory(bench).note_change(note).refused is Reason.OFFICERS_MISSING
    bench.archive.shown[Subject.PERSON, note.name][2] = envelope
    assert memory(bench).note_change(note).refused is Reason.ENTRY_WITHDRAWN
    world.pass_time(DAY)
    assert ask(bench) is None


def test_a_receipt_counts_while_the_administrators_change(bench: KeyBench) -> None:
    """The key that is in the EPP becomes active, whoever administers the terminal by then."""
    case = bench.released()
    given_to_third(bench, officers=2)
    assert bench.settle(case.request_id, bench.receipt(case)).active


def test_a_journal_of_before_goes_on_with_its_terminals(tmp_path: Path) -> None:
    """It learns the administrators from the entry that it knows; only others need the officers."""
    bench = KeyBench.make(tmp_path)
    bench.released()
    world, no = bench.world, bench.world.terminal.terminal_no
    bench.archive.shown[Subject.TERMINAL, no] = {1: world.terminal_envelopes[no]}
    forget_assignments(bench.journal)
    world.terminal_envelopes[no] = world.terminal_entry(seq=2, branch="Elsewhere")
    bench.register()
    assert ask(bench) is None
    forget_assignments(bench.journal)
    bench.archive.shown.clear()
    world.terminal_envelopes[no] = world.terminal_entry(seq=3, branch="Nowhere")
    bench.register()
    assert ask(bench) is Reason.OFFICERS_MISSING
    bench.close()


def test_a_refused_release_makes_nothing(tmp_path: Path) -> None:
    """The very first release of a deployment in which changes wait: its people wait too."""
    bench = KeyBench.make(tmp_path)
    bench.world.cool_off(DAY)
    case = bench.authorised()
    assert bench.release(bench.command(case)).refused is Reason.COOLING_OFF
    require_nothing(bench, case.request_id)
    bench.world.pass_time(DAY)
    assert ask(bench) is None
    bench.close()
