"""Officers' orders in the journal: carried out once or refused for ever; no key is left over."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from ceremony.encoding import sha256_hex
from ceremony.keylife import KeyAct, KeyState
from ceremony.reasons import Reason
from keymanagement.journal import Journal
from keymanagement.journalerrors import DuplicateKey, JournalConflict
from keymanagement.journalrows import TABLES, NewToken
from keymanagement.port import KeyAlgorithm, KeyToken
from tests.support.journals import (
    NOW,
    REQUEST,
    digest,
    intent,
    new_key,
    new_token,
    ordered,
    released,
)

NEXT = "B" * 24
FORMER = 2
SECRET = b"host's copy of " + REQUEST.encode()
TOKEN = b"token for first of " + REQUEST.encode()
PAGES = b"".join(b"piece %5d of a long token; " % n for n in range(500))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal is."""
    return tmp_path / "journal.db"


@pytest.fixture
def journal(path: Path, kek: bytes) -> Iterator[Journal]:
    """A journal with one released key."""
    with Journal(path, kek, create=True) as made:
        released(made)
        yield made


def carry_out(
    journal: Journal, act: KeyAct, request_id: str = REQUEST, name: str | None = None
) -> KeyState | Reason | None:
    """Begin and finish an order; where the key stands by it, or why not."""
    order = ordered(act, request_id=request_id, name=name)
    journal.begin_order(order)
    done = journal.finish_order(order.digest, NOW + 50)
    assert (done.state is None) is not (done.refused is None)
    return done.state or done.refused


def state_of(journal: Journal, request_id: str = REQUEST) -> KeyState:
    """A key's state."""
    held = journal.key_of(request_id)
    assert held is not None
    return held.state


def unconfirmed(journal: Journal, request_id: str = REQUEST, receipt: str | None = None) -> None:
    """Leave a key unconfirmed."""
    journal.settle(
        request_id, None if receipt is None else digest(receipt), KeyState.UNCONFIRMED, NOW
    )


def test_officers_settle_an_unconfirmed_key(journal: Journal) -> None:
    """Loaded: it is active and the previous one retires; not loaded: it is retired itself."""
    journal.settle(REQUEST, digest("receipt"), KeyState.ACTIVE, NOW)
    released(journal, request_id=NEXT, confirmation="next", created_at=NOW + 10)
    unconfirmed(journal, NEXT)
    assert carry_out(journal, KeyAct.SETTLE_LOADED, NEXT) is KeyState.ACTIVE
    assert (state_of(journal), state_of(journal, NEXT)) == (KeyState.RETIRED, KeyState.ACTIVE)
    last = "C" * 24
    released(journal, request_id=last, confirmation="last", created_at=NOW + 20)
    unconfirmed(journal, last)
    assert carry_out(journal, KeyAct.SETTLE_NOT_LOADED, last) is KeyState.RETIRED
    assert state_of(journal, NEXT) is KeyState.ACTIVE


def test_a_key_that_officers_settled_has_no_receipt(journal: Journal) -> None:
    """What the wrong receipt was is no reason to tell its sender the check value later."""
    unconfirmed(journal, receipt="wrong")
    assert carry_out(journal, KeyAct.SETTLE_LOADED) is KeyState.ACTIVE
    held = journal.key_of(REQUEST)
    assert held is not None
    assert (held.receipt_digest, held.settled_at) == (None, NOW + 50)
    # Its genuine receipt may still come, and confirms it; after that no other does.
    again = journal.settle(REQUEST, digest("genuine"), KeyState.ACTIVE, NOW + 60)
    assert (again.key.state, again.key.receipt_digest) == (KeyState.ACTIVE, digest("genuine"))
    with pytest.raises(JournalConflict):
        journal.settle(REQUEST, digest("another"), KeyState.ACTIVE, NOW + 70)


def test_an_older_key_is_not_settled_over_a_newer_one(journal: Journal) -> None:
    """Two officers are refused as a late receipt is: the newer active key stays."""
    unconfirmed(journal)
    released(journal, request_id=NEXT, confirmation="next", created_at=NOW + 10)
    journal.settle(NEXT, digest("next receipt"), KeyState.ACTIVE, NOW + 15)
    assert carry_out(journal, KeyAct.SETTLE_LOADED) is Reason.KEY_SUPERSEDED
    assert (state_of(journal), state_of(journal, NEXT)) == (KeyState.UNCONFIRMED, KeyState.ACTIVE)


@pytest.mark.parametrize("act", [KeyAct.SETTLE_LOADED, KeyAct.DESTROY])
def test_a_refused_order_is_refused_for_ever(journal: Journal, act: KeyAct) -> None:
    """Too early it does not act later by itself; the officers sign another one."""
    assert carry_out(journal, act, name="early") is Reason.KEY_STATE_REFUSED
    unconfirmed(journal)
    assert carry_out(journal, act, name="early") is Reason.KEY_STATE_REFUSED
    assert state_of(journal) is KeyState.UNCONFIRMED
    assert isinstance(carry_out(journal, act, name="in time"), KeyState)


def test_the_same_order_gets_the_same_answer(journal: Journal) -> None:
    """Also when the key went on since: what was done is told, and not done again."""
    unconfirmed(journal)
    assert carry_out(journal, KeyAct.SETTLE_LOADED) is KeyState.ACTIVE
    assert carry_out(journal, KeyAct.REVOKE) is KeyState.COMPROMISED
    assert carry_out(journal, KeyAct.SETTLE_LOADED) is KeyState.ACTIVE
    assert state_of(journal) is KeyState.COMPROMISED
    assert carry_out(journal, KeyAct.SETTLE_LOADED, name="new") is Reason.KEY_STATE_REFUSED


def test_an_order_about_no_key_or_another_terminals_is_refused(journal: Journal) -> None:
    """The terminal that officers named must be the key's."""
    unconfirmed(journal)
    assert carry_out(journal, KeyAct.REVOKE, NEXT) is Reason.KEY_UNKNOWN
    journal.begin_release(intent("intended", request_id=NEXT))
    assert carry_out(journal, KeyAct.REVOKE, NEXT, name="again") is Reason.KEY_UNKNOWN
    other = ordered(KeyAct.REVOKE, terminal_no="ATM-0002", name="other terminal")
    assert journal.begin_order(other).refused is Reason.WRONG_TERMINAL
    assert journal.finish_order(other.digest, NOW).refused is Reason.WRONG_TERMINAL
    assert state_of(journal) is KeyState.UNCONFIRMED


def test_an_order_is_finished_only_as_it_was_begun(journal: Journal) -> None:
    """No outcome without intent, and no second meaning of one digest."""
    with pytest.raises(JournalConflict):
        journal.finish_order(digest("never begun"), NOW)
    unconfirmed(journal)
    journal.begin_order(ordered(KeyAct.DESTROY, name="one"))
    for bent in (
        ordered(KeyAct.REVOKE, name="one"),
        ordered(KeyAct.DESTROY, request_id=NEXT, name="one"),
    ):
        with pytest.raises(JournalConflict):
            journal.begin_order(bent)
    assert state_of(journal) is KeyState.UNCONFIRMED


@pytest.mark.parametrize("act", [KeyAct.REVOKE, KeyAct.DESTROY])
def test_a_lost_key_is_neither_wrapped_again_nor_confirmed(journal: Journal, act: KeyAct) -> None:
    """Compromised or destroyed, no receipt and no order makes anything of it."""
    if act is KeyAct.DESTROY:
        unconfirmed(journal)
    carry_out(journal, act)
    with pytest.raises(JournalConflict):
        journal.save_rewrap(new_token("second"))
    for receipt in ("receipt", "another"):
        with pytest.raises(JournalConflict):
            journal.settle(REQUEST, digest(receipt), KeyState.ACTIVE, NOW + 60)
    lost = state_of(journal)
    assert journal.settle(REQUEST, None, KeyState.UNCONFIRMED, NOW + 60).key.state is lost
    for settling in (KeyAct.SETTLE_LOADED, KeyAct.SETTLE_NOT_LOADED):
        assert carry_out(journal, settling, name=settling) is Reason.KEY_STATE_REFUSED
    assert state_of(journal) is lost


def test_nothing_of_a_destroyed_key_is_left(journal: Journal, path: Path) -> None:
    """Not in its row, not in any byte of the journal's files; row, record and digests stay."""
    files = [path, path.with_name(f"{path.name}-wal")]
    # Of several pages, as a long token is: those are given back, not written over.
    long = KeyToken("tr34", PAGES, KeyAlgorithm.AES_128, sha256_hex(PAGES))
    journal.save_rewrap(NewToken(digest("long"), REQUEST, "ab" * 16, long, NOW))
    unconfirmed(journal)
    kept = (SECRET, TOKEN, PAGES[:40], PAGES[5_000:5_040], PAGES[-40:])
    for one in kept:
        assert any(one in file.read_bytes() for file in files)
    assert carry_out(journal, KeyAct.DESTROY) is KeyState.DESTROYED
    for one in kept:
        assert not any(one in file.read_bytes() for file in files)
    held = journal.key_of(REQUEST)
    assert held is not None
    assert (held.host_block, held.record) == (b"", f"release record of {REQUEST}")
    tokens = journal.tokens_of(REQUEST)
    assert [one.value for one in tokens] == [b"", b""]
    assert [one.token_digest for one in tokens] == [new_token("first").token.digest, long.digest]
    journal.verify()


def test_another_keys_copy_outlives_a_destruction(journal: Journal) -> None:
    """Only the ordered one is erased."""
    released(journal, request_id=NEXT, confirmation="next")
    unconfirmed(journal)
    carry_out(journal, KeyAct.DESTROY)
    held = journal.key_of(NEXT)
    assert held is not None
    assert held.host_block == new_key(request_id=NEXT).host_block
    assert [bool(one.value) for one in journal.tokens_of(NEXT)] == [True]


def test_the_same_key_twice_is_refused(journal: Journal) -> None:
    """By its keyed digest, whatever request, terminal or check value; the request gets no other."""
    journal.begin_release(intent("twin", request_id=NEXT, terminal_no="ATM-0002"))
    twin = new_key(request_id=NEXT)
    twin = type(twin)(
        **{
            **{name: getattr(twin, name) for name in twin.__dataclass_fields__},
            "uniqueness": new_key().uniqueness,
            "kcv": "ffffff",
        }
    )
    with pytest.raises(DuplicateKey) as refused:
        journal.save_key_and_first_token(twin, new_token("twin", request_id=NEXT))
    assert refused.value.first == REQUEST
    assert refused.value.reason is Reason.DUPLICATE_KEY
    assert journal.duplicate_of(NEXT) == REQUEST
    fresh = new_key(request_id=NEXT)
    with pytest.raises(DuplicateKey) as again:
        journal.save_key_and_first_token(fresh, new_token("fresh", request_id=NEXT))
    assert again.value.first == REQUEST
    assert journal.duplicate_of(REQUEST) is None
    assert journal.key_of(NEXT) is None
    assert journal.tokens_of(NEXT) == ()
    journal.verify()


def test_a_destroyed_key_is_not_made_again_either(journal: Journal) -> None:
    """For ever: the digest outlives the key."""
    unconfirmed(journal)
    carry_out(journal, KeyAct.DESTROY)
    test_the_same_key_twice_is_refused(journal)


def test_a_journal_of_the_former_version_is_brought_up(
    journal: Journal, path: Path, kek: bytes
) -> None:
    """Its keys stay, and officers may order about them."""
    journal.settle(REQUEST, None, KeyState.UNCONFIRMED, NOW)
    journal.close()
    with sqlite3.connect(path) as connection:
        for name in (table.name for table in TABLES if table.since > FORMER):
            connection.execute(f"DROP TABLE {name}")
            connection.execute("DELETE FROM heads WHERE name = ?", (name,))
        connection.execute(f"PRAGMA user_version = {FORMER}")
    connection.close()
    with Journal(path, kek) as again:
        assert state_of(again) is KeyState.UNCONFIRMED
        assert carry_out(again, KeyAct.SETTLE_LOADED) is KeyState.ACTIVE
        again.verify()
