"""Reading the journal waits for nobody, and what contradicts itself is not written."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from keymanagement import journalfile
from keymanagement.journal import Journal
from keymanagement.journalerrors import JournalConflict
from keymanagement.journalrows import CodeTry
from keymanagement.port import KeyManagementError
from tests.support.journals import REQUEST, digest, intent, new_key, new_token, released

KEK = bytes(range(32))
OTHER = "B" * 24
READS: dict[str, Callable[[Journal], object]] = {
    "verify": lambda journal: journal.verify(),
    "release_of": lambda journal: journal.release_of(REQUEST),
    "key_of": lambda journal: journal.key_of(REQUEST),
    "kcv_of": lambda journal: journal.kcv_of(REQUEST),
    "token_for": lambda journal: journal.token_for(digest("first")),
    "tokens_of": lambda journal: journal.tokens_of(REQUEST),
    "known_seqs": lambda journal: journal.known_seqs("terminal", ["ATM-0001"]),
    "wrong_codes": lambda journal: journal.wrong_codes(REQUEST),
    "wrong_tries": lambda journal: journal.wrong_tries(REQUEST),
}


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A journal with one key, whose users wait only a moment for a lock."""
    monkeypatch.setattr(journalfile, "BUSY_SECONDS", 0.05)
    with Journal(tmp_path / "journal.db", KEK, create=True) as journal:
        released(journal)
    return tmp_path / "journal.db"


@pytest.mark.parametrize("name", sorted(READS))
def test_a_reader_waits_for_no_writer(path: Path, name: str) -> None:
    """While another key worker writes, every question is answered at once."""
    with Journal(path, KEK) as journal:
        expected = READS[name](journal)
        with closing(sqlite3.connect(path, isolation_level=None)) as writer:
            writer.execute("BEGIN IMMEDIATE")
            assert READS[name](journal) == expected
            with pytest.raises(KeyManagementError):
                journal.count_wrong_code(REQUEST)


def test_a_journal_is_closed_behind_its_block(path: Path) -> None:
    """Nothing is read or written through it any more."""
    with Journal(path, KEK) as journal:
        assert journal.key_of(REQUEST) is not None
    with pytest.raises((KeyManagementError, sqlite3.ProgrammingError)):
        journal.key_of(REQUEST)


def test_a_key_and_its_token_are_of_one_request(path: Path) -> None:
    """A token of another request would go to another terminal."""
    with Journal(path, KEK) as journal:
        journal.begin_release(intent("other", request_id=OTHER))
        with pytest.raises(JournalConflict):
            journal.save_key_and_first_token(new_key(request_id=OTHER), new_token("other"))
        assert journal.key_of(OTHER) is None


def test_no_key_without_its_intent(path: Path) -> None:
    """The intent comes first, so that two key workers never make two keys."""
    with Journal(path, KEK) as journal:
        with pytest.raises(JournalConflict):
            journal.save_key_and_first_token(
                new_key(request_id=OTHER), new_token("other", request_id=OTHER)
            )
        assert journal.key_of(OTHER) is None


def test_a_confirmation_serves_one_request(path: Path) -> None:
    """The token of a confirmation is this request's, or there is none."""
    with Journal(path, KEK) as journal:
        journal.begin_release(intent("first", request_id=OTHER))
        with pytest.raises(JournalConflict):
            journal.save_key_and_first_token(
                new_key(request_id=OTHER), new_token("first", request_id=OTHER)
            )
        assert journal.key_of(OTHER) is None


def test_a_right_code_counts_no_longer(path: Path) -> None:
    """A try counts from its start until its code was right; one more confirmation counts anew."""
    with Journal(path, KEK) as journal:
        first, second = (CodeTry(digest(name), REQUEST, f"1.{name}") for name in ("one", "two"))
        journal.begin_try(first, most=3)
        assert journal.wrong_tries(REQUEST) == 1
        journal.right_code(first.confirmation_digest)
        assert journal.wrong_tries(REQUEST) == 0
        journal.begin_try(second, most=3)
        journal.begin_try(second, most=3)
        assert journal.wrong_tries(REQUEST) == 1
        assert journal.wrong_tries(OTHER) == 0


def test_a_try_that_was_not_begun_is_not_right(path: Path) -> None:
    """Whoever calls a code right must have counted it first."""
    with Journal(path, KEK) as journal, pytest.raises(JournalConflict):
        journal.right_code(digest("never begun"))
