"""Revision 0009 with rows in the tables: what waits goes back, what is in force stays."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from records import migration
from records.credentialentries import (
    activate_credential,
    cool_credential,
    put_credential_entry,
)
from records.database import Database
from records.engines import Use, open_engine
from records.entryrows import pending_credential_row, terminal_row
from records.terminalentries import put_terminal_entry, put_waiting_terminal
from tests.support.world import World


def written(url: str, act: Callable[[Session], Any]) -> None:
    """Write to the database."""
    database = Database(url)
    try:
        with database.write() as session:
            act(session)
    finally:
        database.close()


def entries(url: str) -> list[tuple[Any, ...]]:
    """Every entry as it stands, of whatever revision."""
    engine = open_engine(url, Use.READ)
    with engine.connect() as connection:
        persons = connection.execute(
            text("SELECT person, seq, state FROM credential_entries ORDER BY seq")
        )
        terminals = connection.execute(
            text("SELECT terminal_no, seq, current FROM terminal_entries ORDER BY seq")
        )
        found = [tuple(row) for row in (*persons, *terminals)]
    engine.dispose()
    return found


def test_what_waits_goes_back_and_what_is_in_force_stays(empty_url: str) -> None:
    """Down to 0008: a person's change waits for officers again, a terminal's is gone; and up."""
    migration.upgrade(empty_url)
    world = World.make()
    no, person = world.terminal.terminal_no, world.second.person

    def fill(session: Session) -> None:
        for seq in (1, 2):
            envelope = world.credential_entry(world.second, seq=seq)
            verified = world.read_credential(envelope)
            put_credential_entry(session, pending_credential_row(verified, now=1))
            if seq == 1:
                activate_credential(session, verified.digest)
            else:
                cool_credential(session, verified.digest, envelope=envelope, now=1)
            terminal = world.read_terminal(world.terminal_entry(seq=seq))
            row = terminal_row(terminal, now=1)
            if seq == 1:
                put_terminal_entry(session, row)
            else:
                put_waiting_terminal(session, row, now=1)

    written(empty_url, fill)
    assert entries(empty_url) == [
        (person, 1, "active"),
        (person, 2, "cooling"),
        (no, 1, True),
        (no, 2, False),
    ]
    migration.downgrade(empty_url, "0008")
    assert entries(empty_url) == [(person, 1, "active"), (person, 2, "pending"), (no, 1, True)]
    migration.upgrade(empty_url)
    assert entries(empty_url) == [(person, 1, "active"), (person, 2, "pending"), (no, 1, True)]
