"""The one error that says: the database is away, try again later."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import DataError, DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
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

# Classes and codes of PostgreSQL, appendix A: connection, sign-in, unknown database, rollback
# (deadlock, serialization), resources, locks, shutdown and timeouts, system errors. 25006 is a
# write on a server that was demoted to a standby, 25P03 and 25P04 end a transaction that lasted.
_POSTGRESQL_UNAVAILABLE: Final = (
    *("08", "28", "3D", "40", "53", "57", "58"),
    *("25006", "25P03", "25P04", "55P03"),
)


class DatabaseUnavailable(Exception):
    """The database is locked, full, gone or closed, or another transaction was in the way.

    A retry may succeed. Nothing was written, but for one case: a connection to a server that was
    lost during the commit itself. So a retry must find what it would create.
    Its text names the kind of failure only, never a statement or a value.
    """


class Unstorable(ValueError):
    """No column can hold a value that was asked for or given: a NUL in a text, a number too large.

    PostgreSQL's rule; SQLite holds such texts. Its text names neither statement nor value.
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
    state = getattr(error.orig, "sqlstate", None)
    if state is not None and state.startswith(_POSTGRESQL_UNAVAILABLE):
        return True
    # Without a code it is the driver's own word: the server was not reached, or fell silent.
    silent = state is None and isinstance(error, OperationalError | InterfaceError)
    return error.connection_invalidated or silent


@contextmanager
def translated() -> Iterator[None]:
    """Turn what `is_unavailable` recognises into `DatabaseUnavailable`; let all else pass.

    Values that the database cannot hold are `Unstorable`.
    """
    try:
        yield
    except DataError as error:
        raise Unstorable(type(error.orig).__name__) from error
    except SQLAlchemyError as error:
        if is_unavailable(error):
            raise DatabaseUnavailable(type(error).__name__) from error
        raise


def hide_details(error: BaseException) -> None:
    """Cut a driver's error to its first line; what follows on PostgreSQL quotes the whole row.

    `hide_parameters` does not reach that text: the server wrote it.
    """
    error.args = tuple(arg.split("\n", 1)[0] if isinstance(arg, str) else arg for arg in error.args)
