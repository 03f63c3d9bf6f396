"""Spent states and the migration of sign-in by OpenID Connect, on both databases."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlmodel import select

from records import audit, migration, spentstates
from records.database import Database
from records.tables.audit_event import ActorKind
from records.tables.spent_state import SpentStateRow

NOW = 1_800_000_000


def test_a_state_is_spent_once_and_forgotten_when_it_has_expired(database: Database) -> None:
    """The second time is refused; what no callback can bring any more is not kept."""
    with database.write() as session:
        assert spentstates.spend(session, "a", expires_at=NOW + 10, now=NOW)
    with database.write() as session:
        assert not spentstates.spend(session, "a", expires_at=NOW + 10, now=NOW + 9)
        assert spentstates.spend(session, "b", expires_at=NOW + 30, now=NOW + 10)
    with database.read() as session:
        assert [row.state_digest for row in session.exec(select(SpentStateRow))] == ["b"]


def test_going_back_keeps_the_audit_trail(database_url: str) -> None:
    """Below 0006 operators' events are the system's, in their order, and still for ever."""
    database = Database(database_url)
    with database.write() as session:
        for kind in (ActorKind.AUDITOR, ActorKind.OPERATOR, ActorKind.SYSTEM):
            audit.write(session, f"by-{kind.value}", at=NOW, actor_kind=kind, actor="S7001")
    database.close()
    migration.downgrade(database_url, "0005")
    migration.upgrade(database_url)
    database = Database(database_url)
    with database.read() as session:
        told = [(row.event, row.actor_kind, row.actor) for row in audit.since(session)]
    assert told == [
        ("by-auditor", ActorKind.AUDITOR, "S7001"),
        ("by-operator", ActorKind.SYSTEM, "S7001"),
        ("by-system", ActorKind.SYSTEM, "S7001"),
    ]
    with pytest.raises(IntegrityError, match="is refused"), database.write() as session:
        session.connection().execute(text("DELETE FROM audit_events"))
    with database.write() as session:
        audit.write(session, "next", at=NOW, actor_kind=ActorKind.OPERATOR)
    with database.read() as session:
        ids = [row.id for row in audit.since(session)]
    assert len(set(ids)) == 4 and ids == sorted(filter(None, ids))
    database.close()
