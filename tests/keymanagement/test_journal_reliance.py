"""The registry entries relied on: an old registry that is put back grants nothing."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ceremony.reasons import Reason
from keymanagement.journal import Journal
from keymanagement.journalerrors import EntryForked, EntryRolledBack
from keymanagement.journalrows import Reliance
from tests.support.journals import digest

TERMINAL = Reliance("terminal", "ATM-0001", 7, digest("entry 7"), digest("identity"))
PERSON = Reliance("credential", "p-1", 3, digest("entry 3"), digest("key"))


@pytest.fixture
def journal(tmp_path: Path, kek: bytes) -> Iterator[Journal]:
    """A journal that relied on a terminal's entry."""
    with Journal(tmp_path / "journal.db", kek, create=True) as made:
        made.rely_on([TERMINAL])
        yield made


def test_the_same_entry_is_relied_on_again(journal: Journal) -> None:
    """Relying twice on one entry is one reliance."""
    journal.rely_on([TERMINAL, TERMINAL])
    journal.verify()


def test_a_lower_seq_is_refused(journal: Journal) -> None:
    """An entry older than the one relied on is refused, and says so with its reason code."""
    older = replace(TERMINAL, seq=6, digest=digest("entry 6"))
    with pytest.raises(EntryRolledBack) as caught:
        journal.rely_on([older])
    assert caught.value.reason is Reason.SEQ_LOWERED


def test_a_second_entry_of_one_seq_is_refused(journal: Journal) -> None:
    """Two entries of one seq: one of them is not genuine."""
    for fork in (
        replace(TERMINAL, digest=digest("fork")),
        replace(TERMINAL, identity_digest=digest("fork")),
    ):
        with pytest.raises(EntryForked):
            journal.rely_on([fork])


def test_a_higher_seq_replaces_for_good(journal: Journal, tmp_path: Path, kek: bytes) -> None:
    """After a newer entry the former one is refused, after a restart too."""
    newer = replace(TERMINAL, seq=8, digest=digest("entry 8"))
    journal.rely_on([newer])
    journal.close()
    with Journal(tmp_path / "journal.db", kek) as again:
        with pytest.raises(EntryRolledBack):
            again.rely_on([TERMINAL])
        again.rely_on([newer])


def test_all_entries_of_a_release_or_none(journal: Journal) -> None:
    """A refused entry leaves no trace of those beside it."""
    with pytest.raises(EntryRolledBack):
        journal.rely_on([PERSON, replace(TERMINAL, seq=1)])
    assert journal.known_identity("credential", "p-1") is None


def test_kinds_do_not_mix(journal: Journal) -> None:
    """A person of a terminal's name is another subject."""
    journal.rely_on([replace(TERMINAL, kind="credential", seq=1)])
    assert journal.known_identity("terminal", "ATM-0001") == TERMINAL.identity_digest


def test_the_known_identity_is_the_one_last_relied_on(journal: Journal) -> None:
    """A caller sees a changed certificate or device key before it relies on it."""
    assert journal.known_identity("terminal", "ATM-0001") == digest("identity")
    assert journal.known_identity("terminal", "ATM-0002") is None
    journal.rely_on([replace(TERMINAL, seq=8, identity_digest=digest("new identity"))])
    assert journal.known_identity("terminal", "ATM-0001") == digest("new identity")
