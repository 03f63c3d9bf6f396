"""PostgreSQL's LISTEN and NOTIFY: every commit that wrote something is told to who listens.

The notice is sent after the commit, by a transaction of its own: PostgreSQL lets one transaction
that notifies commit after the other, and those that write would each wait for all others' disk
writes. A process that dies in between leaves its last commits untold; who waits looks once more at
the end of the wait. A notice says what the commit was about, so that of a hundred who wait for one
loading request each only those look who may find something.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import psycopg
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

CHANNEL: Final = "keyfill"

ANYTHING: Final = ""
"""What a notice says that does not say what it is about: everybody looks."""
NOTHING_AWAITED: Final = "-"
"""What a notice says of a commit that was about nothing by name."""

_ABOUT: Final = "about"
# Who wrote nothing has no transaction id, and nothing to tell.
_WROTE: Final = text("SELECT pg_current_xact_id_if_assigned() IS NOT NULL")
_NOTIFY: Final = text(
    "SELECT pg_notify(:channel, topic) FROM unnest(CAST(:topics AS text[])) AS topic"
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

    def take(self) -> list[str]:
        """Take the notices that have arrived, without waiting; return what each is about.

        Raises:
            ListenerLost: if the connection is gone.
        """
        topics: list[str] = []
        try:
            server = self._connection.pgconn
            server.consume_input()
            while (notice := server.notifies()) is not None:
                topics.append(notice.extra.decode(errors="replace"))
        except psycopg.Error:
            raise ListenerLost from None
        return topics

    def close(self) -> None:
        """Close the connection. May be called twice."""
        self._connection.close()


def about(session: Session, topic: str) -> None:
    """Note what this transaction changes, for whoever waits for that alone."""
    session.info.setdefault(_ABOUT, set()).add(topic)


def due(session: Session) -> list[str]:
    """What is to be told once this transaction has committed; nothing if it wrote nothing."""
    if not session.connection().execute(_WROTE).scalar_one():
        return []
    return sorted(session.info.get(_ABOUT, ())) or [NOTHING_AWAITED]


def send(connection: Connection, topics: Sequence[str]) -> None:
    """Tell all listeners of a transaction that has just committed on this connection.

    What is lost is told to nobody: the commit stands, and its caller must not believe otherwise.
    """
    with suppress(SQLAlchemyError):
        own = connection.execution_options(isolation_level="AUTOCOMMIT")
        own.execute(_NOTIFY, {"channel": CHANNEL, "topics": list(topics)})


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
