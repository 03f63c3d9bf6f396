"""What all tables share: one metadata, constraint names, enumerations, and a repr without content.

Times are Unix seconds (UTC) in columns named `*_at` or `*_until`, digests lower-case hexadecimal.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, Column, Enum, Integer, MetaData, String, inspect
from sqlalchemy.orm import registry
from sqlmodel import SQLModel

# Constraints without a name cannot be altered later on PostgreSQL.
NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

# SQLite numbers rows by itself only in a column that is exactly INTEGER.
RowNumber = BigInteger().with_variant(Integer, "sqlite")

# Where rows are merged by a text outside the database, its order must be that of the bytes.
ByteOrderedText = String().with_variant(String(collation="C"), "postgresql")

ENUM_LENGTH = 32


class Record(SQLModel, registry=registry(metadata=MetaData(naming_convention=NAMES))):
    """The base of every table. Its repr names the primary key only, so no content reaches a log."""

    def __repr_args__(self) -> Sequence[tuple[str | None, Any]]:
        """The primary key's parts, which are identifiers and digests, never secrets."""
        keys = inspect(type(self)).primary_key
        return [(column.name, self.__dict__.get(column.name)) for column in keys]


def enum_column(values: type[StrEnum], name: str) -> Column[Any]:
    """Make a required column that holds one of an enumeration's values, as text under a CHECK.

    Not a native PostgreSQL enum: those cannot lose a value, and SQLite has none. `name` is the
    column's and the CHECK's name. Values read back are members of the enumeration.
    """
    return Column(
        name,
        Enum(
            values,
            name=name,
            native_enum=False,
            create_constraint=True,
            length=ENUM_LENGTH,
            values_callable=lambda members: [member.value for member in members],
        ),
        nullable=False,
    )
