"""The one error that says: the database is away, try again later."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

_SQLITE_UNAVAILABLE = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOTADB,
    }
)


class DatabaseUnavailable(Exception):
    """The database is locked, full, gone or closed: nothing was written, a retry may succeed.

    Its text names the kind of failure only, never a statement or a value.
    """


def is_unavailable(error: Exception) -> bool:
    """Tell a database that is away from a mistake of ours, such as a missing table."""
    if isinstance(error, PoolTimeout):
        return True
    if not isinstance(error, DBAPIError):
        return False
    if isinstance(error.orig, sqlite3.Error):
        code = getattr(error.orig, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        # Extended result codes keep the primary one in their lowest byte.
        return (code & 0xFF) in _SQLITE_UNAVAILABLE
    return error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)


@contextmanager
def translated() -> Iterator[None]:
    """Turn what `is_unavailable` recognises into `DatabaseUnavailable`; let all else pass."""
    try:
        yield
    except SQLAlchemyError as error:
        if is_unavailable(error):
            raise DatabaseUnavailable(type(error).__name__) from error
        raise


def hide_details(error: BaseException) -> None:
    """Cut a driver's error to its first line; what follows on PostgreSQL quotes the whole row.

    `hide_parameters` does not reach that text: the server wrote it.
    """
    error.args = tuple(arg.split("\n", 1)[0] if isinstance(arg, str) else arg for arg in error.args)
