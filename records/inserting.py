"""Find-or-create: insert a row unless its key is taken, in one statement.

SQLite and PostgreSQL share ON CONFLICT, but SQLAlchemy has it per dialect.
"""

from typing import Any, TypeVar

from sqlalchemy import Table, inspect
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, select

from records.tables.record import Record

R = TypeVar("R", bound=Record)


def conflict_insert(session: Session, table: Table) -> "sqlite.Insert | postgresql.Insert":
    """An INSERT of the session's dialect that offers `on_conflict_do_nothing` and `…_do_update`."""
    if session.get_bind().dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)


def find_or_create(session: Session, row: R, *, key: str | None = None) -> tuple[R, bool]:
    """Insert `row` unless its key exists; return the stored row and whether it was inserted.

    The first writer wins: an existing row is returned untouched. `key` names the unique column
    that decides; without it the primary key does. `row` must not be in a session.

    Raises:
        sqlalchemy.exc.IntegrityError: if another constraint than the key's is broken.
    """
    table: Any = inspect(type(row)).local_table
    columns = [table.c[key]] if key is not None else list(table.primary_key.columns)
    values = {
        column.name: getattr(row, column.name)
        for column in table.columns
        if not (column.primary_key and getattr(row, column.name) is None)
    }
    session.flush()
    # The returned key, not a row count, tells: not every driver counts inserted rows.
    inserted = session.connection().execute(
        conflict_insert(session, table)
        .values(values)
        .on_conflict_do_nothing(index_elements=columns)
        .returning(*columns)
    )
    created = inserted.first() is not None
    stored = session.exec(
        select(type(row)).where(*(column == values[column.name] for column in columns))
    ).one()
    return stored, created
