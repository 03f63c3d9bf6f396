"""Exports on record: found once, due until they are answered, erased when nobody needs them."""

import json
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from ceremony.keyexport import ExportState
from records import audit, keyexports, keystore
from records.database import Database
from records.keyexports import DueExport
from records.tables.key import KeyRow, KeyState
from records.tables.key_export import KeyExportRow

NOW = 1_790_000_000


def put_key(
    database: Database,
    request_id: str,
    state: KeyState = KeyState.ACTIVE,
    kcv: str | None = "08793e",
) -> None:
    """Put a key on record; without `kcv`, one that officers settled."""
    with database.write() as session:
        keystore.publish_key(
            session,
            KeyRow(
                request_id=request_id,
                terminal_no=f"ATM-{request_id}",
                algorithm="AES-128",
                host_block=b"block",
                state=state,
                kcv=kcv,
                release_record="record",
                released_at=NOW,
            ),
        )


def export_of(request_id: str, **fields: Any) -> KeyExportRow:
    """An export that was just made."""
    made = {
        "request_id": request_id,
        "terminal_no": f"ATM-{request_id}",
        "algorithm": "AES-128",
        "block": f"block of {request_id}",
        "block_digest": f"digest of {request_id}",
        "export_key_check": "0123456789",
        "state": ExportState.PENDING,
        "exported_at": NOW,
        **fields,
    }
    return KeyExportRow(**made)


def test_the_first_export_of_a_request_stays(database: Database) -> None:
    """A second one changes nothing until the first is forgotten."""
    with database.write() as session:
        assert keyexports.publish(session, export_of("a"))[1]
        row, created = keyexports.publish(session, export_of("a", block="another"))
        assert (row.block, created) == ("block of a", False)
        assert keyexports.forget(session, "a")
        assert not keyexports.forget(session, "a")
        assert keyexports.find(session, "a") is None


def test_active_keys_are_due_until_they_are_answered(database: Database) -> None:
    """In the order of their ids, page by page; of other states, or without a KCV, none is."""
    for name in "abcd":
        put_key(database, name)
    put_key(database, "r", KeyState.RELEASED)
    put_key(database, "u", KeyState.UNCONFIRMED)
    put_key(database, "o", kcv=None)
    with database.write() as session:
        for name, state in (("b", ExportState.SENT), ("c", ExportState.REFUSED)):
            keyexports.publish(session, export_of(name, state=state))
        keyexports.publish(session, export_of("d", state=ExportState.CONFIRMED))
    with database.read() as session:
        assert keyexports.due(session, after="", limit=9) == [
            DueExport("a", wrapped=False),
            DueExport("b", wrapped=True),
        ]
        assert keyexports.due(session, after="", limit=1) == [DueExport("a", wrapped=False)]
        assert keyexports.due(session, after="a", limit=9) == [DueExport("b", wrapped=True)]


def test_an_answer_settles_an_open_export_once(database: Database) -> None:
    """Attempts are counted while it is open; afterwards nothing moves it."""
    with database.write() as session:
        keyexports.publish(session, export_of("a"))
        for _ in range(2):
            assert keyexports.sent(session, "a", now=NOW + 1)
        refused = ExportState.REFUSED
        assert not keyexports.settle(session, "a", "another", refused, "x", now=NOW + 2)
        assert keyexports.settle(session, "a", "digest of a", refused, "http-409", now=NOW + 2)
        confirmed = ExportState.CONFIRMED
        assert not keyexports.settle(session, "a", "digest of a", confirmed, None, now=NOW + 3)
        assert not keyexports.sent(session, "a", now=NOW + 3)
        assert not keyexports.sent(session, "no such", now=NOW + 3)
    with database.read() as session:
        row = keyexports.find(session, "a")
    assert row is not None
    assert (row.state, row.reason, row.attempts) == (ExportState.REFUSED, "http-409", 2)
    assert (row.sent_at, row.answered_at, row.block) == (NOW + 1, NOW + 2, "block of a")


def test_a_block_is_erased_when_nobody_needs_it(database: Database) -> None:
    """Confirmed, or its key withdrawn: the digest stays."""
    put_key(database, "b")
    with database.write() as session:
        for name in "ab":
            keyexports.publish(session, export_of(name))
        keyexports.settle(session, "a", "digest of a", ExportState.CONFIRMED, None, now=NOW)
        keystore.withdraw(session, "b", erase=False)
    with database.read() as session:
        rows = keyexports.page(session, list(ExportState), after="", limit=9)
        assert [(row.block, row.block_digest) for row in rows] == [
            ("", "digest of a"),
            ("", "digest of b"),
        ]
        assert keyexports.counts(session) == {ExportState.CONFIRMED: 1, ExportState.PENDING: 1}
        assert keyexports.page(session, keyexports.OPEN, after="b", limit=9) == []


def test_open_exports_of_proved_keys_are_deliverable(database: Database) -> None:
    """Page by page; not one that is settled or erased, or whose key is not active or has no KCV."""
    for name in "abcd":
        put_key(database, name)
    put_key(database, "r", KeyState.RETIRED)
    put_key(database, "o", kcv=None)
    with database.write() as session:
        for name in "ar":
            keyexports.publish(session, export_of(name))
        keyexports.publish(session, export_of("b", state=ExportState.SENT))
        keyexports.publish(session, export_of("c", state=ExportState.REFUSED))
        keyexports.publish(session, export_of("d", block=""))
        for name in ("o", "no key"):
            keyexports.publish(session, export_of(name))
    with database.read() as session:
        names = [one.request_id for one in keyexports.deliverable(session, after="", limit=9)]
        assert names == ["a", "b"]
        (second,) = keyexports.deliverable(session, after="a", limit=1)
        assert second.request_id == "b"


@pytest.mark.parametrize("way", ["set_state", "retire_active", "follow_order"])
def test_a_key_that_is_active_no_more_has_no_open_export(database: Database, way: str) -> None:
    """Whatever ended it; a confirmed one stays, and the trail says how far each had come."""
    for name, state in zip("abcd", ExportState, strict=True):
        put_key(database, name)
        with database.write() as session:
            keyexports.publish(session, export_of(name, state=state))
        with database.write() as session:
            if way == "set_state":
                before = (KeyState.ACTIVE,)
                assert keystore.set_state(session, name, before, KeyState.RETIRED, now=NOW)
            elif way == "retire_active":
                assert keystore.retire_active(
                    session, f"ATM-{name}", except_request_id="x", now=NOW
                )
            else:
                assert keystore.follow_order(session, name, KeyState.COMPROMISED, None, at=NOW)
    with database.read() as session:
        left = keyexports.page(session, list(ExportState), after="", limit=9)
        assert [one.request_id for one in left] == ["c"]
        for name, state in zip("abcd", ExportState, strict=True):
            said = [(one.event, json.loads(one.detail)) for one in audit.of_request(session, name)]
            detail = {"block": f"digest of {name}", "state": state.value}
            assert said == ([] if name == "c" else [("key-export-withdrawn", detail)])


def test_an_active_key_keeps_its_export(database: Database) -> None:
    """Neither its own activation nor another key's takes it away."""
    put_key(database, "a", KeyState.UNCONFIRMED)
    with database.write() as session:
        keyexports.publish(session, export_of("a"))
        before = (KeyState.UNCONFIRMED,)
        assert keystore.set_state(session, "a", before, KeyState.ACTIVE, now=NOW)
        assert not keystore.retire_active(session, "ATM-a", except_request_id="a", now=NOW)
        assert keystore.follow_order(session, "a", KeyState.ACTIVE, None, at=NOW)
        assert keyexports.find(session, "a") is not None


def test_the_database_holds_the_rules(database: Database) -> None:
    """No state that there is not, and no negative count."""
    with pytest.raises(IntegrityError), database.write() as session:
        keyexports.publish(session, export_of("a", attempts=-1))
    with database.read() as session:
        assert keyexports.find(session, "a") is None
