"""PostgreSQL's LISTEN and NOTIFY: every commit that wrote something is told to who listens.

The notice is sent in the committing transaction, so it arrives after the commit or not at all.
"""

from typing import Final

import psycopg
from sqlalchemy import Engine, text
from sqlmodel import Session

CHANNEL: Final = "keyfill"

# Who wrote nothing has no transaction id, and nothing to tell.
_NOTIFY: Final = text(
    f"SELECT pg_notify('{CHANNEL}', '') WHERE pg_current_xact_id_if_assigned() IS NOT NULL"
)


class ListenerLost(Exception):
    """The connection is gone: notices may have been missed."""


class Listener:
    """A connection that listens. Not for two threads at once."""

    def __init__(self, connection: "psycopg.Connection[object]") -> None:
        """Own a connection that has said LISTEN."""
        self._connection = connection

    def fileno(self) -> int:
        """The socket, readable as soon as there is something to `take`."""
        return self._connection.fileno()

    def take(self) -> int:
        """Take the notices that have arrived, without waiting; return how many.

        Raises:
            ListenerLost: if the connection is gone.
        """
        count = 0
        try:
            server = self._connection.pgconn
            server.consume_input()
            while server.notifies() is not None:
                count += 1
        except psycopg.Error:
            raise ListenerLost from None
        return count

    def close(self) -> None:
        """Close the connection. May be called twice."""
        self._connection.close()


def send(session: Session) -> None:
    """Tell all listeners of this transaction once it commits, if it has written anything."""
    session.connection().execute(_NOTIFY)


def listen(engine: Engine) -> Listener:
    """Open a connection of the engine's kind, outside its pool, and listen on it.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: if the database does not answer.
    """
    connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    try:
        connection.exec_driver_sql(f"LISTEN {CHANNEL}")
    except BaseException:
        connection.close()
        raise
    pooled = connection.connection
    own = pooled.driver_connection
    pooled.detach()
    assert isinstance(own, psycopg.Connection)  # noqa: S101 - the one driver of `engines`
    return Listener(own)
