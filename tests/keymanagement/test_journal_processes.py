"""The journal under several processes: two that race, and one that is killed in the midst."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from keymanagement.journal import Journal
from keymanagement.journalrows import KeyState
from tests.support.journals import REQUEST, intent, released

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal is."""
    return tmp_path / "journal.db"


@pytest.fixture
def journal(path: Path, kek: bytes) -> Iterator[Journal]:
    """An empty journal."""
    with Journal(path, kek, create=True) as made:
        yield made


RACER = """
import sys
from pathlib import Path
from keymanagement.journal import Journal
from keymanagement.journalrows import NewKey
from keymanagement.port import KeyAlgorithm
from tests.support.journals import NOW, REQUEST, intent, new_token
name = sys.argv[2]
with Journal(Path(sys.argv[1]), bytes(range(32))) as journal:
    print("ready", flush=True)
    sys.stdin.readline()
    begun = journal.begin_release(intent(name))
    key = NewKey(REQUEST, KeyAlgorithm.AES_128, name.encode() * 8, "08793e", name, NOW, bytes(32))
    held, token = journal.save_key_and_first_token(key, new_token(name))
    print(begun.confirmation_digest, held.record, token.token_digest, flush=True)
"""

CRASHER = """
import os, signal, sys
from pathlib import Path
from keymanagement.journal import Journal
from keymanagement.journalrows import TOKENS
from tests.support.journals import intent, new_key, new_token
with Journal(Path(sys.argv[1]), bytes(range(32))) as journal:
    journal.begin_release(intent())
    if sys.argv[2] == "during":
        insert = journal._file.insert
        def dying(table, row):
            if table is TOKENS:
                os.kill(os.getpid(), signal.SIGKILL)
            insert(table, row)
        journal._file.insert = dying
        journal.save_key_and_first_token(new_key(), new_token("first"))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def start(script: str, *arguments: str | Path) -> subprocess.Popen[str]:
    """Start a process that runs a script in the project."""
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_processes_race_to_one_key(journal: Journal, path: Path) -> None:
    """Two key workers on one journal release one request: both report the same key and token."""
    racers = [start(RACER, path, name) for name in ("left", "right")]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    outputs = {racer.communicate("go\n", timeout=60)[0] for racer in racers}
    assert [racer.returncode for racer in racers] == [0, 0]
    assert len(outputs) == 1
    assert len(journal.tokens_of(REQUEST)) == 1
    journal.verify()


@pytest.mark.parametrize("when", ["before", "during"])
def test_a_crash_between_intent_and_outcome_leaves_the_intent(
    when: str, journal: Journal, path: Path
) -> None:
    """Killed before or while the outcome is written, a release has its intent and no key yet."""
    crashed = start(CRASHER, path, when)
    crashed.communicate(timeout=60)
    assert crashed.returncode == -signal.SIGKILL
    assert journal.release_of(REQUEST) == intent()
    assert journal.key_of(REQUEST) is None
    assert journal.tokens_of(REQUEST) == ()
    journal.verify()
    held, token = released(journal)
    assert held.state is KeyState.RELEASED
    assert token.ordinal == 0
