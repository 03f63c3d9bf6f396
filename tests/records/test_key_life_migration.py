"""Revision 0004 with rows in the tables: up and down again, nothing is lost but what it must."""

from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session

from records import migration
from records.database import Database
from records.engines import Use, open_engine

KEYS = ("request_id", "terminal_no", "algorithm", "host_block", "state", "kcv", "release_record")
STATEMENT = (
    "INSERT INTO submissions (digest, kind, request_id, terminal_no, signer_kid, statement, "
    "received_at) VALUES (:digest, :kind, 'r1', 'T-1', 'kid', 's', 1)"
)


def insert_key(session: Session, request_id: str, state: str, block: bytes | None) -> None:
    """A key of terminal T-1, by the columns that every revision has."""
    session.connection().execute(
        text(
            "INSERT INTO keys (request_id, terminal_no, algorithm, host_block, state, kcv, "
            "release_record, released_at) VALUES (:id, 'T-1', 'AES-128', :block, :state, NULL, "
            "'record', 7)"
        ),
        {"id": request_id, "state": state, "block": block},
    )


def rows(url: str, sql: str) -> list[tuple[Any, ...]]:
    """What a query gives."""
    engine = open_engine(url, Use.READ)
    with engine.connect() as connection:
        found = [tuple(row) for row in connection.execute(text(sql))]
    engine.dispose()
    return found


def written(url: str, act: Any) -> None:
    """Write to a database of whatever revision."""
    database = Database(url)
    try:
        with database.write() as session:
            act(session)
    finally:
        database.close()


def refused(url: str, act: Any) -> None:
    """A write that a constraint or trigger refuses."""
    with pytest.raises(DBAPIError):
        written(url, act)


def first_rows(session: Session) -> None:
    """A key with a token, and a statement, as the former release left them."""
    insert_key(session, "r1", "active", b"block")
    insert_key(session, "r2", "retired", b"other")
    session.connection().execute(
        text(
            "INSERT INTO tokens (confirmation_digest, request_id, ordinal, format, key_algorithm, "
            "value, token_digest, issued_at) VALUES ('c', 'r1', 1, 'f', 'AES-128', 'v', 'd', 7)"
        )
    )
    session.connection().execute(text(STATEMENT), {"digest": "s1", "kind": "receipt"})


def test_keys_tokens_and_statements_outlive_the_change(empty_url: str) -> None:
    """Up: the same rows, with room for what is new; down: lost keys are put aside as retired."""
    migration.upgrade(empty_url, "0003")
    written(empty_url, first_rows)
    columns = ", ".join(KEYS)
    sql = f"SELECT {columns} FROM keys ORDER BY request_id"  # noqa: S608 - constants
    before = rows(empty_url, sql)
    refused(empty_url, lambda session: insert_key(session, "r3", "destroyed", b""))
    migration.upgrade(empty_url, "0004")
    assert rows(empty_url, sql) == before
    assert rows(empty_url, "SELECT value FROM tokens") == [("v",)]
    assert rows(empty_url, "SELECT kind FROM submissions") == [("receipt",)]
    refused(empty_url, lambda session: insert_key(session, "r4", "active", b"second active"))
    refused(empty_url, lambda session: insert_key(session, "r4", "stolen", b"no such state"))
    refused(empty_url, _orphaned_token)
    refused(
        empty_url,
        lambda session: session.connection().execute(
            text("UPDATE submissions SET statement = 'x'")
        ),
    )
    written(empty_url, _second_rows)
    migration.downgrade(empty_url, "0003")
    states = rows(empty_url, "SELECT request_id, state, host_block FROM keys ORDER BY request_id")
    assert [(one, state, bytes(block)) for one, state, block in states] == [
        ("r1", "retired", b""),
        ("r2", "retired", b"other"),
        ("r3", "retired", b"taken"),
    ]
    refused(empty_url, lambda session: insert_key(session, "r5", "destroyed", b""))
    refused(empty_url, lambda session: insert_key(session, "r5", "retired", None))
    migration.upgrade(empty_url, "0004")
    assert len(rows(empty_url, sql)) == 3


def _second_rows(session: Session) -> None:
    connection = session.connection()
    connection.execute(text(STATEMENT), {"digest": "s2", "kind": "receipt"})
    insert_key(session, "r3", "compromised", b"taken")
    connection.execute(
        text(
            "UPDATE keys SET state = 'destroyed', destroyed_at = 9, order_digest = 'order', "
            "host_block = NULL WHERE request_id = 'r1'"
        )
    )
    connection.execute(
        text(
            "INSERT INTO key_orders (digest, request_id, terminal_no, act, reason_code, envelope, "
            "recorded_at) VALUES ('order', 'r1', 'T-1', 'destroy', 'c', '{}', 9)"
        )
    )


def _orphaned_token(session: Session) -> None:
    session.connection().execute(
        text(
            "INSERT INTO tokens (confirmation_digest, request_id, ordinal, format, key_algorithm, "
            "value, token_digest, issued_at) VALUES ('x', 'none', 1, 'f', 'AES-128', 'v', 'x', 7)"
        )
    )
