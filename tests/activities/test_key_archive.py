"""The key worker on real records: what it reads is verified, what it publishes is found again."""

import base64
from collections.abc import Callable

import pytest
from sqlalchemy import delete, update
from sqlmodel import Session, col

from activities.key_archive import RecordsArchive
from ceremony.messages import SettleCommand, Settlement
from ceremony.reasons import Reason
from ceremony.stages import Stage
from keymanagement.journalrows import KeyState as JournalState
from records import credentialentries, keystore, terminalentries
from records.tables.credential_entry import CredentialEntryRow
from records.tables.key import KeyRow, KeyState
from records.tables.terminal_entry import TerminalEntryRow
from records.tables.token import TokenRow
from tests.support.backstage import Backstage
from tests.support.keybench import opened as opened_by_epp
from tests.support.recording import Recording

ATM = "ATM-0001"


@pytest.fixture
def archive(stage: Backstage) -> RecordsArchive:
    """The archive over the records."""
    return RecordsArchive(stage.database)


def confirmed(recording: Recording) -> Recording:
    """A request that waits for the key worker."""
    recording.apply()
    recording.decide()
    recording.confirm()
    return recording


def settle(recording: Recording, receipt: str | None) -> Settlement:
    """Ask the key worker to settle."""
    command = SettleCommand(request_id=recording.request_id, terminal_no=ATM, receipt=receipt)
    return recording.stage.settlement().settle(command)


def key_of(stage: Backstage, request_id: str) -> KeyRow:
    """The published key."""
    with stage.database.read() as session:
        row = keystore.key(session, request_id)
    assert row is not None
    return row


def tokens_of(stage: Backstage, request_id: str) -> list[TokenRow]:
    """The published tokens."""
    with stage.database.read() as session:
        return list(keystore.tokens_of(session, request_id))


def test_a_statement_comes_with_what_travelled_beside_it(
    recording: Recording, archive: RecordsArchive
) -> None:
    """Text, typed code and the QR code's numbers as filed; a plain statement has none of them."""
    recording.apply()
    assert recording.application is not None
    found = archive.statement(recording.application.digest)
    assert found is not None
    shown = recording.world.shown_qr(recording.request)
    code = recording.world.sms_code(recording.request)
    assert found.text == recording.application.text
    assert found.code == recording.world.typed(recording.application, code)
    assert (found.qr_n, found.qr_expires_at) == (shown.n, shown.expires_at)
    plain = archive.statement(recording.request.digest)
    assert plain is not None
    assert (plain.code, plain.qr_n, plain.qr_expires_at) == (None, None, None)
    assert archive.statement("77" * 32) is None


def test_the_entries_are_those_in_force(stage: Backstage, archive: RecordsArchive) -> None:
    """Three envelopes, verbatim; none at all if one of the three is missing."""
    world = stage.world
    assert archive.entries(ATM) == world.entries()
    assert archive.entries("no such") is None
    second = world.standing().second.digest
    with stage.database.write() as session:
        credentialentries.revoke_credential(session, second, now=world.now)
    assert archive.entries(ATM) is None
    assert archive.terminal_entry(ATM) == world.entries().terminal
    with stage.database.write() as session:
        terminalentries.withdraw_terminal(session, ATM, now=world.now)
    assert archive.terminal_entry(ATM) is None


def test_a_release_publishes_the_key_and_its_token(recording: Recording) -> None:
    """Bytes, digest, record and host's copy as in the journal; the KCV is not among them."""
    confirmed(recording)
    stage = recording.stage
    outcome = stage.release().release(recording.command())
    held = stage.journal.key_of(recording.request_id)
    (issued,) = stage.journal.tokens_of(recording.request_id)
    row, (token,) = key_of(stage, recording.request_id), tokens_of(stage, recording.request_id)
    assert held is not None
    assert (row.state, row.kcv, row.terminal_no) == (KeyState.RELEASED, None, ATM)
    assert (row.host_block, row.release_record) == (held.host_block, held.record)
    assert base64.b64decode(token.value) == issued.value
    assert token.token_digest == issued.token_digest == outcome.token_digest
    assert (token.ordinal, token.format, token.key_algorithm) == (1, "oaep-jws", "AES-128")
    assert len(opened_by_epp(issued.value, stage.world.terminal.epp)) == 16


def test_the_same_release_publishes_once(recording: Recording) -> None:
    """Repeated, and after the records lost the rows, the rows are the same."""
    confirmed(recording)
    stage = recording.stage
    stage.release().release(recording.command())
    first = (key_of(stage, recording.request_id), tokens_of(stage, recording.request_id))
    stage.release().release(recording.command())
    with stage.database.write() as session:
        session.exec(delete(TokenRow))
        session.exec(delete(KeyRow))
    stage.release().release(recording.command())
    assert (key_of(stage, recording.request_id), tokens_of(stage, recording.request_id)) == first


def test_a_wrapping_publishes_a_further_token_of_the_same_key(recording: Recording) -> None:
    """One key row, tokens 1 and 2, and the same key in both."""
    confirmed(recording)
    recording.release()
    recording.confirm()
    recording.release()
    stage = recording.stage
    tokens = tokens_of(stage, recording.request_id)
    epp = stage.world.terminal.epp
    keys = {opened_by_epp(base64.b64decode(one.value), epp) for one in tokens}
    assert [one.ordinal for one in tokens] == [1, 2]
    assert len(keys) == 1
    assert recording.state.token_digest == tokens[1].token_digest


def test_a_settlement_moves_the_published_states(stage: Backstage) -> None:
    """The confirmed key is active with its KCV, the previous one retired, in the records too."""
    old = Recording.opened(stage)
    old.released()
    assert settle(old, old.filed_receipt().digest).active
    stage.world.pass_time(10)
    new = Recording.opened(stage)
    new.released()
    assert key_of(stage, new.request_id).kcv is None
    receipt = new.filed_receipt().digest
    for _ in range(2):
        answer = settle(new, receipt)
        first, second = key_of(stage, old.request_id), key_of(stage, new.request_id)
        assert (first.state, first.retired_at) == (KeyState.RETIRED, stage.world.now)
        assert (second.state, second.kcv) == (KeyState.ACTIVE, answer.kcv)


def test_an_unconfirmed_key_is_published_without_a_kcv_and_activated_later(
    recording: Recording,
) -> None:
    """No receipt in time: unconfirmed, no KCV; its later receipt activates it."""
    confirmed(recording)
    recording.release()
    assert settle(recording, None).reason is Reason.RECEIPT_MISSING
    row = key_of(recording.stage, recording.request_id)
    assert (row.state, row.kcv) == (KeyState.UNCONFIRMED, None)
    assert settle(recording, recording.filed_receipt().digest).active
    assert key_of(recording.stage, recording.request_id).state is KeyState.ACTIVE


def test_a_settlement_that_could_not_be_published_is_published_by_its_repeat(
    stage: Backstage,
) -> None:
    """The records restored from before the settlement: asked again, they are brought up to date."""
    old = Recording.opened(stage)
    old.released()
    settle(old, old.filed_receipt().digest)
    stage.world.pass_time(10)
    new = Recording.opened(stage)
    new.released()
    receipt = new.filed_receipt().digest
    settle(new, receipt)
    with stage.database.write() as session:
        set_state(session, new.request_id, KeyState.RELEASED)
        set_state(session, old.request_id, KeyState.ACTIVE)
    settle(new, receipt)
    assert key_of(stage, new.request_id).state is KeyState.ACTIVE
    assert key_of(stage, old.request_id).state is KeyState.RETIRED


def set_state(session: Session, request_id: str, state: KeyState) -> None:
    """Edit a published state."""
    session.exec(update(KeyRow).where(col(KeyRow.request_id) == request_id).values(state=state))


def foreign_terminal(session: Session) -> None:
    """Point the terminal's row at another person."""
    session.exec(update(TerminalEntryRow).values(first_person="person-3"))


def swapped_people(session: Session) -> None:
    """Swap first and second administrator in the index."""
    session.exec(update(TerminalEntryRow).values(first_person="person-2", second_person="person-1"))


def swapped_envelopes(session: Session) -> None:
    """Give everybody the first administrator's envelope."""
    first = credentialentries.current_credential(session, "person-1")
    assert first is not None
    session.exec(update(CredentialEntryRow).values(envelope=first.envelope))


def garbled(session: Session) -> None:
    """Put no JSON at all into the terminal's envelope."""
    session.exec(update(TerminalEntryRow).values(envelope="\x01{{{"))


@pytest.mark.parametrize("edit", [foreign_terminal, swapped_people, swapped_envelopes, garbled])
def test_edited_registry_rows_release_nothing(
    recording: Recording, edit: Callable[[Session], None]
) -> None:
    """The columns are an index: whatever they say, the envelopes are verified."""
    confirmed(recording)
    with recording.stage.database.write() as session:
        edit(session)
    outcome = recording.stage.release().release(recording.command())
    assert outcome.refused is not None
    assert recording.stage.journal.release_of(recording.request_id) is None
    with recording.stage.database.read() as session:
        assert keystore.key(session, recording.request_id) is None


def test_an_inserted_key_is_not_the_journals(recording: Recording) -> None:
    """Whoever inserts a key row denies the load's publication, but activates nothing."""
    confirmed(recording)
    stage = recording.stage
    with stage.database.write() as session:
        keystore.publish_key(
            session,
            KeyRow(
                request_id=recording.request_id,
                terminal_no=ATM,
                algorithm="AES-128",
                host_block=b"chosen by the attacker",
                state=KeyState.ACTIVE,
                release_record="none",
                released_at=1,
            ),
        )
    recording.release()
    held = stage.journal.key_of(recording.request_id)
    assert held is not None
    assert held.state is JournalState.RELEASED
    assert recording.state.stage is Stage.AWAITING_RECEIPT


def test_the_key_worker_answers_by_its_two_activities(recording: Recording) -> None:
    """`release_key` and `settle_key` are all there is, and both can be repeated."""
    confirmed(recording)
    stage = recording.stage
    worker = stage.key_worker()
    outcome = worker.release_key(recording.command())
    assert worker.release_key(recording.command()) == outcome
    assert outcome.token_digest is not None
    recording.release()
    command = SettleCommand(
        request_id=recording.request_id,
        terminal_no=ATM,
        receipt=recording.filed_receipt().digest,
    )
    assert worker.settle_key(command) == worker.settle_key(command)
