"""The migrations make exactly the models' schema, go up and down, and protect what is for ever."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from records import audit, migration, submissions, verdicts
from records.database import Database
from records.engines import Use, open_engine, sqlite_path
from records.failures import DatabaseUnavailable
from records.schema import METADATA
from records.tables.audit_event import ActorKind
from records.tables.key_order import KeyOrderRow
from records.tables.revocation import RevocationRow
from records.tables.submission import SubmissionRow
from records.tables.verdict import VerdictRow

ROOT = Path(__file__).parents[2]


COLUMNS = """
SELECT c.relname, concat_ws(
    ' ', a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, l.collname,
    pg_get_expr(d.adbin, d.adrelid))
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
LEFT JOIN pg_collation l ON l.oid = a.attcollation
WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
"""
CONSTRAINTS = """
SELECT conname, conrelid::regclass || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
"""
INDEXES = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
PROTECTION = """
SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace
"""
POSTGRESQL_HAS = (COLUMNS, CONSTRAINTS, INDEXES)


def objects(url: str, *, protection: bool = False) -> dict[str, list[str]]:
    """The tables, indexes and (on PostgreSQL) constraints of a database, each as sorted lines.

    With `protection` also the triggers and functions, which the models do not have.
    """
    path = sqlite_path(url)
    if path is not None:
        return _objects_of_file(path, ("table", "index", *(["trigger"] if protection else [])))
    found: dict[str, list[str]] = {}
    engine = open_engine(url, Use.READ)
    with engine.connect() as connection:
        for query in (*POSTGRESQL_HAS, *([PROTECTION] if protection else [])):
            for name, line in connection.exec_driver_sql(query):
                if not line.startswith("alembic") and not name.startswith("alembic"):
                    found.setdefault(name, []).append(line)
    engine.dispose()
    return {name: sorted(lines) for name, lines in found.items()}


def _objects_of_file(path: Path, kinds: tuple[str, ...]) -> dict[str, list[str]]:
    connection = sqlite3.connect(path)
    marks = ", ".join("?" * len(kinds))
    rows = connection.execute(
        f"SELECT name, sql FROM sqlite_master WHERE type IN ({marks}) "  # noqa: S608 - marks only
        "AND name NOT LIKE 'sqlite_%' AND name <> 'alembic_version'",
        kinds,
    ).fetchall()
    connection.close()
    return {name: sorted(line.strip(" \t,") for line in sql.split("\n")) for name, sql in rows}


def test_the_migrations_make_the_models_schema(database_url: str, empty_url: str) -> None:
    """Every table, column, check, key and partial index of the models, and nothing else."""
    engine = open_engine(empty_url, Use.MIGRATE)
    with engine.begin() as connection:
        METADATA.create_all(connection)
    engine.dispose()
    assert objects(database_url) == objects(empty_url)
    assert len(METADATA.tables) == 23


def test_alembic_finds_no_difference(database_url: str) -> None:
    """Alembic's own comparison of the migrated database with the models is empty."""
    with open_engine(database_url, Use.MIGRATE).begin() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []


def test_up_down_up(empty_url: str) -> None:
    """Each revision can be undone to nothing and done again."""
    url, path = empty_url, sqlite_path(empty_url)
    assert migration.current(url) is None
    assert path is None or not path.exists()
    migration.upgrade(url)
    assert migration.current(url) == migration.head()
    assert migration.is_current(url)
    made = objects(url, protection=True)
    migration.upgrade(url)
    migration.downgrade(url, "base")
    assert migration.current(url) is None
    assert not migration.is_current(url)
    assert objects(url, protection=True) == {}
    migration.upgrade(url)
    assert objects(url, protection=True) == made


def test_a_missing_folder_is_an_outage(tmp_path: Path) -> None:
    """Upgrading into a folder that does not exist raises the typed error."""
    with pytest.raises(DatabaseUnavailable):
        migration.upgrade(f"sqlite:///{tmp_path / 'no' / 'keyfill.db'}")


def test_a_migration_is_all_or_nothing(
    empty_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A migration that breaks half-way leaves the database as it was."""
    broken = tmp_path / "migrations"
    shutil.copytree(migration.MIGRATIONS, broken)
    script = broken / "versions" / "0001_first_schema.py"
    script.write_text(script.read_text().replace("    _people()\n", "    _nobody()\n"))
    monkeypatch.setattr(migration, "MIGRATIONS", broken)
    with pytest.raises(NameError):
        migration.upgrade(empty_url)
    assert objects(empty_url, protection=True) == {}


def test_processes_may_upgrade_at_once(empty_url: str) -> None:
    """Three processes that start on a fresh database all succeed: one migrates, two wait."""
    url = empty_url
    program = f"from records import migration; migration.upgrade({url!r})"
    processes = [subprocess.Popen([sys.executable, "-c", program], cwd=ROOT) for _ in range(3)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0]
    assert migration.is_current(url)


def test_a_drafted_revision_of_an_equal_schema_is_empty(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The developer's tool writes a revision file; with nothing to do it does nothing."""
    copy = tmp_path / "migrations"
    shutil.copytree(migration.MIGRATIONS, copy)
    monkeypatch.setattr(migration, "MIGRATIONS", copy)
    head = migration.head()
    drafted = migration.draft_revision(database_url, "nothing").read_text()
    assert "pass" in drafted
    assert "op.create" not in drafted
    assert f"down_revision: str | None = '{head}'" in drafted


CHANGES = (
    "UPDATE audit_events SET event = 'other'",
    "DELETE FROM audit_events",
    "UPDATE verdicts SET accepted = false",
    "DELETE FROM verdicts",
    "UPDATE submissions SET code_mac = 'other'",
)
CHANGES_OF = {
    "sqlite": (
        "REPLACE INTO audit_events (id, at, actor_kind, event, detail) "
        "VALUES (1, 2, 'system', 'x', '')",
    ),
    "postgresql": (
        "TRUNCATE audit_events",
        "TRUNCATE verdicts",
        "TRUNCATE submissions",
        "INSERT INTO audit_events (id, at, actor_kind, event, detail) "
        "VALUES (1, 2, 'system', 'x', '') ON CONFLICT (id) DO UPDATE SET event = 'other'",
    ),
}


@pytest.mark.parametrize(
    ("engine", "change"),
    [(engine, change) for engine, more in CHANGES_OF.items() for change in (*CHANGES, *more)],
    indirect=["engine"],
)
def test_what_is_for_ever_refuses_change(
    database: Database,
    change: str,
    verdict_row: Callable[..., VerdictRow],
    submission_row: Callable[..., SubmissionRow],
) -> None:
    """The database itself refuses to change audit events, verdicts and submissions."""
    with database.write() as session:
        audit.write(session, "opened", at=1, actor_kind=ActorKind.SYSTEM)
        verdicts.add(session, verdict_row())
        submissions.receive(session, submission_row())
    with pytest.raises(IntegrityError, match="is refused"), database.write() as session:
        session.connection().execute(text(change))
    with database.read() as session:
        assert [event.event for event in audit.since(session)] == ["opened"]


def test_what_officers_signed_refuses_change(database: Database) -> None:
    """Nor are revocations and orders changed or taken away, without the triggers' owner."""
    with database.write() as session:
        session.add(
            RevocationRow(
                digest="r",
                subject="person",
                name="ana",
                seq=1,
                reason_code="left",
                officer="o",
                statement="s",
                recorded_at=1,
            )
        )
        session.add(
            KeyOrderRow(
                digest="k",
                request_id="q",
                terminal_no="t",
                act="revoke",
                reason_code="stolen",
                envelope="e",
                recorded_at=1,
            )
        )
    for table in ("revocations", "key_orders"):
        for change in (f"UPDATE {table} SET reason_code = 'x'", f"DELETE FROM {table}"):  # noqa: S608
            with pytest.raises(IntegrityError, match="is refused"), database.write() as session:
                session.connection().execute(text(change))


def test_broken_references_stop_a_migration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Foreign keys are off while a migration runs, so they are checked at its end."""
    broken = tmp_path / "migrations"
    shutil.copytree(migration.MIGRATIONS, broken)
    script = broken / "versions" / "0001_first_schema.py"
    insert = (
        "    op.execute(\"INSERT INTO tokens VALUES ('c', 'nobody', 1, 'f', 'a', 'v', 't', 1)\")\n"
    )
    script.write_text(script.read_text().replace("    _people()\n", f"    _people()\n{insert}"))
    monkeypatch.setattr(migration, "MIGRATIONS", broken)
    path = tmp_path / "keyfill.db"
    with pytest.raises(IntegrityError, match="tokens refers to a missing row of keys"):
        migration.upgrade(f"sqlite:///{path}")
    assert objects(f"sqlite:///{path}") == {}


def test_no_column_for_a_telephone_number() -> None:
    """No table has a column that by its name would hold a number in clear."""
    allowed = {"number_digest", "to_masked"}
    suspicious = ("number", "phone", "msisdn", "mobile", "to_")
    named = {
        column.name
        for table in METADATA.tables.values()
        for column in table.columns
        if any(word in column.name for word in suspicious)
    }
    assert named <= allowed
