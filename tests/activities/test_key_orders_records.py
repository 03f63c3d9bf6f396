"""Officers' orders on real records: what is published and erased, and what editing rows does."""

import json
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, delete, select, update

from activities.key_archive import RecordsArchive
from activities.key_worker import KeyWorker
from ceremony.encoding import b64
from ceremony.keylife import LOST
from ceremony.messages import KeyOrderAnswer, SettleCommand, Settlement, SettlementStep
from ceremony.reasons import Reason
from ceremony.stages import Stage
from keymanagement.journalrows import HeldKey, IssuedToken
from records import audit, keyorders, keystore
from records.tables.audit_event import AuditEventRow
from records.tables.key import KeyRow, KeyState
from records.tables.key_order import KeyOrderRow
from tests.support.backstage import Backstage
from tests.support.keyorders import noted
from tests.support.recording import Recording

ATM = "ATM-0001"


@pytest.fixture
def keys(stage: Backstage) -> KeyWorker:
    """The key worker's activities."""
    return stage.key_worker()


def key_of(stage: Backstage, request_id: str) -> KeyRow:
    """The published key."""
    with stage.database.read() as session:
        row = keystore.key(session, request_id)
    assert row is not None
    return row


def values_of(stage: Backstage, request_id: str) -> list[str]:
    """What the published tokens hold."""
    with stage.database.read() as session:
        return [one.value for one in keystore.tokens_of(session, request_id)]


def orders_of(stage: Backstage, request_id: str) -> list[KeyOrderRow]:
    """The orders on record."""
    with stage.database.read() as session:
        return list(keyorders.of_request(session, request_id))


def told(stage: Backstage, request_id: str, *names: str) -> list[AuditEventRow]:
    """The audit trail's events of these names."""
    with stage.database.read() as session:
        return [one for one in audit.of_request(session, request_id) if one.event in names]


def order(keys: KeyWorker, recording: Recording, what: str, **fields: object) -> KeyOrderAnswer:
    """Have two officers order something about a recording's key."""
    return keys.order_key(noted(recording.world, what, recording.request_id, **fields))


def settle(keys: KeyWorker, recording: Recording, receipt: str | None) -> Settlement:
    """Settle a recording's key as its workflow would."""
    command = SettleCommand(request_id=recording.request_id, terminal_no=ATM, receipt=receipt)
    return keys.settle_key(command)


def unconfirmed(keys: KeyWorker, recording: Recording) -> Recording:
    """A key whose receipt never came."""
    recording.released()
    settle(keys, recording, None)
    return recording


def test_a_settled_key_is_published_with_its_order(stage: Backstage, keys: KeyWorker) -> None:
    """State, time and order in its row, the order itself on record, one event; no KCV."""
    old = Recording.opened(stage)
    old.released()
    settle(keys, old, old.filed_receipt().digest)
    stage.world.pass_time(10)
    recording = unconfirmed(keys, Recording.opened(stage))
    text = noted(stage.world, "settle-loaded", recording.request_id, reason="seen there")
    for _ in range(2):
        assert keys.order_key(text) == KeyOrderAnswer(state=KeyState.ACTIVE)
        stage.world.pass_time(5)
    row = key_of(stage, recording.request_id)
    (on_record,) = orders_of(stage, recording.request_id)
    (event,) = told(stage, recording.request_id, "key-order-done")
    assert (row.state, row.kcv, row.order_digest) == (KeyState.ACTIVE, None, on_record.digest)
    assert row.activated_at == on_record.recorded_at == event.at
    assert (on_record.envelope, on_record.act) == (text.order, "settle-loaded")
    assert (on_record.state, on_record.refused) == ("active", None)
    assert event.actor == " ".join(sorted(one.kid for one in stage.world.officers[:2]))
    assert json.loads(event.detail)["reason"] == "seen there"
    assert key_of(stage, old.request_id).state is KeyState.RETIRED


def test_a_destroyed_key_is_erased_and_its_row_stays(recording: Recording, keys: KeyWorker) -> None:
    """No block and no token value is left in the rows, nor in any byte of SQLite's files."""
    stage = unconfirmed(keys, recording).stage
    block = key_of(stage, recording.request_id).host_block
    (value,) = values_of(stage, recording.request_id)
    assert block
    assert order(keys, recording, "destroy").state is KeyState.DESTROYED
    row = key_of(stage, recording.request_id)
    assert (row.state, row.host_block, row.destroyed_at) == (
        KeyState.DESTROYED,
        None,
        stage.world.now,
    )
    assert row.release_record
    assert values_of(stage, recording.request_id) == [""]
    path = stage.database.sqlite_path
    if path is not None:
        for file in (path, path.with_name(f"{path.name}-wal")):
            assert block not in file.read_bytes()
            assert value[:64].encode() not in file.read_bytes()
            assert value[-64:].encode() not in file.read_bytes()


def test_a_compromised_keys_token_is_withdrawn(recording: Recording, keys: KeyWorker) -> None:
    """One officer's word: no further token, and its receipt leaves the request unconfirmed."""
    recording.released()
    stage = recording.stage
    filed = recording.filed_receipt()
    recording.record(filed)
    assert order(keys, recording, "revoke", officers=1).state is KeyState.COMPROMISED
    row = key_of(stage, recording.request_id)
    assert (row.state, row.compromised_at) == (KeyState.COMPROMISED, stage.world.now)
    assert row.host_block
    assert values_of(stage, recording.request_id) == [""]
    settlement = settle(keys, recording, filed.digest)
    assert settlement == Settlement(active=False, reason=Reason.KEY_COMPROMISED)
    step = SettlementStep(state=recording.state, settlement=settlement)
    after = recording.records.record_settlement(step)
    assert (after.stage, after.reason) == (Stage.UNCONFIRMED, Reason.KEY_COMPROMISED)


def test_a_refused_order_is_on_record_and_moves_nothing(
    recording: Recording, keys: KeyWorker
) -> None:
    """With its reason, and no row of another terminal is touched by one that names it."""
    recording.released()
    settle(keys, recording, recording.filed_receipt().digest)
    stage = recording.stage
    before = key_of(stage, recording.request_id)
    answer = order(keys, recording, "destroy", terminal_no="ATM-0002")
    assert answer == KeyOrderAnswer(refused=Reason.WRONG_TERMINAL)
    (on_record,) = orders_of(stage, recording.request_id)
    (event,) = told(stage, recording.request_id, "key-order-refused")
    assert (on_record.state, on_record.refused) == (None, "wrong-terminal")
    assert event.reason == "wrong-terminal"
    assert key_of(stage, recording.request_id) == before


def test_too_few_officers_leave_no_trace_of_an_order(recording: Recording, keys: KeyWorker) -> None:
    """What is not verified is neither carried out nor put on record."""
    unconfirmed(keys, recording)
    answer = order(keys, recording, "destroy", officers=1)
    assert answer == KeyOrderAnswer(refused=Reason.OFFICERS_MISSING)
    assert orders_of(recording.stage, recording.request_id) == []


def edit(stage: Backstage, request_id: str, **values: object) -> None:
    """Edit a published key."""
    with stage.database.write() as session:
        session.exec(update(KeyRow).where(col(KeyRow.request_id) == request_id).values(**values))


@pytest.mark.parametrize("state", list(KeyState))
def test_a_row_that_says_another_state_gains_nothing(
    recording: Recording, keys: KeyWorker, state: KeyState
) -> None:
    """Whatever the copy says: the journal judges, and what it did is published over it.

    But for a row that says the key is lost: that denies, and nothing brings it back.
    """
    stage = unconfirmed(keys, recording).stage
    edit(stage, recording.request_id, state=state, order_digest="aa" * 32)
    assert order(keys, recording, "settle-not-loaded").state is KeyState.RETIRED
    shown = state if state in LOST else KeyState.RETIRED
    assert key_of(stage, recording.request_id).state is shown
    edit(stage, recording.request_id, state=state)
    refused = order(keys, recording, "settle-loaded")
    assert refused == KeyOrderAnswer(refused=Reason.KEY_STATE_REFUSED)
    assert settle(keys, recording, recording.filed_receipt().digest).kcv is None


@pytest.mark.parametrize("lost", ["revoke", "destroy"])
def test_a_late_publication_brings_no_lost_key_back(
    recording: Recording, keys: KeyWorker, lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two workers the slower one says `active`: the key stays lost, its successor active."""
    stage = unconfirmed(keys, recording).stage
    published: list[tuple[Any, ...]] = []
    publish = RecordsArchive.publish_order

    def heard(self: RecordsArchive, *said: Any) -> None:
        published.append(said)
        publish(self, *said)

    monkeypatch.setattr(RecordsArchive, "publish_order", heard)
    assert order(keys, recording, "settle-loaded").state is KeyState.ACTIVE
    state = order(keys, recording, lost).state
    following = Recording.opened(stage)
    following.released()
    assert settle(keys, following, following.filed_receipt().digest).active
    before = key_of(stage, recording.request_id)
    publish(RecordsArchive(stage.database), *published[0])
    assert key_of(stage, recording.request_id) == before
    assert before.state == state
    assert key_of(stage, following.request_id).state is KeyState.ACTIVE


@pytest.mark.parametrize("lost", [KeyState.COMPROMISED, KeyState.DESTROYED])
def test_a_lost_keys_row_goes_one_way_only(
    recording: Recording, keys: KeyWorker, lost: KeyState
) -> None:
    """Of all states a compromised key's row takes `destroyed` only, a destroyed one's none."""
    stage = unconfirmed(keys, recording).stage
    for state in KeyState:
        edit(stage, recording.request_id, state=lost)
        with stage.database.write() as session:
            moved = keystore.follow_order(session, recording.request_id, state, None, at=1)
        assert moved is (state in {lost, KeyState.DESTROYED})
        after = key_of(stage, recording.request_id).state
        assert after is (state if moved else lost)


def test_a_token_published_after_the_destruction_is_erased(
    recording: Recording, keys: KeyWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Revoked and destroyed while its first token was on the way: neither block nor value stays."""
    stage = recording.stage
    recording.apply()
    recording.decide()
    recording.confirm()
    publish, late = RecordsArchive.publish_token, []

    def overtaken(self: RecordsArchive, no: str, key: HeldKey, token: IssuedToken) -> None:
        assert order(keys, recording, "revoke").state is KeyState.COMPROMISED
        assert order(keys, recording, "destroy").state is KeyState.DESTROYED
        late.append((key.host_block, b64(token.value).encode()))
        publish(self, no, key, token)

    monkeypatch.setattr(RecordsArchive, "publish_token", overtaken)
    outcome = stage.release().release(recording.command())
    assert outcome.refused is Reason.KEY_DESTROYED
    row = key_of(stage, recording.request_id)
    assert (row.state, row.host_block) == (KeyState.DESTROYED, None)
    assert values_of(stage, recording.request_id) == [""]
    path = stage.database.sqlite_path
    if path is not None:
        block, value = late[0]
        for file in (path, path.with_name(f"{path.name}-wal")):
            assert block not in file.read_bytes()
            assert value[:64] not in file.read_bytes()


def test_a_planted_active_key_does_not_stand_in_the_way(
    recording: Recording, keys: KeyWorker
) -> None:
    """A made-up row of the terminal is put aside when officers' order is published."""
    stage = unconfirmed(keys, recording).stage
    with stage.database.write() as session:
        planted = KeyRow(
            request_id="planted",
            terminal_no=ATM,
            algorithm="AES-128",
            host_block=b"x",
            state=KeyState.ACTIVE,
            release_record="none",
            released_at=1,
        )
        keystore.publish_key(session, planted)
    assert order(keys, recording, "settle-loaded").state is KeyState.ACTIVE
    assert key_of(stage, recording.request_id).state is KeyState.ACTIVE
    assert key_of(stage, "planted").state is KeyState.RETIRED


def test_a_destroyed_key_put_back_by_a_restore_is_erased_again(
    recording: Recording, keys: KeyWorker
) -> None:
    """The records restored from before: the same order, or the next settlement, erases it."""
    stage = unconfirmed(keys, recording).stage
    text = noted(stage.world, "destroy", recording.request_id)
    keys.order_key(text)
    for again in (lambda: keys.order_key(text), lambda: settle(keys, recording, None)):
        edit(stage, recording.request_id, state=KeyState.UNCONFIRMED, host_block=b"restored")
        again()
        row = key_of(stage, recording.request_id)
        assert (row.state, row.host_block) == (KeyState.DESTROYED, None)


def test_an_order_on_record_is_never_changed(recording: Recording, keys: KeyWorker) -> None:
    """Neither updated nor deleted by any statement; publishing it again leaves it as it is."""
    unconfirmed(keys, recording)
    order(keys, recording, "revoke")
    before = orders_of(recording.stage, recording.request_id)
    for change in (update(KeyOrderRow).values(state="active"), delete(KeyOrderRow)):
        with (
            pytest.raises(IntegrityError, match="is refused"),
            recording.stage.database.write() as session,
        ):
            session.exec(change)
    assert orders_of(recording.stage, recording.request_id) == before


def test_a_key_made_twice_is_told_once(stage: Backstage) -> None:
    """The audit trail names both requests, however often the key worker says so."""
    archive = RecordsArchive(stage.database)
    for _ in range(2):
        archive.publish_duplicate("second", ATM, "first", stage.world.now)
    archive.publish_duplicate("second", ATM, "another", stage.world.now)
    found = told(stage, "second", "duplicate-key")
    assert [json.loads(one.detail) for one in found] == [{"first": "first"}, {"first": "another"}]
    assert {one.reason for one in found} == {"duplicate-key"}


def test_keys_are_found_by_terminal_and_state(stage: Backstage, keys: KeyWorker) -> None:
    """In pages, by request id."""
    for _ in range(3):
        unconfirmed(keys, Recording.opened(stage))
        stage.world.pass_time(10)
    with stage.database.read() as session:
        every = session.exec(select(KeyRow.request_id).order_by(col(KeyRow.request_id))).all()
        pages = [_page(session, after) for after in ("", every[1])]
        assert pages == [list(every[:2]), [every[2]]]
        assert not keystore.search(session, terminal_no="ATM-0002")
        assert not keystore.search(session, state=KeyState.ACTIVE)


def _page(session: Session, after: str) -> list[str]:
    rows = keystore.search(
        session, terminal_no=ATM, state=KeyState.UNCONFIRMED, after=after, limit=2
    )
    return [row.request_id for row in rows]
