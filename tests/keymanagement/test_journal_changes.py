"""Changes that wait: the journal alone says when they take effect."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ceremony.reasons import Reason
from keymanagement.changerows import AT_ONCE, Cooling
from keymanagement.journal import Journal
from keymanagement.journalerrors import (
    AssignmentChanged,
    EntryCooling,
    EntryForked,
    EntryRefused,
    EntryRevoked,
    EntryRolledBack,
    EntryWithdrawn,
    EppKeyForeign,
    IdentityChanged,
)
from keymanagement.journalfile import HEADS
from keymanagement.journalrows import Observed, Reliance, Revoked
from tests.support.journals import NOW, digest, intent

HOUR = 3_600
PERSON = Reliance("person", "p-1", 3, digest("entry 3"), digest("key"))
TERMINAL = Reliance(
    "terminal",
    "ATM-0001",
    7,
    digest("entry 7"),
    digest("identity"),
    epp_key=digest("EPP"),
    assignment_digest=digest("ann and ben"),
)
NEW_PERSON = replace(
    PERSON, seq=4, digest=digest("entry 4"), identity_digest=digest("new key"), may_change=True
)
NEW_TERMINAL = replace(
    TERMINAL,
    seq=8,
    digest=digest("entry 8"),
    assignment_digest=digest("ann and cleo"),
    may_change=True,
    may_reassign=True,
)
CHANGES = {"person": (PERSON, NEW_PERSON), "terminal": (TERMINAL, NEW_TERMINAL)}


@pytest.fixture
def journal(tmp_path: Path, kek: bytes) -> Iterator[Journal]:
    """A journal that relied on a terminal's entry and on a person's, when nothing waited."""
    with Journal(tmp_path / "journal.db", kek, create=True) as made:
        made.rely_on([TERMINAL, PERSON], cooling=AT_ONCE)
        yield made


def at(seconds: int) -> Cooling:
    """An hour's wait, at this many seconds after the beginning."""
    return Cooling(HOUR, NOW + seconds)


def show(journal: Journal, entry: Reliance, seconds: int = 0) -> int | None:
    """Show an entry."""
    return journal.sight(entry, at(seconds))


def rely(journal: Journal, entry: Reliance, seconds: int = 0) -> None:
    """Release on an entry."""
    journal.rely_on([entry], releasing=True, cooling=at(seconds))


@pytest.mark.parametrize("kind", CHANGES)
def test_a_change_takes_effect_when_its_time_is_over(journal: Journal, kind: str) -> None:
    """One second before it grants nothing and the former counts; from then on it is reversed."""
    former, new = CHANGES[kind]
    assert show(journal, new) == NOW + HOUR
    for seconds in (0, HOUR - 1):
        with pytest.raises(EntryCooling) as waiting:
            rely(journal, new, seconds)
        assert waiting.value.reason is Reason.COOLING_OFF
        rely(journal, former, seconds)
    with pytest.raises(EntryRolledBack):
        rely(journal, former, HOUR)
    rely(journal, new, HOUR)
    with pytest.raises(EntryRolledBack):
        rely(journal, former, HOUR)
    assert show(journal, new, HOUR) is None
    journal.verify()


def test_a_first_enrolment_waits_too(journal: Journal) -> None:
    """Nobody was this person before, and nobody is until the time is over."""
    first = replace(PERSON, name="p-2", seq=0)
    assert show(journal, first) == NOW + HOUR
    with pytest.raises(EntryCooling):
        rely(journal, first, HOUR - 1)
    rely(journal, first, HOUR)


def test_a_new_terminal_and_a_routine_change_do_not_wait(journal: Journal) -> None:
    """Nobody's administrators change by them."""
    rely(journal, replace(TERMINAL, name="ATM-0002", epp_key=digest("another EPP")))
    rely(journal, replace(TERMINAL, seq=8, digest=digest("another branch")))


def test_the_feed_alone_changes_no_administrators(journal: Journal) -> None:
    """Neither shown nor relied on is it remembered, however long it is."""
    unsigned = replace(NEW_TERMINAL, may_reassign=False)
    for seconds in (0, HOUR, 2 * HOUR):
        with pytest.raises(AssignmentChanged) as refused:
            rely(journal, unsigned, seconds)
        assert refused.value.reason is Reason.OFFICERS_MISSING
        with pytest.raises(AssignmentChanged):
            show(journal, unsigned, seconds)
    assert journal.observe([unsigned], at(0)) == Observed(0, 1)
    with pytest.raises(AssignmentChanged):
        journal.rely_on([unsigned], releasing=True, cooling=AT_ONCE)
    rely(journal, TERMINAL, 2 * HOUR)


def test_the_time_begins_at_a_release_that_is_refused(journal: Journal) -> None:
    """Nobody has to show a change: who relies on it first begins its time."""
    with pytest.raises(EntryCooling):
        journal.rely_on([TERMINAL, NEW_PERSON], releasing=True, cooling=at(0))
    assert show(journal, NEW_PERSON, 60) == NOW + HOUR
    rely(journal, NEW_PERSON, HOUR)


def test_shown_again_it_does_not_begin_anew(journal: Journal) -> None:
    """Whoever shows it, and how often."""
    show(journal, NEW_PERSON)
    assert show(journal, NEW_PERSON, 60) == NOW + HOUR
    assert journal.observe([NEW_PERSON], at(120)) == Observed(0, 0)
    rely(journal, NEW_PERSON, HOUR)


def test_a_page_begins_the_time_as_well(journal: Journal) -> None:
    """A change among many is noted, and waits like one that is shown alone."""
    shown = [NEW_PERSON, NEW_TERMINAL]
    assert journal.observe(shown, at(0)) == Observed(2, 0)
    assert show(journal, NEW_TERMINAL, 30) == NOW + HOUR
    assert journal.known_seqs("person", ["p-1"]) == {"p-1": 3}


def test_a_restart_neither_shortens_nor_lengthens_it(
    journal: Journal, tmp_path: Path, kek: bytes
) -> None:
    """The journal remembers, not the process."""
    show(journal, NEW_PERSON)
    journal.close()
    with Journal(tmp_path / "journal.db", kek) as again:
        with pytest.raises(EntryCooling):
            rely(again, NEW_PERSON, HOUR - 1)
        rely(again, NEW_PERSON, HOUR)


def test_a_clock_put_back_does_not_shorten_it(journal: Journal) -> None:
    """What is seen by a clock that went back counts as seen when the last thing was."""
    show(journal, NEW_TERMINAL)
    assert show(journal, NEW_TERMINAL, -HOUR) == NOW + HOUR
    assert show(journal, NEW_PERSON, -HOUR) == NOW + HOUR
    with pytest.raises(EntryCooling):
        rely(journal, NEW_PERSON, HOUR - 1)
    # What has taken effect stays so.
    rely(journal, NEW_PERSON, HOUR)
    with pytest.raises(EntryRolledBack):
        rely(journal, PERSON, -HOUR)


def test_a_newer_change_replaces_one_that_waits(journal: Journal) -> None:
    """With a time of its own; the one that it replaced never takes effect, the former goes on."""
    show(journal, NEW_PERSON)
    newer = replace(NEW_PERSON, seq=5, digest=digest("entry 5"))
    assert show(journal, newer, HOUR - 1) == NOW + 2 * HOUR - 1
    rely(journal, PERSON, HOUR)
    with pytest.raises(EntryRolledBack):
        rely(journal, NEW_PERSON, HOUR)
    with pytest.raises(EntryCooling):
        rely(journal, newer, 2 * HOUR - 2)
    rely(journal, newer, 2 * HOUR - 1)


def test_a_change_that_is_due_is_in_effect_before_a_newer_one_waits(journal: Journal) -> None:
    """Although nobody asked for it in between."""
    show(journal, NEW_PERSON)
    newer = replace(NEW_PERSON, seq=5, digest=digest("entry 5"))
    show(journal, newer, HOUR)
    rely(journal, NEW_PERSON, HOUR)
    with pytest.raises(EntryRolledBack):
        rely(journal, PERSON, HOUR)


def test_a_routine_entry_below_a_change_that_waits_counts(journal: Journal) -> None:
    """A planned change does not stop the bank: of two newer entries the lower one need not wait."""
    show(journal, replace(NEW_TERMINAL, seq=9))
    routine = replace(TERMINAL, seq=8, digest=digest("another branch"))
    rely(journal, routine, 1)
    rely(journal, replace(NEW_TERMINAL, seq=9), HOUR)


def test_a_routine_entry_above_a_change_takes_its_place(journal: Journal) -> None:
    """Whoever signs it says again who the administrators are."""
    show(journal, NEW_TERMINAL)
    rely(journal, replace(TERMINAL, seq=9, digest=digest("entry 9")), 1)
    with pytest.raises(EntryRolledBack):
        rely(journal, NEW_TERMINAL, HOUR)


def test_a_second_entry_of_one_seq_is_refused(journal: Journal) -> None:
    """While the first one waits, and when it has taken effect."""
    show(journal, NEW_PERSON)
    fork = replace(NEW_PERSON, digest=digest("fork"))
    for seconds in (1, HOUR):
        with pytest.raises(EntryForked):
            show(journal, fork, seconds)
        with pytest.raises(EntryForked):
            rely(journal, fork, seconds)
        assert journal.observe([fork], at(seconds)) == Observed(0, 1)


def test_a_revoked_change_never_takes_effect(journal: Journal) -> None:
    """Nor does the former entry, which the same revocation takes away."""
    show(journal, NEW_PERSON)
    journal.revoke(Revoked("person", "p-1", 4, digest("revocation")))
    for entry in (PERSON, NEW_PERSON):
        for seconds in (1, HOUR):
            with pytest.raises(EntryRevoked):
                rely(journal, entry, seconds)
    with pytest.raises(EntryRevoked):
        show(journal, NEW_PERSON, HOUR)


def test_a_revoked_former_entry_lets_the_change_go_on(journal: Journal) -> None:
    """A lost telephone is revoked at once; the new one still waits its time."""
    show(journal, NEW_PERSON)
    journal.revoke(Revoked("person", "p-1", 3, digest("revocation")))
    with pytest.raises(EntryRevoked):
        rely(journal, PERSON, 1)
    with pytest.raises(EntryCooling):
        rely(journal, NEW_PERSON, 1)
    rely(journal, NEW_PERSON, HOUR)


def test_a_withdrawn_change_never_takes_effect(journal: Journal) -> None:
    """However often it is shown again; the former goes on, and a newer one waits anew."""
    show(journal, NEW_PERSON)
    assert journal.withdraw("person", "p-1", NEW_PERSON.digest, at(1))
    assert journal.withdraw("person", "p-1", NEW_PERSON.digest, at(1))
    for seconds in (2, HOUR, 9 * HOUR):
        for refused in (show, rely):
            with pytest.raises(EntryWithdrawn) as caught:
                refused(journal, NEW_PERSON, seconds)
            assert caught.value.reason is Reason.ENTRY_WITHDRAWN
        rely(journal, PERSON, seconds)
    newer = replace(NEW_PERSON, seq=5, digest=digest("entry 5"))
    assert show(journal, newer, HOUR) == NOW + 2 * HOUR


def test_what_is_in_effect_is_not_withdrawn(journal: Journal) -> None:
    """Nor what was never seen, nor what is another's."""
    assert not journal.withdraw("person", "p-1", NEW_PERSON.digest, at(0))
    show(journal, NEW_PERSON)
    assert not journal.withdraw("person", "p-2", NEW_PERSON.digest, at(1))
    assert not journal.withdraw("person", "p-1", digest("another"), at(1))
    assert not journal.withdraw("person", "p-1", NEW_PERSON.digest, at(HOUR))
    rely(journal, NEW_PERSON, HOUR)


def test_a_settlement_goes_by_a_change_that_leaves_the_keys(journal: Journal) -> None:
    """A receipt is the device key's word; who administers the terminal by then is nothing to it."""
    journal.rely_on([NEW_TERMINAL], cooling=at(0))
    with pytest.raises(EntryCooling):
        rely(journal, NEW_TERMINAL, 1)
    other_keys = replace(
        NEW_TERMINAL, seq=9, digest=digest("entry 9"), identity_digest=digest("other keys")
    )
    with pytest.raises(EntryCooling):
        journal.rely_on([other_keys], cooling=at(1))


def test_a_waiting_terminal_holds_no_epp_key_yet(journal: Journal) -> None:
    """The EPP of its entry in effect stays its own until the change is in effect."""
    moved = replace(NEW_TERMINAL, epp_key=digest("new EPP"), identity_digest=digest("new"))
    show(journal, moved)
    with pytest.raises(EppKeyForeign):
        rely(journal, replace(TERMINAL, name="ATM-0002"))
    rely(journal, moved, HOUR)
    rely(journal, replace(TERMINAL, name="ATM-0002"), HOUR)


def test_a_refused_release_leaves_no_trace_but_the_time(journal: Journal) -> None:
    """Of entries beside a change that waits nothing is remembered."""
    beside = replace(TERMINAL, name="ATM-0002", epp_key=digest("another EPP"))
    with pytest.raises(EntryRefused):
        journal.rely_on([beside, NEW_PERSON], releasing=True, cooling=at(0))
    assert journal.known_seqs("terminal", ["ATM-0002"]) == {}


def test_a_shorter_time_counts_from_the_same_beginning(journal: Journal) -> None:
    """The trust file says how long; without any wait, all that was shown is in effect."""
    show(journal, NEW_PERSON)
    half = HOUR // 2
    assert journal.sight(NEW_PERSON, Cooling(half, NOW)) == NOW + half
    rely_half = Cooling(half, NOW + half)
    journal.rely_on([NEW_PERSON], releasing=True, cooling=rely_half)
    show(journal, NEW_TERMINAL)
    journal.rely_on([NEW_TERMINAL], releasing=True, cooling=Cooling(0, NOW))


def test_a_journal_of_before_learns_its_administrators(journal: Journal) -> None:
    """Only from the entry that it knows; until then other entries need the officers."""
    with journal._file.transaction():
        journal._file._connection.execute("DELETE FROM assignments")
        journal._file.update(HEADS, {"name": "assignments", "rows": 0})
    assert journal.unassigned("ATM-0001") == (7, TERMINAL.digest)
    routine = replace(TERMINAL, seq=8, digest=digest("another branch"))
    with pytest.raises(AssignmentChanged):
        rely(journal, routine)
    assert not journal.recall_assignment("ATM-0001", digest("another"), digest("mallory"))
    assert journal.recall_assignment("ATM-0001", TERMINAL.digest, TERMINAL.assignment_digest)
    assert not journal.recall_assignment("ATM-0001", TERMINAL.digest, digest("mallory"))
    assert journal.unassigned("ATM-0001") is None
    rely(journal, routine)


def test_keys_that_a_due_change_took_away_do_not_come_back(journal: Journal) -> None:
    """Although nobody has asked for the change since: the feed alone has no say in keys."""
    moved = replace(NEW_TERMINAL, identity_digest=digest("new keys"), epp_key=digest("new EPP"))
    show(journal, moved)
    back = replace(
        TERMINAL,
        seq=9,
        digest=digest("entry 9"),
        assignment_digest=NEW_TERMINAL.assignment_digest,
    )
    with pytest.raises(IdentityChanged):
        rely(journal, back, HOUR)
    rely(journal, moved, HOUR)


def test_a_clock_that_was_back_before_gains_no_more_than_since_the_last_release(
    journal: Journal,
) -> None:
    """The journal knows when it last released; it believes no earlier time."""
    journal.begin_release(intent())
    assert show(journal, NEW_PERSON, -HOUR) == NOW + HOUR
    with pytest.raises(EntryCooling):
        rely(journal, NEW_PERSON, HOUR - 1)


@pytest.mark.parametrize("kind", CHANGES)
def test_a_change_that_was_never_shown_can_be_withdrawn(journal: Journal, kind: str) -> None:
    """Shown later it never takes effect; the former goes on, and a newer one waits anew."""
    former, new = CHANGES[kind]
    assert journal.withdraw_unseen(new, at(0))
    assert not journal.withdraw_unseen(new, at(0))
    for seconds in (1, HOUR):
        with pytest.raises(EntryWithdrawn):
            show(journal, new, seconds)
        rely(journal, former, seconds)
    newer = replace(new, seq=9, digest=digest("entry 9"))
    assert show(journal, newer, HOUR) == NOW + 2 * HOUR
    # What is in effect, or waits, is not taken away like that.
    assert not journal.withdraw_unseen(former, at(HOUR))
    assert not journal.withdraw_unseen(newer, at(HOUR))


def test_where_nothing_waits_a_withdrawal_puts_nothing_into_effect(journal: Journal) -> None:
    """Nor of a terminal that was never seen, whose first entry would count at once."""
    unknown = replace(TERMINAL, name="ATM-0002", epp_key=digest("another EPP"))
    for entry in (unknown, NEW_PERSON):
        assert journal.withdraw_unseen(entry, AT_ONCE)
        with pytest.raises(EntryWithdrawn):
            journal.rely_on([entry], releasing=True, cooling=AT_ONCE)
    assert journal.known_seqs("terminal", ["ATM-0002"]) == {}
