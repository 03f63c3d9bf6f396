"""A live database writer who goes through every table, whatever it holds."""

import sqlite3
from typing import Final

import pytest

from ceremony.stages import Stage
from tests.support.attacked import TABLES, Bench
from tests.support.genuine import Ceremony
from tests.support.trespass import Trespasser

pytestmark = pytest.mark.asyncio(loop_scope="session")

MINE: Final = {
    "submissions": "request_id = :request",
    "verdicts": "request_id = :request",
    "loading_requests": "request_id = :request",
    "code_requests": "request_id = :request",
    "key_exports": "request_id = :request",
    "key_orders": "request_id = :request",
    "keys": "request_id = :request",
    "tokens": "request_id = :request",
    "sms_messages": "request_id = :request",
    "sms_outbox": "step LIKE :request || '/%'",
    "attempts": "scope LIKE '%' || :request || '%'",
    "audit_events": "request_id = :request",
    "sessions": "person IN (:first, :second)",
    "credential_entries": "person IN (:first, :second)",
    "terminal_entries": "terminal_no = :terminal",
    "enrolment_links": "person IN (:first, :second)",
    "revocations": "name IN (:first, :second, :terminal)",
    "registry_changes": "name IN (:first, :second, :terminal)",
    "alarm_signs": "true",
    "alarms": "true",
    "rates": "true",
    "spent_states": "true",
    "sync_runs": "true",
}
"""What in each table is about one loading request, its terminal or its people."""


async def test_rows_of_every_table_edited_swapped_and_deleted_release_nothing(
    bench: Bench, trespasser: Trespasser
) -> None:
    """Every table in turn: deleted, blanked, exchanged with those of an approved request.

    Two requests: one lacks the second administrator's approval and nothing else, the other is
    approved. After each edit the key worker is asked for the first one's key, with every mixture of
    the two requests' statements. Then the old database is put back; at the end honest people finish
    both loads.
    """
    assert set(MINE) == set(TABLES)
    load = await Ceremony.at(bench, Stage.AWAITING_REVIEW)
    _, approval = bench.codes(load.place, load.request_id)
    assert (await load.confirm(code=approval)).status_code == 409
    other = await Ceremony.at(bench, Stage.AWAITING_CONFIRMATION)
    # Else the old database would be one from before that SMS.
    await other.approval_code()
    right = bench.backup()
    for table in TABLES:
        for edit in (_delete, _blank, _take_over, _exchange):
            with bench.rows() as rows:
                rows.execute("PRAGMA foreign_keys = OFF")
                edit(rows, table, load, other)
            for answer in await trespasser.calls("release_key", _mixtures(load, other)):
                assert answer.get("token_digest") is None, (table, edit.__name__)
            assert not load.account.keys, (table, edit.__name__)
            bench.restore(right)
    assert not other.account.keys
    await load.to(Stage.LOADED)
    await other.to(Stage.LOADED)


def _values(load: Ceremony) -> dict[str, str]:
    place = load.place
    return {
        "request": load.request_id,
        "terminal": place.terminal_no,
        "first": place.first.person,
        "second": place.second.person,
    }


def _columns(rows: sqlite3.Connection, table: str) -> list[str]:
    """The columns that are not part of the primary key."""
    return [str(one[1]) for one in rows.execute(f"PRAGMA table_info({table})") if not one[5]]


def _delete(rows: sqlite3.Connection, table: str, load: Ceremony, _: Ceremony) -> None:
    rows.execute(f"DELETE FROM {table} WHERE {MINE[table]}", _values(load))  # noqa: S608


def _blank(rows: sqlite3.Connection, table: str, load: Ceremony, _: Ceremony) -> None:
    for column in _columns(rows, table):
        sql = f"UPDATE OR IGNORE {table} SET {column} = '' WHERE {MINE[table]}"  # noqa: S608
        try:
            rows.execute(sql, _values(load))
        except sqlite3.IntegrityError:
            # A CHECK or NOT NULL: what cannot be stored cannot attack.
            continue


def _take_over(rows: sqlite3.Connection, table: str, load: Ceremony, other: Ceremony) -> None:
    """Write the other request's columns over this one's, row by row."""
    for column in _columns(rows, table):
        found = rows.execute(
            f"SELECT {column} FROM {table} WHERE {MINE[table]} ORDER BY 1",  # noqa: S608
            _values(other),
        ).fetchall()
        if not found:
            continue
        values = {**_values(load), "value": found[0][0]}
        sql = f"UPDATE OR IGNORE {table} SET {column} = :value WHERE {MINE[table]}"  # noqa: S608
        rows.execute(sql, values)


def _exchange(rows: sqlite3.Connection, table: str, load: Ceremony, other: Ceremony) -> None:
    """Exchange the contents of the two requests' rows, key by key in their order."""
    columns = _columns(rows, table)
    if not columns:
        return
    names = ", ".join(columns)
    marks = ", ".join(f"{name} = ?" for name in columns)
    select = f"SELECT rowid, {names} FROM {table} WHERE {MINE[table]} ORDER BY rowid"  # noqa: S608
    mine = rows.execute(select, _values(load)).fetchall()
    theirs = rows.execute(select, _values(other)).fetchall()
    for one, another in zip(mine, theirs, strict=False):
        update = f"UPDATE OR IGNORE {table} SET {marks} WHERE rowid = ?"  # noqa: S608
        rows.execute(update, (*another[1:], one[0]))
        rows.execute(update, (*one[1:], another[0]))


def _mixtures(load: Ceremony, other: Ceremony) -> list[dict[str, str]]:
    mine, theirs = load.command(), other.command()
    return [
        mine,
        {**mine, "decision": theirs["decision"]},
        {**mine, "decision": theirs["decision"], "application": theirs["application"]},
        {**theirs, "confirmation": mine["confirmation"]},
        {**mine, "terminal_no": other.place.terminal_no},
    ]
