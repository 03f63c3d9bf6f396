"""A row edited, added, moved or deleted from outside is noticed, whichever column it is in."""

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ceremony.keylife import KeyAct
from keymanagement.changerows import ASSIGNMENTS, AT_ONCE, CHANGES, Cooling
from keymanagement.journal import Journal
from keymanagement.journalerrors import DuplicateKey, JournalConflict, JournalCorrupt
from keymanagement.journalfile import HEADS, SCHEMA_VERSION, Table
from keymanagement.journalrows import (
    CODE_TRIES,
    ENTRIES,
    KEYS,
    RELEASES,
    REVOCATIONS,
    TABLES,
    TOKENS,
    WRONG_CODES,
    CodeTry,
    KeyState,
    Reliance,
    Revoked,
)
from keymanagement.kcvseal import SealedKcvInvalid
from tests.support.journals import (
    NOW,
    REQUEST,
    digest,
    intent,
    new_key,
    new_token,
    ordered,
    released,
)

NEXT = "B" * 24
TWIN = "C" * 24
COLUMNS = [(table, name) for table in (*TABLES, HEADS) for name in (*table.columns, "mac")]
Value = str | int | bytes | None
ADDED = [table.name for table in TABLES if table.since > 1]
WAITING = Reliance(
    "terminal",
    "ATM-0001",
    2,
    digest("entry 2"),
    digest("identity"),
    epp_key=digest("EPP key"),
    assignment_digest=digest("two others"),
    may_reassign=True,
)
"""A change that still waits."""
FORMER = (
    "PRAGMA user_version = 1",
    *(f"DROP TABLE {name}" for name in ADDED),
    *(f"DELETE FROM heads WHERE name = '{name}'" for name in ADDED),  # noqa: S608
)
"""What makes a journal of version 1 of a present one."""


@pytest.fixture
def path(tmp_path: Path, kek: bytes) -> Path:
    """A closed journal with rows in every table."""
    file = tmp_path / "journal.db"
    with Journal(file, kek, create=True) as journal:
        released(journal)
        journal.settle(REQUEST, digest("receipt"), KeyState.ACTIVE, NOW)
        released(journal, request_id=NEXT, confirmation="next")
        journal.begin_release(intent("twin", request_id=TWIN))
        twin = replace(new_key(request_id=TWIN), uniqueness=new_key().uniqueness)
        with pytest.raises(DuplicateKey):
            journal.save_key_and_first_token(twin, new_token("twin", request_id=TWIN))
        journal.rely_on(
            [
                Reliance(
                    "terminal",
                    "ATM-0001",
                    1,
                    digest("entry"),
                    digest("identity"),
                    epp_key=digest("EPP key"),
                    assignment_digest=digest("two people"),
                ),
                Reliance("credential", "p-1", 1, digest("other"), digest("key")),
            ],
            cooling=AT_ONCE,
        )
        journal.observe([WAITING], Cooling(3_600, NOW))
        journal.revoke(Revoked("person", "p-9", 4, digest("revocation")))
        journal.begin_order(ordered(KeyAct.REVOKE))
        journal.finish_order(ordered(KeyAct.REVOKE).digest, NOW)
        journal.count_wrong_code(REQUEST)
        journal.begin_try(CodeTry(digest("first"), REQUEST, "0.mac"), most=1)
        journal.right_code(digest("first"))
        journal.verify()
    return file


def edit(path: Path, *statements: str, parameters: tuple[Value, ...] = ()) -> None:
    """Change the file behind the journal's back."""
    connection = sqlite3.connect(path)
    with connection:
        for statement in statements:
            connection.execute(statement, parameters)
    connection.close()


def changed(value: Value) -> Value:
    """Another value of the same type; for null, one that is not."""
    match value:
        case None:
            return "0" * 64
        case int():
            return value + 1
        case str():
            return value[:-1] + ("x" if value[-1] != "x" else "y")
        case bytes():
            return bytes([value[0] ^ 1]) + value[1:]


def opened_and_verified(path: Path, kek: bytes) -> None:
    """Open the journal and check every row."""
    with Journal(path, kek) as journal:
        journal.verify()


@pytest.mark.parametrize(("table", "column"), COLUMNS, ids=lambda part: getattr(part, "name", part))
def test_an_edited_column_is_noticed(table: Table, column: str, path: Path, kek: bytes) -> None:
    """A change of any one column of any one table is JournalCorrupt."""
    connection = sqlite3.connect(path)
    (rowid, value) = connection.execute(
        f"SELECT rowid, {column} FROM {table.name} ORDER BY rowid LIMIT 1"  # noqa: S608
    ).fetchone()
    connection.close()
    statement = f"UPDATE {table.name} SET {column} = ? WHERE rowid = ?"  # noqa: S608
    edit(path, statement, parameters=(changed(value), rowid))
    with pytest.raises(JournalCorrupt):
        opened_and_verified(path, kek)


Use = Callable[[Journal], object]


@pytest.mark.parametrize(
    ("table", "column", "use"),
    [
        (RELEASES, "terminal_no", lambda journal: journal.release_of(REQUEST)),
        (RELEASES, "epp_fingerprint", lambda journal: journal.begin_release(intent())),
        (RELEASES, "terminal_no", released),
        (KEYS, "state", lambda journal: journal.key_of(REQUEST)),
        (KEYS, "kcv_sealed", lambda journal: journal.kcv_of(REQUEST)),
        (KEYS, "host_block", lambda journal: journal.save_rewrap(new_token("second"))),
        (
            KEYS,
            "receipt_digest",
            lambda journal: journal.settle(REQUEST, digest("receipt"), KeyState.ACTIVE, NOW),
        ),
        (
            RELEASES,
            "intent_at",
            lambda journal: journal.settle(NEXT, digest("next"), KeyState.ACTIVE, NOW),
        ),
        (TOKENS, "value", lambda journal: journal.token_for(digest("first"))),
        (TOKENS, "krd_nonce", lambda journal: journal.tokens_of(REQUEST)),
        (ENTRIES, "seq", lambda journal: journal.known_seqs("terminal", ["ATM-0001"])),
        (
            ENTRIES,
            "digest",
            lambda journal: journal.observe(
                [Reliance("terminal", "ATM-0001", 2, digest("x"), digest("x"))], cooling=AT_ONCE
            ),
        ),
        (CHANGES, "seen_at", lambda journal: journal.rely_on([WAITING], cooling=AT_ONCE)),
        (
            CHANGES,
            "withdrawn",
            lambda journal: journal.withdraw(
                "terminal", "ATM-0001", WAITING.digest, Cooling(3_600, NOW)
            ),
        ),
        (
            ASSIGNMENTS,
            "assignment_digest",
            lambda journal: journal.observe([replace(WAITING, seq=3)], cooling=AT_ONCE),
        ),
        (
            REVOCATIONS,
            "seq",
            lambda journal: journal.revoke(Revoked("person", "p-9", 5, digest("another"))),
        ),
        (
            REVOCATIONS,
            "seq",
            lambda journal: journal.rely_on(
                [Reliance("person", "p-9", 5, digest("entry"), digest("key"))], cooling=AT_ONCE
            ),
        ),
        (WRONG_CODES, "used", lambda journal: journal.wrong_codes(REQUEST)),
        (WRONG_CODES, "used", lambda journal: journal.count_wrong_code(REQUEST)),
        (CODE_TRIES, "wrong", lambda journal: journal.wrong_tries(REQUEST)),
        (CODE_TRIES, "wrong", lambda journal: journal.right_code(digest("first"))),
        (
            CODE_TRIES,
            "wrong",
            lambda journal: journal.begin_try(CodeTry(digest("next"), REQUEST, "0.mac"), most=1),
        ),
        (
            ENTRIES,
            "seq",
            lambda journal: journal.rely_on(
                [Reliance("terminal", "ATM-0001", 1, digest("entry"), digest("identity"))],
                cooling=AT_ONCE,
            ),
        ),
    ],
)
def test_an_edited_row_is_noticed_when_it_is_used(
    table: Table, column: str, use: Use, path: Path, kek: bytes
) -> None:
    """While the journal is open, whoever reads an edited row gets JournalCorrupt, not the row."""
    with Journal(path, kek) as journal:
        connection = sqlite3.connect(path)
        (rowid, value) = connection.execute(
            f"SELECT rowid, {column} FROM {table.name} ORDER BY rowid LIMIT 1"  # noqa: S608
        ).fetchone()
        connection.close()
        statement = f"UPDATE {table.name} SET {column} = ? WHERE rowid = ?"  # noqa: S608
        edit(path, statement, parameters=(changed(value), rowid))
        with pytest.raises(JournalCorrupt):
            use(journal)


def test_a_text_that_is_not_utf8_is_noticed(path: Path, kek: bytes) -> None:
    """Bytes that are no text are an edited row, not a decoding error."""
    edit(path, "UPDATE releases SET terminal_no = CAST(x'ff' AS TEXT)")
    with pytest.raises(JournalCorrupt):
        opened_and_verified(path, kek)


@pytest.mark.parametrize("table", ["tokens", "entries", "revocations"])
def test_a_deleted_row_is_noticed_at_the_start(table: str, path: Path, kek: bytes) -> None:
    """A row that is gone is missed when the journal is opened."""
    edit(path, f"DELETE FROM {table} WHERE rowid = (SELECT min(rowid) FROM {table})")  # noqa: S608
    with pytest.raises(JournalCorrupt):
        Journal(path, kek)


def test_a_deleted_release_does_not_happen_again(path: Path, kek: bytes) -> None:
    """All traces of a release deleted under a running key worker: no second key for it."""
    with Journal(path, kek) as journal:
        traces = [f"DELETE FROM {name} WHERE request_id = ?" for name in _OF_REQUESTS]  # noqa: S608
        edit(path, *traces, parameters=(REQUEST,))
        with pytest.raises(JournalCorrupt):
            released(journal)


def test_an_added_row_is_noticed(path: Path, kek: bytes) -> None:
    """A copy of a genuine row under another name has a wrong MAC, and is one too many."""
    columns = ", ".join((*ENTRIES.columns, "mac")).replace("name", "'p-2'", 1)
    edit(path, f"INSERT INTO entries SELECT {columns} FROM entries LIMIT 1")  # noqa: S608
    with pytest.raises(JournalCorrupt):
        Journal(path, kek)


def test_a_sealed_kcv_moved_to_another_request_does_not_open(path: Path, kek: bytes) -> None:
    """Even with the MAC key, a sealed KCV is of its own request only."""
    with Journal(path, kek) as journal:
        with journal._file.transaction():
            theirs = journal._file.get(KEYS, request_id=NEXT)
            ours = journal._file.get(KEYS, request_id=REQUEST)
            assert theirs is not None
            assert ours is not None
            journal._file.update(KEYS, {**ours, "kcv_sealed": theirs["kcv_sealed"]})
        with pytest.raises(SealedKcvInvalid):
            journal.kcv_of(REQUEST)


def test_a_journal_of_another_version_is_not_opened(path: Path, kek: bytes) -> None:
    """A later version's journal is not read by this one."""
    edit(path, f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(JournalCorrupt):
        Journal(path, kek)


def test_a_journal_of_the_former_version_is_brought_up(path: Path, kek: bytes) -> None:
    """One without revocations opens, keeps all that it holds, and remembers revocations."""
    edit(path, *FORMER)
    with Journal(path, kek) as journal:
        journal.verify()
        assert journal.key_of(REQUEST) is not None
        assert journal.known_seqs("terminal", ["ATM-0001"]) == {"ATM-0001": 1}
        assert journal.revoke(Revoked("person", "p-9", 4, digest("revocation")))
    with Journal(path, kek) as again:
        assert not again.revoke(Revoked("person", "p-9", 4, digest("revocation")))
        again.verify()


def test_a_former_journal_with_deleted_rows_is_not_brought_up(path: Path, kek: bytes) -> None:
    """What was missed at the start before is missed on the way up as well."""
    edit(path, *FORMER, "DELETE FROM entries")
    with pytest.raises(JournalCorrupt):
        Journal(path, kek)


def test_an_error_shows_no_row(path: Path, kek: bytes) -> None:
    """SQLite's own error text, which may quote a row, does not reach the caller."""
    with (
        Journal(path, kek) as journal,
        pytest.raises(JournalConflict) as caught,
        journal._file.transaction(),
    ):
        row = journal._file.get(KEYS, request_id=REQUEST)
        assert row is not None
        journal._file.insert(KEYS, row)
    assert caught.value.__cause__ is None
    assert REQUEST not in str(caught.value)


_OF_REQUESTS = ("tokens", "keys", "releases")
