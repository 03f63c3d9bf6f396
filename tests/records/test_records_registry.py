"""The registry's rows: one current entry a terminal, one active credential a person."""

from collections.abc import Callable

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from records import credentialentries, terminalentries
from records.credentialentries import CredentialTaken
from records.database import Database
from records.seq import StaleEntry
from records.tables.credential_entry import CredentialEntryRow, CredentialState
from records.tables.terminal_entry import TerminalEntryRow
from records.terminalentries import Put

Terminal = Callable[..., TerminalEntryRow]
Credential = Callable[..., CredentialEntryRow]


def test_a_new_entry_supersedes_the_former(database: Database, terminal_row: Terminal) -> None:
    """The newest entry is current, the former stays on record, and the same again is no change."""
    with database.write() as session:
        assert terminalentries.put_terminal_entry(session, terminal_row(seq=1)) is Put.ADDED
        assert terminalentries.put_terminal_entry(session, terminal_row(seq=1)) is Put.UNCHANGED
        assert terminalentries.put_terminal_entry(session, terminal_row(seq=2)) is Put.CHANGED
    with database.read() as session:
        current = terminalentries.current_terminal(session, "T-1")
        assert current is not None
        assert current.seq == 2
        former = terminalentries.terminal_entry(session, terminal_row(seq=1).digest)
        assert former is not None
        assert not former.current
        assert terminalentries.count_current_terminals(session) == 1


def test_an_entry_signed_anew_keeps_its_place(database: Database, terminal_row: Terminal) -> None:
    """The same entry with other signatures replaces the envelope and counts as unchanged."""
    with database.write() as session:
        terminalentries.put_terminal_entry(session, terminal_row())
        again = terminal_row(envelope='{"statements":["new"]}')
        assert terminalentries.put_terminal_entry(session, again) is Put.UNCHANGED
        current = terminalentries.current_terminal(session, "T-1")
        assert current is not None
        assert current.envelope == '{"statements":["new"]}'


@pytest.mark.parametrize("seq", [4, 5])
def test_an_older_entry_is_not_stored(database: Database, terminal_row: Terminal, seq: int) -> None:
    """A lower `seq`, or another entry of the same, is refused and changes nothing."""
    with database.write() as session:
        terminalentries.put_terminal_entry(session, terminal_row(seq=5))
    with pytest.raises(StaleEntry), database.write() as session:
        terminalentries.put_terminal_entry(session, terminal_row(seq=seq, digest="f" * 64))
    with database.read() as session:
        assert terminalentries.terminal_entry(session, "f" * 64) is None


def test_a_withdrawn_terminal_may_come_back(database: Database, terminal_row: Terminal) -> None:
    """A terminal withdrawn has no current entry; its last entry may be put again, no older one."""
    with database.write() as session:
        terminalentries.put_terminal_entry(session, terminal_row(seq=1))
        terminalentries.put_terminal_entry(session, terminal_row(seq=2))
        assert terminalentries.withdraw_terminal(session, "T-1", now=9)
        assert not terminalentries.withdraw_terminal(session, "T-1", now=10)
        assert terminalentries.current_terminal(session, "T-1") is None
        withdrawn = terminalentries.terminal_entry(session, terminal_row(seq=2).digest)
        assert withdrawn is not None
        assert withdrawn.withdrawn_at == 9
        with pytest.raises(StaleEntry):
            terminalentries.put_terminal_entry(session, terminal_row(seq=1))
        assert terminalentries.put_terminal_entry(session, terminal_row(seq=2)) is Put.ADDED
    with database.read() as session:
        current = terminalentries.current_terminal(session, "T-1")
        assert current is not None
        assert current.withdrawn_at is None


def test_terminals_are_found_by_their_keys_while_current(
    database: Database, terminal_row: Terminal
) -> None:
    """The device key and the EPP key lead to the current entry, never to a superseded one."""
    with database.write() as session:
        terminalentries.put_terminal_entry(session, terminal_row(seq=1, device_kid="old"))
        terminalentries.put_terminal_entry(session, terminal_row(seq=2, epp_key_fingerprint="ab"))
        found = terminalentries.terminal_by_device_kid(session, "device-T-1")
        assert found is not None
        assert found.seq == 2
        assert terminalentries.terminal_by_device_kid(session, "old") is None
        by_epp = terminalentries.terminal_by_epp_key(session, "ab")
        assert by_epp is not None
        assert by_epp.terminal_no == "T-1"


def test_all_current_terminals_come_once_each(database: Database, terminal_row: Terminal) -> None:
    """Whatever the batch size, each current terminal comes exactly once, in order."""
    numbers = [f"T-{n:03}" for n in range(25)]
    with database.write() as session:
        for number in reversed(numbers):
            terminalentries.put_terminal_entry(session, terminal_row(number))
        terminalentries.withdraw_terminal(session, "T-007", now=1)
    numbers.remove("T-007")
    with database.read() as session:
        for batch in (1, 7, 24, 25, 100):
            rows = terminalentries.all_current_terminals(session, batch=batch)
            assert [row.terminal_no for row in rows] == numbers


def test_the_database_allows_one_current_entry(database: Database, terminal_row: Terminal) -> None:
    """The partial unique index holds even if somebody bypasses these functions."""
    with database.write() as session:
        terminalentries.put_terminal_entry(session, terminal_row(seq=1))
        terminalentries.put_terminal_entry(session, terminal_row(seq=2))
    with pytest.raises(IntegrityError), database.write() as session:
        session.connection().execute(text("UPDATE terminal_entries SET current = true"))


def test_activation_supersedes_the_former(database: Database, credential_row: Credential) -> None:
    """A person has one active credential; activating twice is the same as once."""
    first, second = credential_row(seq=1), credential_row(seq=2)
    with database.write() as session:
        for row in (first, second):
            assert credentialentries.put_credential_entry(session, row)[1]
            assert not credentialentries.put_credential_entry(session, row)[1]
        assert len(credentialentries.pending_credentials(session)) == 2
        assert credentialentries.current_credential(session, "p1") is None
        assert credentialentries.activate_credential(session, first.digest)
        assert credentialentries.activate_credential(session, second.digest, envelope="signed")
        assert credentialentries.activate_credential(session, second.digest)
        assert not credentialentries.activate_credential(session, first.digest)
        assert not credentialentries.activate_credential(session, "unknown")
    with database.read() as session:
        current = credentialentries.current_credential(session, "p1")
        assert current is not None
        assert (current.seq, current.envelope) == (2, "signed")
        assert credentialentries.pending_credentials(session) == []
        assert credentialentries.credential_by_kid(session, "kid-p1-1") is None
        assert credentialentries.credential_by_kid(session, "kid-p1-2") is not None
        assert credentialentries.credential_by_staff_no(session, "S-p1") is not None
        assert credentialentries.highest_credential_seq(session, "p1") == 2
        assert credentialentries.highest_credential_seq(session, "nobody") == -1
        former = credentialentries.credential_entry(session, first.digest)
        assert former is not None
        assert former.state is CredentialState.SUPERSEDED


def test_an_older_credential_never_returns(database: Database, credential_row: Credential) -> None:
    """After a higher `seq` was active, even if revoked since, a lower one cannot be activated."""
    old, new = credential_row(seq=1), credential_row(seq=2)
    with database.write() as session:
        credentialentries.put_credential_entry(session, old)
        credentialentries.put_credential_entry(session, new)
        credentialentries.activate_credential(session, new.digest)
        assert credentialentries.revoke_credential(session, new.digest, now=5)
        assert not credentialentries.revoke_credential(session, new.digest, now=6)
        assert credentialentries.current_credential(session, "p1") is None
        with pytest.raises(StaleEntry):
            credentialentries.activate_credential(session, old.digest)


@pytest.mark.parametrize(
    "shared", [{"kid": "k"}, {"staff_no": "S"}, {"credential_id": "c", "kid": None}]
)
def test_two_persons_share_no_credential(
    database: Database, credential_row: Credential, shared: dict[str, str | None]
) -> None:
    """A key, passkey or staff number of one person's active entry cannot become another's."""
    values = {name: value for name, value in shared.items() if value is not None}
    mine, other = credential_row("p1", **values), credential_row("p2", **values)
    with database.write() as session:
        for row in (mine, other):
            credentialentries.put_credential_entry(session, row)
        credentialentries.activate_credential(session, mine.digest)
        with pytest.raises(CredentialTaken):
            credentialentries.activate_credential(session, other.digest)
    with pytest.raises(IntegrityError), database.write() as session:
        session.connection().execute(text("UPDATE credential_entries SET state = 'active'"))


def test_signatures_are_added_only_while_pending(
    database: Database, credential_row: Credential
) -> None:
    """Officers' signatures replace the envelope of a pending entry, never of an active one."""
    row = credential_row()
    with database.write() as session:
        credentialentries.put_credential_entry(session, row)
        assert credentialentries.add_signatures(session, row.digest, "one")
        credentialentries.activate_credential(session, row.digest)
        assert not credentialentries.add_signatures(session, row.digest, "two")
        current = credentialentries.current_credential(session, "p1")
        assert current is not None
        assert current.envelope == "one"
        assert credentialentries.active_credentials(session) == [current]


def test_a_number_leads_to_its_persons(database: Database, credential_row: Credential) -> None:
    """A number's digest leads to those who have it active, so that a shared one is noticed."""
    with database.write() as session:
        for person in ("p1", "p2", "p3"):
            row = credential_row(person, number_digest="same", credential_id=f"c-{person}")
            credentialentries.put_credential_entry(session, row)
            if person != "p3":
                credentialentries.activate_credential(session, row.digest)
        assert credentialentries.persons_with_number_digest(session, "same") == ["p1", "p2"]
        assert credentialentries.persons_with_number_digest(session, "other") == []
        passkey = credentialentries.credential_by_credential_id(session, "c-p2")
        assert passkey is not None
        assert passkey.person == "p2"


def test_the_history_keeps_every_entry(
    database: Database, terminal_row: Terminal, credential_row: Credential
) -> None:
    """Superseded, withdrawn and revoked entries stay on record, the newest first."""
    with database.write() as session:
        for seq in (1, 2):
            terminalentries.put_terminal_entry(session, terminal_row(seq=seq))
            credentialentries.put_credential_entry(session, credential_row(seq=seq))
        terminalentries.put_terminal_entry(session, terminal_row("T-0", seq=7))
        terminalentries.withdraw_terminal(session, "T-1", now=1)
        credentialentries.revoke_credential(session, credential_row(seq=2).digest, now=1)
        assert [row.seq for row in terminalentries.terminal_history(session, "T-1")] == [2, 1]
        assert [row.seq for row in credentialentries.credential_history(session, "p1")] == [2, 1]
        newest = [(row.terminal_no, row.seq) for row in terminalentries.newest_terminals(session)]
        assert newest == [("T-0", 7), ("T-1", 2)]


def test_a_signature_counter_moves_once(database: Database, credential_row: Credential) -> None:
    """Of two acceptances that saw the same counter one moves it; an inactive passkey has none."""
    row = credential_row()
    with database.write() as session:
        credentialentries.put_credential_entry(session, row)
        assert not credentialentries.advance_sign_count(session, row.digest, last=0, new=5)
        credentialentries.activate_credential(session, row.digest)
        assert credentialentries.advance_sign_count(session, row.digest, last=0, new=5)
        assert not credentialentries.advance_sign_count(session, row.digest, last=0, new=6)
        current = credentialentries.current_credential(session, "p1")
        assert current is not None
        assert current.sign_count == 5
