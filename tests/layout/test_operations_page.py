"""What the pages tell people to type, to set and to keep is there, and does what they say."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import typer
from pydantic import SecretStr
from typer.core import TyperGroup

from ceremony.encoding import sha256_hex
from ceremony.trust import Trust
from cli import app
from commands.makesecrets import ProductionSecrets
from keymanagement.changerows import AT_ONCE
from keymanagement.journal import Journal
from keymanagement.journalrows import Reliance
from settings import Settings
from terminal.command import app as terminal_app

ROOT: Final = Path(__file__).parents[2]
OPERATIONS: Final = ROOT / "docs" / "operations.md"
PAGES: Final = (
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
)
COMMANDS: Final = {
    "keyfill": typer.main.get_command(app),
    "keyfill-terminal": typer.main.get_command(terminal_app),
}
GROUPS: Final = frozenset(
    name
    for name, one in getattr(COMMANDS["keyfill"], "commands", {}).items()
    if isinstance(one, TyperGroup)
)
NO_SETTINGS: Final = frozenset({"KEYFILL_PKCS11_SO_PIN", "KEYFILL_MUTATIONS"})
"""What people type for one command, and what only tests read."""
DEVELOPMENT_ONLY: Final = frozenset({"outbox_key"})
LOGGED: Final = frozenset({"keys in the HSM that the journal does not know"})
"""Lines of the log that begin like a command."""
KEK: Final = bytes(range(32))


def typed() -> Iterator[tuple[Path, str]]:
    """Everything in code that begins like a command of ours, with the page that shows it."""
    for page in PAGES:
        text = re.sub(r"\\\n\s+", "", page.read_text())
        spans = re.findall(r"`([^`\n]+)`", text)
        lines = re.findall(r"^(?: {4,}|)((?:[A-Z_]+=\S+ )*keyfill(?:-terminal)? .*)$", text, re.M)
        for shown in (*spans, *lines):
            said = re.sub(r"^(?:[A-Z_]+=\S+ )+", "", shown.partition(" # ")[0])
            first = said.partition(" ")[0]
            if first in COMMANDS and said != first:
                yield page, said
            elif first in GROUPS and " " in said and said not in LOGGED:
                yield page, f"keyfill {said}"


def missing(said: str) -> str:
    """What of a command that a page shows does not exist; nothing if all of it does."""
    first, *words = (word.rstrip(",;") for word in said.replace("…", "").split())
    command: Any = COMMANDS[first]
    options: set[str] = {"--help"}
    for word in words:
        if isinstance(command, TyperGroup) and not word.startswith("-"):
            if word not in command.commands:
                return word
            command = command.commands[word]
            options |= {
                option
                for one in command.params
                for option in (*one.opts, *one.secondary_opts)
                if option.startswith("-")
            }
        elif word.startswith("--") and word != "--" and word not in options:
            return word
    return ""


def test_every_command_that_a_page_shows_exists() -> None:
    """With the subcommands and options that it is shown with."""
    shown = list(typed())
    assert len(shown) > 60
    assert [(page.name, said, word) for page, said in shown if (word := missing(said))] == []


@pytest.mark.parametrize("said", ["keyfill officers bless", "keyfill doctor --cure"])
def test_a_command_that_does_not_exist_is_found(said: str) -> None:
    """Or the test above would pass whatever the pages say."""
    assert missing(said) == said.rpartition(" ")[2]


def test_every_variable_that_a_page_names_exists() -> None:
    """It is a setting, or a variable of docker-compose.yml."""
    example = (ROOT / "deploy" / "env.example").read_text()
    known = {f"KEYFILL_{name}".upper() for name in Settings.model_fields} | NO_SETTINGS
    known |= set(re.findall(r"^([A-Z_]+)=", example, re.MULTILINE))
    for page in (*PAGES, ROOT / "deploy" / "env.example", ROOT / "docker-compose.yml"):
        named = set(re.findall(r"\bKEYFILL_\w*[A-Z0-9]\b", page.read_text()))
        # `KEYFILL_SMS_CAP_…` stands for several.
        whole = {name for name in named if f"{name}_…" not in page.read_text()}
        assert whole <= known, page.name


def test_every_secret_says_how_it_is_replaced() -> None:
    """Each secret of the settings, and each file of `make-secrets` that is none of these."""
    section = OPERATIONS.read_text().partition("## Secrets")[2].partition("\n## ")[0]
    rows = [line.split("|")[1:5] for line in section.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`([\w/]+)`", row[0])}
    assert all(cell.strip() for row in rows for cell in row)
    secret = {
        name for name, one in Settings.model_fields.items() if one.annotation is SecretStr
    } - DEVELOPMENT_ONLY
    made = ProductionSecrets.make(now=0, database_host="h", temporal_hosts=["h"]).files
    passwords = {name for name in made if name.endswith(("_password", "/password"))}
    # PostgreSQL's container is told these two once; the URL and Temporal's own file count.
    passwords -= {"postgresql/keyfill_password", "postgresql/temporal_password"}
    assert secret | passwords <= named


def test_the_trust_file_is_described() -> None:
    """Each field has its row, and what may be left out says what it then is."""
    section = OPERATIONS.read_text().partition("\n## The trust file\n")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", section, re.MULTILINE))
    assert list(rows) == list(Trust.model_fields)
    optional = {name for name, one in Trust.model_fields.items() if not one.is_required()}
    assert {name for name, said in rows.items() if "0 if left out" in said} == optional


def test_the_journal_comes_back_as_it_was_backed_up(tmp_path: Path) -> None:
    """By the commands of the page: read beside an open key worker, put over a later journal."""
    text = OPERATIONS.read_text()
    (copying,) = re.findall(r'key-worker python3 -I -c "\n(.+?)" >journal\.db\n', text, re.DOTALL)
    (putting,) = re.findall(r'key-worker -euc "\n(.+?)" <journal\.db\n', text, re.DOTALL)
    there = tmp_path / "journal"
    there.mkdir()
    path = there / "journal.db"
    with Journal(path, KEK, create=True) as journal:
        _remember(journal, "ATM-0001")
        copy = _run([sys.executable, "-I", "-c", copying.replace("/keyfill/journal", f"{there}")])
        _remember(journal, "ATM-0002")
    _run(["sh", "-euc", putting.replace("/keyfill/journal", shlex.quote(f"{there}"))], copy)
    assert not list(there.glob("journal.db-*"))
    assert path.stat().st_mode & 0o777 == 0o600
    with Journal(path, KEK) as journal:
        journal.verify()
        assert journal.known_seqs("terminal", ["ATM-0001", "ATM-0002"]) == {"ATM-0001": 1}


def _remember(journal: Journal, terminal_no: str) -> None:
    digest = sha256_hex(terminal_no.encode())
    journal.rely_on([Reliance("terminal", terminal_no, 1, digest, digest)], cooling=AT_ONCE)


def _run(command: list[str], given: bytes = b"") -> bytes:
    return subprocess.run(command, input=given, capture_output=True, check=True, timeout=30).stdout
