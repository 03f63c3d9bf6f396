"""The journal's file: SQLite whose every row carries a MAC, so that an edited row is noticed.

The file belongs to the key worker alone. WAL, synchronous=FULL (what is committed survives a power
cut), every write under BEGIN IMMEDIATE (two processes never both believe to be first), one
connection behind a lock.

A row's MAC is HMAC-SHA256 under a key derived from the KEK, over the table's name and every
column, each with its type and length: no two rows read alike. A `heads` row per table counts its
rows: a deleted row is noticed at the next insertion and at the next start. A whole file put back
from an older copy is not noticed here; that is what the records' unique digests and each
statement's expiry are for.
"""

import hmac
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

from keymanagement.journalerrors import (
    JournalConflict,
    JournalCorrupt,
    JournalMissing,
    JournalUnavailable,
)
from keymanagement.subkeys import derive

Row = Mapping[str, Any]
Told = Callable[[Literal["read", "write"], float], None]
"""Whoever is told of each transaction: what it did, and the seconds with its wait for the lock."""

SCHEMA_VERSION: Final = 4
"""2 added revocations and code tries, 3 EPP keys, unique keys,
key orders and duplicates, 4 changes and assignments; a journal of a former version
is brought up when it is opened. What it released before is in none of the new tables."""
BUSY_SECONDS: Final = 15


@dataclass(frozen=True)
class Table:
    """One table: its columns in the order in which they are MACed, its primary key, an index.

    `since` is the schema version that added it.
    """

    name: str
    columns: Mapping[str, str]
    key: tuple[str, ...]
    constraints: tuple[str, ...] = ()
    index: str | None = None
    since: int = 1

    @cached_property
    def create_sql(self) -> tuple[str, ...]:
        """The statements that create the table and its index."""
        parts = [f"{name} {kind}" for name, kind in self.columns.items()]
        parts += ["mac BLOB NOT NULL", f"PRIMARY KEY ({', '.join(self.key)})", *self.constraints]
        table = f"CREATE TABLE {self.name} ({', '.join(parts)}) STRICT"
        if self.index is None:
            return (table,)
        return table, f"CREATE INDEX {self.name}_{self.index} ON {self.name} ({self.index})"

    @cached_property
    def select_sql(self) -> str:
        """The SELECT statement of all columns, to be followed by a WHERE clause."""
        # names come from the constant tables of this package, values are always bound
        return f"SELECT {', '.join((*self.columns, 'mac'))} FROM {self.name} "  # noqa: S608

    @cached_property
    def insert_sql(self) -> str:
        """The INSERT statement with a named parameter for each column."""
        names = (*self.columns, "mac")
        marks = ", ".join(f":{name}" for name in names)
        return f"INSERT INTO {self.name} ({', '.join(names)}) VALUES ({marks})"  # noqa: S608

    @cached_property
    def update_sql(self) -> str:
        """The UPDATE statement of one row by its primary key."""
        changes = ", ".join(f"{name} = :{name}" for name in (*self.columns, "mac"))
        return f"UPDATE {self.name} SET {changes} WHERE {self.where_key}"  # noqa: S608

    @cached_property
    def count_sql(self) -> str:
        """The statement that counts the rows."""
        return f"SELECT count(*) FROM {self.name}"  # noqa: S608

    @cached_property
    def page_sql(self) -> str:
        """The SELECT statement of the next rows, in the order in which they were written."""
        names = ", ".join(("rowid", *self.columns, "mac"))
        return f"SELECT {names} FROM {self.name} WHERE rowid > ? ORDER BY rowid LIMIT ?"  # noqa: S608

    @cached_property
    def where_key(self) -> str:
        """The condition on the primary key with named parameters."""
        return " AND ".join(f"{name} = :{name}" for name in self.key)


HEADS: Final = Table("heads", {"name": "TEXT NOT NULL", "rows": "INTEGER NOT NULL"}, ("name",))


class JournalFile:
    """The connection, its transactions and the MAC of every row that passes through it."""

    def __init__(
        self,
        path: Path,
        kek: bytes,
        tables: tuple[Table, ...],
        *,
        create: bool,
        previous: tuple[bytes, ...] = (),
    ) -> None:
        """Open the file; with `create`, make it (mode 0600) if there is none.

        Rows are written under `kek`, and believed under it or one of the `previous` KEKs.

        Raises:
            JournalMissing: if there is none and `create` is not given.
            JournalCorrupt: if rows were deleted, or the journal is under another KEK.
            KekInvalid: if the KEK is not 32 bytes.
        """
        self._mac_key = derive(kek, "journal-mac")
        self._former_keys = tuple(derive(one, "journal-mac") for one in previous)
        self._tables = tables
        self._lock = threading.Lock()
        self._told: Told | None = None
        if create:
            # made before SQLite opens it, which then gives its -wal and -shm the same mode
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        elif not path.exists():
            raise JournalMissing("there is no journal")
        self._connection = sqlite3.connect(
            path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            self._open(create=create)
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def observe(self, told: Told) -> None:
        """Have somebody told of every transaction from now on."""
        self._told = told

    @contextmanager
    def transaction(self, *, write: bool = True) -> Iterator[None]:
        """Hold the connection for one transaction: all of it or nothing.

        Commits at the end, rolls back on any error. `write=False` reads one consistent state
        without keeping other processes from writing. The methods below belong inside one.

        Raises:
            JournalUnavailable: if the file is locked for too long, or the disk is full or broken.
            JournalConflict: if a row would break a rule of uniqueness.
            JournalCorrupt: if the file is damaged.
        """
        started = time.perf_counter()
        try:
            with self._lock, _typed_errors():
                self._connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
                try:
                    yield
                    self._connection.execute("COMMIT")
                except BaseException:
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                    raise
        finally:
            if self._told is not None:
                self._told("write" if write else "read", time.perf_counter() - started)

    def find(self, table: Table, where: str, **values: object) -> list[Row]:
        """Return the rows of a constant condition with named parameters, each MAC verified.

        Raises:
            JournalCorrupt: if one row's MAC is wrong.
        """
        cursor = self._connection.execute(table.select_sql + "WHERE " + where, values)
        return [self._verified(table, row) for row in cursor.fetchall()]

    def get(self, table: Table, **key: object) -> Row | None:
        """Return the row of a primary key, verified, or None.

        Raises:
            JournalCorrupt: if its MAC is wrong.
        """
        rows = self.find(table, table.where_key, **key)
        return rows[0] if rows else None

    def insert(self, table: Table, row: Row) -> None:
        """Add a row with its MAC, and count it.

        Raises:
            JournalCorrupt: if rows of this table were added or deleted from outside.
        """
        self.insert_all(table, (row,))

    def insert_all(self, table: Table, rows: Sequence[Row]) -> None:
        """Add rows with their MACs; the table, which may be large, is counted once.

        Raises:
            JournalCorrupt: if rows of this table were added or deleted from outside.
        """
        if not rows:
            return
        head = {"name": table.name, "rows": self._counted(table) + len(rows)}
        sealed = [self._sealed(table, row) for row in rows]
        self._connection.executemany(table.insert_sql, sealed)
        self._connection.execute(HEADS.update_sql, self._sealed(HEADS, head))

    def update(self, table: Table, row: Row) -> None:
        """Replace the row of the same primary key, with a new MAC."""
        self._connection.execute(table.update_sql, self._sealed(table, row))

    def page(self, table: Table, after: int, limit: int) -> list[tuple[int, Row, bool]]:
        """Return the rows after a row number: number, verified row, whether under the newest KEK.

        Raises:
            JournalCorrupt: if one row's MAC is wrong.
        """
        cursor = self._connection.execute(table.page_sql, (after, limit))
        found = []
        for number, *values in cursor.fetchall():
            row = self._verified(table, tuple(values))
            newest = hmac.compare_digest(values[-1], self._mac(table, row, self._mac_key))
            found.append((int(number), row, newest))
        return found

    def scrub(self) -> None:
        """Write the log back into the file and empty it, so that no former row stays in it.

        A reader of another process may hold it up; the log is then emptied by a later call.

        Raises:
            JournalUnavailable: if the file is locked for too long, or the disk is full or broken.
        """
        with self._lock, _typed_errors():
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    def verify(self) -> None:
        """Check every row's MAC and every table's count; its time grows with the journal.

        Raises:
            JournalCorrupt: at the first that is wrong.
        """
        for table in self._tables:
            self._counted(table)
            self.find(table, "true")

    def _open(self, *, create: bool) -> None:
        self._connection.text_factory = _strict_text
        with _typed_errors():
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute("PRAGMA foreign_keys = ON")
            # What a destroyed key's row held is overwritten in the file, not only unlinked.
            self._connection.execute("PRAGMA secure_delete = ON")
        with self.transaction():
            self._prepare(create=create)

    def _prepare(self, *, create: bool) -> None:
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if not 0 <= version <= SCHEMA_VERSION:
            raise JournalCorrupt("the journal has another version")
        if version == 0:
            if not create:
                raise JournalMissing("the journal is empty")
            for statement in HEADS.create_sql:
                self._connection.execute(statement)
        for table in self._tables:
            if table.since <= version:
                self._counted(table)
            else:
                self._add(table)
        if version != SCHEMA_VERSION:
            self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _add(self, table: Table) -> None:
        for statement in table.create_sql:
            self._connection.execute(statement)
        head = {"name": table.name, "rows": 0}
        self._connection.execute(HEADS.insert_sql, self._sealed(HEADS, head))

    def _counted(self, table: Table) -> int:
        head = self.get(HEADS, name=table.name)
        (rows,) = self._connection.execute(table.count_sql).fetchone()
        if head is None or head["rows"] != rows:
            raise JournalCorrupt(f"rows of {table.name} were added or deleted")
        return int(rows)

    def _sealed(self, table: Table, row: Row) -> dict[str, Any]:
        return {**row, "mac": self._mac(table, row, self._mac_key)}

    def _verified(self, table: Table, values: tuple[Any, ...]) -> Row:
        row = dict(zip(table.columns, values, strict=False))
        for key in (self._mac_key, *self._former_keys):
            if hmac.compare_digest(values[-1], self._mac(table, row, key)):
                return row
        raise JournalCorrupt(f"a row of {table.name} was changed")

    def _mac(self, table: Table, row: Row, key: bytes) -> bytes:
        mac = hmac.new(key, digestmod="sha256")
        mac.update(_encoded(table.name))
        for name in table.columns:
            mac.update(_encoded(name) + _encoded(row[name]))
        return mac.digest()


@contextmanager
def _typed_errors() -> Iterator[None]:
    """Name SQLite's errors without their text, which may quote a row."""
    try:
        yield
    except sqlite3.OperationalError:
        raise JournalUnavailable("the journal cannot be read or written now") from None
    except sqlite3.IntegrityError:
        raise JournalConflict("the row breaks a rule of uniqueness") from None
    except sqlite3.DatabaseError:
        raise JournalCorrupt("the journal's file is damaged") from None


def _encoded(value: str | int | bytes | None) -> bytes:
    """One value behind its type and length: nothing reads as something else."""
    match value:
        case None:
            kind, body = b"n", b""
        case int():
            kind, body = b"i", str(value).encode("ascii")
        case str():
            kind, body = b"t", value.encode()
        case bytes():
            kind, body = b"b", value
    return kind + len(body).to_bytes(8, "big") + body


def _strict_text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise JournalCorrupt("a text in the journal is not UTF-8") from error
