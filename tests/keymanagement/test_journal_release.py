"""The journal makes a release happen once: first writer wins, and a crash leaves nothing half."""

import sqlite3
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ceremony.encoding import sha256_hex
from keymanagement.journal import Journal
from keymanagement.journalerrors import (
    JournalConflict,
    JournalCorrupt,
    JournalMissing,
    JournalUnavailable,
    NonceReused,
    RewrapsExhausted,
)
from keymanagement.journalrows import RELEASES, KeyState, NewKey, NewToken, ReleaseIntent, row_of
from keymanagement.port import KeyAlgorithm, KeyToken
from tests.support.journals import NOW, REQUEST, digest, intent, new_key, new_token, released


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal is."""
    return tmp_path / "journal.db"


@pytest.fixture
def journal(path: Path, kek: bytes) -> Iterator[Journal]:
    """An empty journal."""
    with Journal(path, kek, create=True) as made:
        yield made


def test_only_setting_up_makes_a_journal(path: Path, kek: bytes) -> None:
    """A key worker that finds no journal, or an empty file, does not start with an empty memory."""
    with pytest.raises(JournalMissing):
        Journal(path, kek)
    assert not path.exists()
    path.touch()
    with pytest.raises(JournalMissing):
        Journal(path, kek)
    Journal(path, kek, create=True).close()
    Journal(path, kek, create=True).close()
    Journal(path, kek).close()


def test_the_files_are_their_owners_only(journal: Journal, path: Path) -> None:
    """The journal and SQLite's files beside it have mode 0600."""
    journal.begin_release(intent())
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {"journal.db": 0o600, "journal.db-wal": 0o600, "journal.db-shm": 0o600}


def test_another_kek_opens_no_journal(journal: Journal, path: Path) -> None:
    """Under another KEK every MAC is wrong, and the journal says so at the start."""
    with pytest.raises(JournalCorrupt):
        Journal(path, bytes(32))


def test_a_file_that_is_no_database_is_corrupt(path: Path, kek: bytes) -> None:
    """An overwritten file is told as such, not as an error of SQLite's."""
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(JournalCorrupt):
        Journal(path, kek)


def test_a_locked_journal_is_unavailable(
    journal: Journal, path: Path, kek: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another's lock that does not go away is an error to try again after, and nothing is lost."""
    monkeypatch.setattr("keymanagement.journalfile.BUSY_SECONDS", 0.05)
    holder = sqlite3.connect(path, isolation_level=None)
    with Journal(path, kek) as second:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalUnavailable):
            second.begin_release(intent())
        holder.execute("ROLLBACK")
        assert second.begin_release(intent()) == intent()
    holder.close()


def test_the_first_intent_wins(journal: Journal) -> None:
    """A second confirmation of the request reads the first one's intent."""
    first = journal.begin_release(intent("first"))
    assert journal.begin_release(intent("second")) == first
    assert journal.begin_release(intent("first")) == first
    assert journal.release_of(REQUEST) == first
    assert journal.release_of("Z" * 24) is None


def test_a_request_is_of_one_terminal_and_epp(journal: Journal) -> None:
    """An intent for another terminal or EPP under the same request is a contradiction."""
    journal.begin_release(intent())
    for wrong in (
        ReleaseIntent(REQUEST, "ATM-0002", digest("epp"), digest("first"), NOW),
        ReleaseIntent(REQUEST, "ATM-0001", digest("other"), digest("first"), NOW),
    ):
        with pytest.raises(JournalConflict):
            journal.begin_release(wrong)


def test_key_and_token_need_an_intent(journal: Journal) -> None:
    """Intent first: without it nothing is written."""
    with pytest.raises(JournalConflict, match="no release was begun"):
        journal.save_key_and_first_token(new_key(), new_token("first"))
    assert journal.key_of(REQUEST) is None


def test_what_was_saved_is_read(journal: Journal, path: Path, kek: bytes) -> None:
    """Key, KCV and token are there after a restart, the token byte for byte."""
    held, token = released(journal)
    assert held.state is KeyState.RELEASED
    assert held.host_block == new_key().host_block
    assert held.record == new_key().record
    assert (token.ordinal, token.value) == (0, new_token("first").token.value)
    with Journal(path, kek) as again:
        assert again.key_of(REQUEST) == held
        assert again.token_for(digest("first")) == token
        assert again.tokens_of(REQUEST) == (token,)
        assert again.kcv_of(REQUEST) == new_key().kcv
        again.verify()


def test_the_kcv_is_not_in_the_file(journal: Journal, path: Path) -> None:
    """The KCV at rest is sealed, and neither repr nor the record's digest gives it away."""
    held, token = released(journal)
    journal.close()
    assert new_key().kcv.encode() not in path.read_bytes()
    assert new_key().kcv not in repr((held, token, new_key()))


def test_the_kcv_digest_is_keyed(journal: Journal, tmp_path: Path) -> None:
    """The commitment is the same each time, and is not what guessing 2**24 values would find."""
    kcv = new_key().kcv
    committed = journal.kcv_digest(REQUEST, kcv)
    assert committed == journal.kcv_digest(REQUEST, kcv)
    assert committed not in {sha256_hex(kcv.encode()), sha256_hex(bytes.fromhex(kcv))}
    assert committed != journal.kcv_digest("B" * 24, kcv)
    with Journal(tmp_path / "other.db", bytes(32), create=True) as other:
        assert other.kcv_digest(REQUEST, kcv) != committed


def test_there_is_no_kcv_without_a_key(journal: Journal) -> None:
    """A request without a key has no KCV to check a receipt against."""
    with pytest.raises(JournalConflict):
        journal.kcv_of(REQUEST)


def test_a_second_key_is_discarded(journal: Journal) -> None:
    """The loser of a race gets the winner's key and token, whatever it made itself."""
    winner = released(journal)
    loser = NewKey(
        REQUEST, KeyAlgorithm.AES_128, b"another block", "ffffff", "record 2", NOW, bytes(32)
    )
    assert journal.save_key_and_first_token(loser, new_token("second")) == winner
    assert journal.token_for(digest("second")) is None
    assert journal.kcv_of(REQUEST) == new_key().kcv


def test_key_and_token_are_of_one_request(journal: Journal) -> None:
    """A key is never saved with another request's token."""
    journal.begin_release(intent())
    with pytest.raises(JournalConflict, match="of different requests"):
        journal.save_key_and_first_token(new_key(), new_token("first", request_id="B" * 24))
    assert journal.key_of(REQUEST) is None


def test_a_confirmation_answers_one_request(journal: Journal) -> None:
    """A confirmation that has a token cannot bring another request a key or a re-wrap."""
    released(journal)
    other = "B" * 24
    journal.begin_release(intent("first", request_id=other))
    with pytest.raises(JournalConflict, match="another request's"):
        journal.save_key_and_first_token(
            new_key(request_id=other), new_token("first", request_id=other)
        )
    assert journal.key_of(other) is None
    with pytest.raises(JournalConflict):
        journal.save_rewrap(new_token("first", request_id=other))


def test_token_bytes_are_unique(journal: Journal) -> None:
    """The same token under two confirmations is refused, and nothing of it is kept."""
    released(journal)
    same = new_token("first").token
    with pytest.raises(JournalConflict):
        journal.save_rewrap(NewToken(digest("second"), REQUEST, "aa" * 16, same, NOW))
    assert len(journal.tokens_of(REQUEST)) == 1
    journal.verify()


def test_a_key_is_wrapped_again_three_times(journal: Journal) -> None:
    """Four tokens of one key; a fifth confirmation is refused, the four still answer."""
    released(journal)
    tokens = [journal.save_rewrap(new_token(name)) for name in ("second", "third", "fourth")]
    assert [token.ordinal for token in tokens] == [1, 2, 3]
    with pytest.raises(RewrapsExhausted):
        journal.save_rewrap(new_token("fifth"))
    assert journal.save_rewrap(new_token("second")) == tokens[0]
    # Who comes late with a first token gets the first one still.
    held, first = journal.save_key_and_first_token(new_key(), new_token("late"))
    assert (held.request_id, first.ordinal) == (REQUEST, 0)
    assert journal.token_for(digest("fifth")) is None
    assert len(journal.tokens_of(REQUEST)) == 4


def test_the_same_confirmation_gives_the_same_bytes(journal: Journal) -> None:
    """A re-wrap made twice for one confirmation keeps the first bytes."""
    released(journal)
    first = journal.save_rewrap(new_token("second"))
    value = b"made by a retry"
    retry = KeyToken("oaep-jws", value, KeyAlgorithm.AES_128, sha256_hex(value))
    assert journal.save_rewrap(NewToken(digest("second"), REQUEST, "ab" * 16, retry, NOW)) == first


def test_an_epp_nonce_answers_one_confirmation(journal: Journal) -> None:
    """A new confirmation with a nonce that had a token is refused."""
    released(journal)
    used = new_token("first").krd_nonce
    fresh = new_token("second")
    with pytest.raises(NonceReused):
        journal.save_rewrap(NewToken(fresh.confirmation_digest, REQUEST, used, fresh.token, NOW))


def test_only_a_released_key_is_wrapped_again(journal: Journal) -> None:
    """Without a key, or once its receipt is in, there is no re-wrap."""
    with pytest.raises(JournalConflict):
        journal.save_rewrap(new_token("second"))
    released(journal)
    journal.settle(REQUEST, digest("receipt"), KeyState.ACTIVE, NOW)
    with pytest.raises(JournalConflict):
        journal.save_rewrap(new_token("second"))


def test_a_write_excludes_others_from_its_start(journal: Journal, path: Path, kek: bytes) -> None:
    """What one process reads before it writes, no other process changes meanwhile."""
    with Journal(path, kek) as second, ThreadPoolExecutor(1) as pool:
        with journal._file.transaction():
            waiting = pool.submit(second.begin_release, intent("second"))
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.2)
            row = row_of(intent("first"), RELEASES)
            assert journal._file.get(RELEASES, request_id=REQUEST) is None
            journal._file.insert(RELEASES, row)
        assert waiting.result(timeout=30) == intent("first")


def test_threads_race_to_one_key(journal: Journal) -> None:
    """Sixteen threads release one request: one intent, one key, one first token."""

    def release(number: int) -> tuple[ReleaseIntent, bytes, str]:
        name = f"confirmation {number}"
        begun = journal.begin_release(intent(name))
        block = bytes([number]) * 40
        key = NewKey(REQUEST, KeyAlgorithm.AES_128, block, "08793e", "record", NOW, bytes(32))
        held, token = journal.save_key_and_first_token(key, new_token(name))
        return begun, held.host_block, token.confirmation_digest

    with ThreadPoolExecutor(16) as pool:
        results = set(pool.map(release, range(16)))
    assert len(results) == 1
    assert len(journal.tokens_of(REQUEST)) == 1
    journal.verify()


def test_wrong_codes_are_counted_per_request(journal: Journal, path: Path, kek: bytes) -> None:
    """Each wrong code counts once, also when they come at once, and a restart forgets none."""
    assert journal.wrong_codes(REQUEST) == 0
    with ThreadPoolExecutor(4) as pool:
        counted = list(pool.map(lambda _: journal.count_wrong_code(REQUEST), range(8)))
    assert sorted(counted) == list(range(1, 9))
    assert journal.wrong_codes("B" * 24) == 0
    with Journal(path, kek) as again:
        assert again.wrong_codes(REQUEST) == 8
