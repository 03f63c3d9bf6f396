"""A database writer's hand on either database: the attacks' SQL, written as SQLite has it.

On PostgreSQL the few words that differ are put as it has them, and what it refuses to store is
`sqlite3.IntegrityError` there too, so that an attack reads the same and means the same.
"""

import re
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Self, cast

import psycopg

from records.engines import sqlite_path
from records.notices import CHANNEL
from records.schema import METADATA

PATIENCE: Final = 15
_Values = Sequence[Any] | Mapping[str, Any]

_WORDS: Final = (
    (r"x'([0-9a-f]*)'", r"'\\x\1'::bytea"),
    (r"PRAGMA foreign_keys = OFF", "SET session_replication_role = replica"),
    (
        r"PRAGMA table_info\((\w+)\)",
        r"SELECT 0, c.column_name, c.data_type, 0, NULL, (SELECT count(*) FROM "
        r"information_schema.key_column_usage k WHERE k.table_name = '\1' AND "
        r"k.constraint_name = 'pk_\1' AND k.column_name = c.column_name) "
        r"FROM information_schema.columns c WHERE c.table_name = '\1' ORDER BY ordinal_position",
    ),
    (
        r"SELECT name FROM sqlite_master WHERE type = 'table'",
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public'",
    ),
    (r"SELECT rowid", "SELECT ctid::text"),
    (r"ORDER BY rowid", "ORDER BY ctid"),
    (r"rowid = \?", "ctid = ?::tid"),
    (r"UPDATE OR IGNORE", "UPDATE"),
    (r"%", "%%"),
    (r"\?", "%s"),
    (r"(?<!:):([a-z]+)\b", r"%(\1)s"),
)


class PostgresqlHand:
    """As much of an `sqlite3.Connection` as the attacks use."""

    def __init__(self, url: str) -> None:
        """Connect."""
        self._connection = psycopg.connect(url.replace("+psycopg", "", 1))

    def execute(self, sql: str, values: _Values = ()) -> "psycopg.Cursor[tuple[Any, ...]]":
        """Do one statement; what is refused undoes itself only."""
        cursor = self._connection.cursor()
        try:
            with self._connection.transaction():
                cursor.execute(_postgresql(sql).encode(), _given(values))
        except psycopg.errors.UniqueViolation as error:
            if "OR IGNORE" not in sql:
                raise sqlite3.IntegrityError(str(error)) from error
        except (psycopg.IntegrityError, psycopg.DataError) as error:
            raise sqlite3.IntegrityError(str(error)) from error
        return cursor

    def executemany(self, sql: str, rows: Iterable[_Values]) -> None:
        """Do one statement for each row, all in one go; if one is refused, none was done."""
        cursor = self._connection.cursor()
        try:
            with self._connection.transaction():
                cursor.executemany(_postgresql(sql).encode(), [_given(row) for row in rows])
        except (psycopg.IntegrityError, psycopg.DataError) as error:
            raise sqlite3.IntegrityError(str(error)) from error

    def commit(self) -> None:
        """Commit, and wake who waits for a change, as a change of the file would."""
        self._connection.execute(f"NOTIFY {CHANNEL}".encode())
        self._connection.commit()

    def rollback(self) -> None:
        """Undo what was not committed."""
        self._connection.rollback()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def __enter__(self) -> Self:
        """Go on."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()


def _postgresql(sql: str) -> str:
    if sql.startswith("INSERT OR IGNORE"):
        return _postgresql(sql.replace(" OR IGNORE", "", 1)) + " ON CONFLICT DO NOTHING"
    if sql.startswith("INSERT OR REPLACE"):
        key, *columns = sql[sql.index("(") + 1 : sql.index(")")].split(", ")
        changes = ", ".join(f"{name} = EXCLUDED.{name}" for name in columns)
        insert = _postgresql(sql.replace(" OR REPLACE", "", 1))
        return f"{insert} ON CONFLICT ({key}) DO UPDATE SET {changes}"
    for theirs, ours in _WORDS:
        sql = re.sub(theirs, ours, sql)
    return sql


def _given(values: _Values) -> _Values:
    if isinstance(values, Mapping):
        return {name: _literal(value) for name, value in values.items()}
    return [_literal(value) for value in values]


def _literal(value: Any) -> Any:
    # As a text without a type, a number goes into any column, as on SQLite.
    if isinstance(value, StrEnum):
        return value.value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


@contextmanager
def writing(url: str, *, triggers: bool) -> Iterator[sqlite3.Connection]:
    """Write any SQL, committed at the end; without `triggers` none of them hinders.

    Whoever can write to the file can drop its triggers; they are put back afterwards.
    """
    path = sqlite_path(url)
    if path is not None:
        with _writing_file(path, triggers=triggers) as connection:
            yield connection
        return
    with PostgresqlHand(url) as hand:
        if not triggers:
            hand.execute("SET session_replication_role = replica")
        yield cast(sqlite3.Connection, hand)
        hand.commit()


@contextmanager
def _writing_file(path: Path, *, triggers: bool) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path, timeout=PATIENCE)
    guards = [] if triggers else _triggers(connection)
    try:
        for name, _ in guards:
            connection.execute(f"DROP TRIGGER {name}")
        yield connection
        connection.commit()
    finally:
        connection.rollback()
        for _, text in guards:
            connection.execute(text)
        connection.close()


def _triggers(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    found = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
    return [(str(name), str(text)) for name, text in found]


@contextmanager
def reading(url: str) -> Iterator[sqlite3.Connection]:
    """Read by any SQL."""
    path = sqlite_path(url)
    if path is None:
        with PostgresqlHand(url) as hand:
            yield cast(sqlite3.Connection, hand)
        return
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=PATIENCE)
    try:
        yield connection
    finally:
        connection.close()


def backup(url: str) -> sqlite3.Connection:
    """A copy in memory of the whole database as it is now."""
    copy = sqlite3.connect(":memory:")
    with reading(url) as live:
        if sqlite_path(url) is not None:
            live.backup(copy)
            return copy
        for table in METADATA.sorted_tables:
            cursor = live.execute(f"SELECT * FROM {table.name}")  # noqa: S608
            names = [column[0] for column in cursor.description]
            marks = ", ".join("?" for _ in names)
            copy.execute(f"CREATE TABLE {table.name} ({', '.join(names)})")
            copy.executemany(
                f"INSERT INTO {table.name} VALUES ({marks})",  # noqa: S608
                [_plain_row(row) for row in cursor],
            )
    return copy


def _plain_row(row: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(bytes(one) if isinstance(one, memoryview) else one for one in row)


def restore(url: str, copy: sqlite3.Connection) -> None:
    """Put a copy back, under the running processes."""
    path = sqlite_path(url)
    if path is not None:
        live = sqlite3.connect(path, timeout=PATIENCE)
        try:
            copy.backup(live)
        finally:
            live.close()
        return
    with writing(url, triggers=False) as rows:
        for table in METADATA.sorted_tables:
            select = f"SELECT * FROM {table.name}"  # noqa: S608
            found = copy.execute(select)
            right, there = found.fetchall(), (_plain_row(one) for one in rows.execute(select))
            if Counter(right) == Counter(there):
                continue
            marks = ", ".join("?" for _ in found.description)
            rows.execute(f"DELETE FROM {table.name}")  # noqa: S608
            rows.executemany(f"INSERT INTO {table.name} VALUES ({marks})", right)  # noqa: S608
