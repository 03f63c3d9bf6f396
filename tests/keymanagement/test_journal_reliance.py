"""The registry entries relied on: an old registry that is put back grants nothing."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ceremony.reasons import Reason
from keymanagement.changerows import AT_ONCE
from keymanagement.journal import Journal
from keymanagement.journalerrors import (
    EntryForked,
    EntryRevoked,
    EntryRolledBack,
    IdentityChanged,
)
from keymanagement.journalrows import Observed, Reliance, Revoked
from tests.support.journals import digest, identity_of

TERMINAL = Reliance("terminal", "ATM-0001", 7, digest("entry 7"), digest("identity"))
PERSON = Reliance("credential", "p-1", 3, digest("entry 3"), digest("key"))


@pytest.fixture
def journal(tmp_path: Path, kek: bytes) -> Iterator[Journal]:
    """A journal that relied on a terminal's entry."""
    with Journal(tmp_path / "journal.db", kek, create=True) as made:
        made.rely_on([TERMINAL], cooling=AT_ONCE)
        yield made


def test_the_same_entry_is_relied_on_again(journal: Journal) -> None:
    """Relying twice on one entry is one reliance."""
    journal.rely_on([TERMINAL, TERMINAL], cooling=AT_ONCE)
    journal.verify()


def test_a_lower_seq_is_refused(journal: Journal) -> None:
    """An entry older than the one relied on is refused, and says so with its reason code."""
    older = replace(TERMINAL, seq=6, digest=digest("entry 6"))
    with pytest.raises(EntryRolledBack) as caught:
        journal.rely_on([older], cooling=AT_ONCE)
    assert caught.value.reason is Reason.SEQ_LOWERED


def test_a_second_entry_of_one_seq_is_refused(journal: Journal) -> None:
    """Two entries of one seq: one of them is not genuine."""
    for fork in (
        replace(TERMINAL, digest=digest("fork")),
        replace(TERMINAL, identity_digest=digest("fork")),
    ):
        with pytest.raises(EntryForked):
            journal.rely_on([fork], cooling=AT_ONCE)


def test_a_higher_seq_replaces_for_good(journal: Journal, tmp_path: Path, kek: bytes) -> None:
    """After a newer entry the former one is refused, after a restart too."""
    newer = replace(TERMINAL, seq=8, digest=digest("entry 8"))
    journal.rely_on([newer], cooling=AT_ONCE)
    journal.close()
    with Journal(tmp_path / "journal.db", kek) as again:
        with pytest.raises(EntryRolledBack):
            again.rely_on([TERMINAL], cooling=AT_ONCE)
        again.rely_on([newer], cooling=AT_ONCE)


def test_all_entries_of_a_release_or_none(journal: Journal) -> None:
    """A refused entry leaves no trace of those beside it."""
    with pytest.raises(EntryRolledBack):
        journal.rely_on([PERSON, replace(TERMINAL, seq=1)], cooling=AT_ONCE)
    assert identity_of(journal, "credential", "p-1") is None


def test_kinds_do_not_mix(journal: Journal) -> None:
    """A person of a terminal's name is another subject."""
    journal.rely_on([replace(TERMINAL, kind="credential", seq=1)], cooling=AT_ONCE)
    assert identity_of(journal, "terminal", "ATM-0001") == TERMINAL.identity_digest


def test_other_keys_need_an_officer(journal: Journal) -> None:
    """Another certificate or device key is not relied on, and remembered only if it is signed."""
    other = replace(TERMINAL, seq=8, digest=digest("entry 8"), identity_digest=digest("other keys"))
    with pytest.raises(IdentityChanged) as caught:
        journal.rely_on([PERSON, other], cooling=AT_ONCE)
    assert caught.value.reason is Reason.OFFICER_REQUIRED
    assert identity_of(journal, "credential", "p-1") is None
    assert identity_of(journal, "terminal", "ATM-0001") == digest("identity")
    journal.rely_on([replace(other, may_change=True)], cooling=AT_ONCE)
    assert identity_of(journal, "terminal", "ATM-0001") == digest("other keys")
    # From here on these keys are the known ones.
    with pytest.raises(IdentityChanged):
        journal.rely_on([replace(TERMINAL, seq=9, digest=digest("entry 9"))], cooling=AT_ONCE)


def revoked(seq: int, kind: str = "terminal", name: str = "ATM-0001") -> Revoked:
    """A revocation of everything up to a seq."""
    return Revoked(kind, name, seq, digest(f"revocation up to {seq}"))


@pytest.mark.parametrize("seq", [7, 8])
def test_a_revoked_entry_is_refused_for_good(
    journal: Journal, tmp_path: Path, kek: bytes, seq: int
) -> None:
    """Up to the revoked seq and including it, whatever was relied on, after a restart too."""
    assert journal.revoke(revoked(8))
    entry = replace(TERMINAL, seq=seq, digest=digest(f"entry {seq}"))
    journal.close()
    with Journal(tmp_path / "journal.db", kek) as again:
        with pytest.raises(EntryRevoked) as caught:
            again.rely_on([entry], cooling=AT_ONCE)
        assert caught.value.reason is Reason.ENTRY_REVOKED
        again.rely_on([replace(TERMINAL, seq=9, digest=digest("entry 9"))], cooling=AT_ONCE)
        again.verify()


def test_a_lower_revocation_never_lowers_a_higher_one(journal: Journal) -> None:
    """Nor does the same one again change anything."""
    assert journal.revoke(revoked(8))
    assert journal.revoke(revoked(3)) is False
    assert journal.revoke(revoked(8)) is False
    with pytest.raises(EntryRevoked):
        journal.rely_on([replace(TERMINAL, seq=8, digest=digest("entry 8"))], cooling=AT_ONCE)
    assert journal.revoke(revoked(9))
    with pytest.raises(EntryRevoked):
        journal.rely_on([replace(TERMINAL, seq=9, digest=digest("entry 9"))], cooling=AT_ONCE)


def test_a_revocation_is_of_one_subject(journal: Journal) -> None:
    """Neither a person of a terminal's name nor another terminal is concerned."""
    journal.revoke(revoked(99, kind="person"))
    journal.revoke(revoked(99, name="ATM-0002"))
    journal.rely_on([TERMINAL], cooling=AT_ONCE)


def test_a_revoked_entry_takes_the_whole_release_with_it(journal: Journal) -> None:
    """A refused entry leaves no trace of those beside it."""
    journal.revoke(revoked(7))
    with pytest.raises(EntryRevoked):
        journal.rely_on([PERSON, TERMINAL], cooling=AT_ONCE)
    assert identity_of(journal, "credential", "p-1") is None


def test_what_was_shown_is_as_good_as_relied_on(journal: Journal) -> None:
    """A newer entry that was only shown refuses the older one, and may itself be relied on."""
    newer = replace(TERMINAL, seq=8, digest=digest("entry 8"))
    other = replace(TERMINAL, name="ATM-0002")
    shown = [newer, other]
    assert journal.observe(shown, cooling=AT_ONCE) == Observed(noted=2, refused=0)
    assert journal.observe(shown, cooling=AT_ONCE) == Observed(noted=0, refused=0)
    with pytest.raises(EntryRolledBack):
        journal.rely_on([TERMINAL], cooling=AT_ONCE)
    journal.rely_on([newer, other], cooling=AT_ONCE)
    assert journal.known_seqs("terminal", ["ATM-0001", "ATM-0002", "ATM-0003"]) == {
        "ATM-0001": 8,
        "ATM-0002": 7,
    }
    journal.verify()


def test_an_older_entry_that_is_shown_changes_nothing(journal: Journal) -> None:
    """Only a higher seq is taken, so whoever shows entries lowers nothing."""
    older = replace(TERMINAL, seq=6, digest=digest("entry 6"), identity_digest=digest("old"))
    assert journal.observe([replace(older, may_change=True)], cooling=AT_ONCE) == Observed(
        noted=0, refused=0
    )
    assert identity_of(journal, "terminal", "ATM-0001") == TERMINAL.identity_digest
    journal.rely_on([TERMINAL], cooling=AT_ONCE)
    # Nor does it keep what is shown behind it from being looked at.
    other = replace(TERMINAL, name="ATM-0002")
    shown = [replace(older, may_change=True), other]
    assert journal.observe(shown, cooling=AT_ONCE) == Observed(noted=1, refused=0)


def test_a_fork_that_is_shown_is_refused(journal: Journal) -> None:
    """Another entry of the known seq does not take its place, and the known one still counts."""
    fork = replace(TERMINAL, digest=digest("fork"))
    assert journal.observe([replace(fork, may_change=True)], cooling=AT_ONCE) == Observed(
        noted=0, refused=1
    )
    journal.rely_on([TERMINAL], cooling=AT_ONCE)
    with pytest.raises(EntryForked):
        journal.rely_on([fork], cooling=AT_ONCE)


def test_another_identity_is_taken_only_where_it_may_change(journal: Journal) -> None:
    """Without an officer's signature other keys are not remembered, and keep nobody else out."""
    bare = replace(TERMINAL, seq=8, digest=digest("bare"), identity_digest=digest("new"))
    signed = replace(bare, seq=9, digest=digest("signed"))
    later = replace(signed, seq=10, digest=digest("later"))
    other = replace(TERMINAL, name="ATM-0002")
    shown = [bare, other]
    assert journal.observe(shown, cooling=AT_ONCE) == Observed(noted=1, refused=1)
    assert identity_of(journal, "terminal", "ATM-0001") == TERMINAL.identity_digest
    journal.rely_on([TERMINAL], cooling=AT_ONCE)
    # One after the other: the officer's signature stands between the two identities.
    in_order = [replace(signed, may_change=True), later]
    assert journal.observe(in_order, cooling=AT_ONCE) == Observed(noted=2, refused=0)
    assert identity_of(journal, "terminal", "ATM-0001") == digest("new")
    assert journal.known_seqs("terminal", ["ATM-0001"]) == {"ATM-0001": 10}
