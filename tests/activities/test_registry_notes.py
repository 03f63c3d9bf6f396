"""The key worker looks at the records: what is on record is found, verified, and remembered."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, update

from activities.key_archive import MOST_SHOWN, RecordsArchive
from activities.key_worker import KeyWorker
from ceremony.messages import RegistryNoted, RegistryPage, RegistryPart, RevocationNote
from ceremony.reasons import Reason
from ceremony.revocations import Revocation, Subject, read_revocation
from ceremony.signing import sign
from ceremony.statements import RevocationPayload
from records import credentialentries, revocations, terminalentries
from records.entryrows import pending_credential_row, terminal_row
from records.tables.credential_entry import CredentialEntryRow, CredentialState
from records.tables.revocation import RevocationRow
from tests.support.backoffice import NEW, ONE, TWO, Office, counts, fresh
from tests.support.backstage import Backstage
from tests.support.recording import Recording

ALL: tuple[RegistryPart, ...] = ("revocations", "persons", "terminals")


@pytest.fixture
def archive(stage: Backstage) -> RecordsArchive:
    """The archive over the records."""
    return RecordsArchive(stage.database)


@pytest.fixture
def keys(stage: Backstage) -> Iterator[KeyWorker]:
    """The key worker's activities."""
    yield stage.key_worker()


def revocation(stage: Backstage, **fields: Any) -> Revocation:
    """A revocation of the second administrator up to 1, unless bent."""
    world = stage.world
    said = {
        **world.common(),
        "person": world.second.person,
        "terminal_no": None,
        "seq": 1,
        "reason_code": "lost-phone",
        **fields,
    }
    return read_revocation(sign(RevocationPayload(**said), world.officers[1]), world.trust)


def put(stage: Backstage, one: Revocation) -> bool:
    """Put a revocation on record."""
    with stage.database.write() as session:
        return revocations.put(session, one, now=stage.world.now)


def enrol(stage: Backstage, seq: int, *, officers: int = 2, active: bool = True) -> str:
    """Put a newer entry of the second administrator on record."""
    world = stage.world
    envelope = world.credential_entry(world.second, seq=seq, officers=officers)
    with stage.database.write() as session:
        row = pending_credential_row(world.read_credential(envelope), now=world.now)
        credentialentries.put_credential_entry(session, row)
        if active:
            assert credentialentries.activate_credential(session, row.digest)
    return envelope


def test_a_revocation_takes_effect_in_the_records_at_once(
    stage: Backstage, archive: RecordsArchive
) -> None:
    """Active and pending entries up to its seq go out of force; a newer one stays."""
    enrol(stage, 2)
    enrol(stage, 3, active=False)
    assert put(stage, revocation(stage, seq=2))
    with stage.database.read() as session:
        person = stage.world.second.person
        states = {
            row.seq: row.state for row in credentialentries.credential_history(session, person)
        }
    assert states == {
        1: CredentialState.SUPERSEDED,
        2: CredentialState.REVOKED,
        3: CredentialState.PENDING,
    }
    assert archive.entries(ONE) is None


def test_a_revoked_terminal_is_withdrawn(stage: Backstage, archive: RecordsArchive) -> None:
    """Up to the seq of its entry in force; a lower revocation leaves it."""
    assert put(stage, revocation(stage, person=None, terminal_no=ONE, seq=0))
    assert archive.terminal_entry(ONE) is not None
    assert put(stage, revocation(stage, person=None, terminal_no=ONE, seq=1))
    assert archive.terminal_entry(ONE) is None
    assert archive.terminal_entry(TWO) is not None


def test_a_revocation_is_stored_once_and_never_changed(stage: Backstage) -> None:
    """The same one again is the same row, and puts out of force again what somebody put back."""
    one = revocation(stage)
    assert put(stage, one)
    with stage.database.write() as session:
        session.exec(
            update(CredentialEntryRow)
            .where(col(CredentialEntryRow.person) == one.name)
            .values(state=CredentialState.ACTIVE)
        )
    assert not put(stage, one)
    with stage.database.read() as session:
        assert credentialentries.current_credential(session, one.name) is None
    for change in (
        update(RevocationRow).values(seq=0),
        RevocationRow.__table__.delete(),  # type: ignore[attr-defined]
    ):
        with (
            pytest.raises(IntegrityError, match="is refused"),
            stage.database.write() as session,
        ):
            session.connection().execute(change)


def test_a_made_up_row_takes_nothing_away(stage: Backstage) -> None:
    """What is read back is verified: columns, forged texts and others' names count for nothing."""
    genuine = revocation(stage, seq=4)
    made_up = {"digest": "aa" * 32, "statement": "nonsense", "name": "person-1", "seq": 9}
    misfiled = {"digest": "bb" * 32, "name": "person-1", "seq": 9}
    row: dict[str, Any] = {
        "subject": "person",
        "name": genuine.name,
        "seq": 99,
        "reason_code": "x",
        "officer": "x",
        "statement": genuine.text,
        "recorded_at": 1,
    }
    with stage.database.write() as session:
        for one in (made_up, misfiled, {"digest": "cc" * 32, "subject": "terminal"}):
            session.add(RevocationRow(**{**row, **one}))
    with stage.database.read() as session:
        trust = stage.world.trust
        assert revocations.highest_of(session, trust, Subject.PERSON) == {genuine.name: 4}
        assert revocations.highest_of(session, trust, Subject.TERMINAL) == {}


def test_the_key_worker_remembers_a_revocation_that_was_undone(
    recording: Recording, keys: KeyWorker
) -> None:
    """Revoked after everybody approved, and set active again: there is no key."""
    stage = recording.stage
    recording.apply()
    recording.decide()
    recording.confirm()
    one = revocation(stage)
    note = RevocationNote(statement=one.text)
    assert keys.note_revocation(note).refused is None
    outcome = keys.release_key(recording.command())
    assert (outcome.refused, outcome.token_digest) == (Reason.ENTRY_REVOKED, None)


def test_a_revocation_that_could_not_be_carried_is_found_on_record(
    stage: Backstage, keys: KeyWorker
) -> None:
    """The next look at the records finds it; the one after that, nothing new."""
    put(stage, revocation(stage))
    page = RegistryPage(part="revocations")
    assert keys.note_registry(page) == RegistryNoted(noted=1, refused=0, after=None)
    assert keys.note_registry(page) == RegistryNoted(noted=0, refused=0, after=None)


def test_those_about_a_subject_are_found(stage: Backstage, archive: RecordsArchive) -> None:
    """The highest first; none about others."""
    lower, higher = revocation(stage), revocation(stage, seq=4)
    for one in (lower, higher, revocation(stage, person="person-1")):
        put(stage, one)
    assert archive.revocations_of(Subject.PERSON, higher.name) == [higher.text, lower.text]
    assert archive.revocations_of(Subject.TERMINAL, higher.name) == []


def test_a_look_notes_all_that_is_in_force_once(stage: Backstage, keys: KeyWorker) -> None:
    """Two terminals and three persons; then nothing is new until there is a newer entry."""
    noted = [keys.note_registry(RegistryPage(part=part)).noted for part in ALL]
    assert noted == [0, 3, 2]
    assert [keys.note_registry(RegistryPage(part=part)).noted for part in ALL] == [0, 0, 0]
    enrol(stage, 2)
    assert [keys.note_registry(RegistryPage(part=part)).noted for part in ALL] == [0, 1, 0]
    person = stage.world.second.person
    assert stage.journal.known_seqs("person", [person]) == {person: 2}


def test_a_pending_entry_is_not_shown(stage: Backstage, keys: KeyWorker) -> None:
    """What the officers have yet to sign, or the registry refused, keeps no entry in force out."""
    enrol(stage, 2, active=False)
    assert keys.note_registry(RegistryPage(part="persons")).noted == 3
    person = stage.world.second.person
    assert stage.journal.known_seqs("person", [person]) == {person: 1}


def test_a_withdrawn_terminals_newer_entry_is_shown(stage: Backstage, keys: KeyWorker) -> None:
    """Removed from the feed, its last entry still keeps the one before it out."""
    world = stage.world
    with stage.database.write() as session:
        newer = world.read_terminal(world.terminal_entry(seq=5))
        terminalentries.put_terminal_entry(session, terminal_row(newer, now=world.now))
        terminalentries.withdraw_terminal(session, ONE, now=world.now)
    keys.note_registry(RegistryPage(part="terminals"))
    assert stage.journal.known_seqs("terminal", [ONE, TWO]) == {ONE: 5, TWO: 1}


def test_the_newest_entries_are_shown_lowest_first(
    stage: Backstage, archive: RecordsArchive
) -> None:
    """Those above a seq, in the order in which they were made; of very many the newest."""
    world = stage.world
    envelopes = [world.terminal_entry(seq=seq) for seq in range(2, MOST_SHOWN + 4)]
    with stage.database.write() as session:
        for envelope in envelopes:
            row = terminal_row(world.read_terminal(envelope), now=world.now)
            terminalentries.put_terminal_entry(session, row)
    assert archive.entries_above(Subject.TERMINAL, ONE, MOST_SHOWN) == envelopes[-3:]
    assert archive.entries_above(Subject.TERMINAL, ONE, 0) == envelopes[-MOST_SHOWN:]
    assert archive.newest(Subject.TERMINAL, "", 9) == [(ONE, MOST_SHOWN + 3), (TWO, 1)]
    assert archive.newest(Subject.TERMINAL, ONE, 9) == [(TWO, 1)]
    assert archive.newest(Subject.PERSON, "", 2) == [("person-1", 1), ("person-2", 1)]


def test_the_feed_does_not_bring_a_revoked_terminal_back(office: Office) -> None:
    """Its entry is refused as revoked until the back office publishes a newer one."""
    put(office.stage, revocation(office.stage, person=None, terminal_no=ONE))
    report = office.run()
    assert counts(report) == (0, 0, 1, 0, 1)
    assert [(row.terminal_no, row.reason) for row in report.refused] == [
        (ONE, Reason.ENTRY_REVOKED)
    ]
    assert office.current(ONE) is None
    office.feed.envelopes[0] = office.entry(office.world.terminal, seq=2)
    office.feed.envelopes.append(office.entry(fresh(NEW, "EPP of the new one")))
    assert counts(office.run()) == (2, 0, 1, 0, 0)
    assert office.current(ONE) is not None
