"""A KEK is replaced while the key worker goes on, and nothing is left under the former one."""

import os
import sqlite3
from pathlib import Path

import pytest

from keymanagement.hostcopy import HostCopies
from keymanagement.journal import Journal
from keymanagement.journalerrors import DuplicateKey, JournalCorrupt
from keymanagement.journalrows import KEYS, KeyState, NewKey
from keymanagement.kcvseal import KcvSeal, SealedKcvInvalid
from keymanagement.port import HostCopyInvalid, KeyAlgorithm, KeyBinding
from keymanagement.renewal import RenewalPlace, RenewKey, software_renewal
from keymanagement.software import SoftwareKeyManager
from keymanagement.subkeys import KekInvalid
from keymanagement.uniqueness import KeyUniqueness
from tests.support.journals import NOW, digest, intent, new_token
from tests.support.keytokens import sample_kdh

OLD, NEW = bytes(range(32)), bytes(range(1, 33))
REQUESTS = tuple(letter * 24 for letter in "ABCDE")
BINDING = {one: KeyBinding(f"ATM-000{n}", one) for n, one in enumerate(REQUESTS, 1)}


def filled(path: Path) -> dict[str, str]:
    """A journal under the old KEK with five keys; their KCVs by request."""
    manager = SoftwareKeyManager(OLD, sample_kdh())
    kcvs = {}
    with Journal(path, OLD, create=True) as journal:
        for one in REQUESTS:
            made = manager.create(KeyAlgorithm.AES_128, BINDING[one])
            journal.begin_release(intent(one, request_id=one, terminal_no=BINDING[one].terminal_no))
            journal.save_key_and_first_token(
                NewKey(
                    request_id=one,
                    algorithm=KeyAlgorithm.AES_128,
                    host_block=made.block,
                    kcv=made.kcv,
                    record=f"release record of {one}",
                    created_at=NOW,
                    uniqueness=made.uniqueness,
                ),
                new_token(one, request_id=one),
            )
            kcvs[one] = made.kcv
        journal.settle(REQUESTS[0], digest("receipt"), KeyState.ACTIVE, NOW + 1)
    return kcvs


def renew_all(journal: Journal, renew_key: RenewKey | None, limit: int = 2) -> int:
    """Renew page after page, and count the rows renewed."""
    rows, place = 0, RenewalPlace()
    while True:
        page = journal.renew(place, renew_key, limit=limit)
        rows += page.rows
        if page.after is None:
            return rows
        place = page.after


@pytest.mark.parametrize("limit", [1, 2, 500])
def test_after_a_renewal_the_new_kek_alone_is_enough(tmp_path: Path, limit: int) -> None:
    """Rows, host's copies, KCVs and uniqueness: all are there, and the old KEK opens nothing."""
    path = tmp_path / "journal.db"
    kcvs = filled(path)
    with Journal(path, NEW, OLD) as journal:
        assert renew_all(journal, software_renewal(NEW, OLD), limit) > 3 * len(REQUESTS)
        assert renew_all(journal, software_renewal(NEW, OLD), limit) == 0
    manager = SoftwareKeyManager(NEW, sample_kdh())
    with Journal(path, NEW) as journal:
        journal.verify()
        for one in REQUESTS:
            held = journal.key_of(one)
            assert held is not None
            kcv = manager.kcv(held.host_block, held.algorithm, BINDING[one])
            assert kcv == journal.kcv_of(one) == kcvs[one]
        assert renew_all(journal, software_renewal(NEW)) == 0
    with pytest.raises(JournalCorrupt):
        Journal(path, OLD)


def test_a_journal_under_two_keks_goes_on_working(tmp_path: Path) -> None:
    """Half renewed: old and new rows are read, a key is settled, a new one saved."""
    path = tmp_path / "journal.db"
    kcvs = filled(path)
    with Journal(path, NEW, OLD) as journal:
        journal.renew(RenewalPlace(), None, limit=3)
        journal.settle(REQUESTS[1], digest("second"), KeyState.ACTIVE, NOW + 2)
        assert {one: journal.kcv_of(one) for one in REQUESTS} == kcvs
        journal.begin_release(intent("new", request_id="N" * 24, terminal_no="ATM-0009"))
        journal.verify()
    with pytest.raises(JournalCorrupt):
        Journal(path, NEW).verify()
    with Journal(path, NEW, OLD) as journal:
        renew_all(journal, software_renewal(NEW, OLD))
    manager = SoftwareKeyManager(NEW, sample_kdh())
    with Journal(path, NEW) as journal:
        journal.verify()
        # The settled key's row was under the new KEK already, and its copy under the old one.
        held = journal.key_of(REQUESTS[1])
        assert held is not None
        assert manager.kcv(held.host_block, held.algorithm, BINDING[REQUESTS[1]])


def test_a_key_of_before_is_known_again_after_a_renewal(tmp_path: Path) -> None:
    """The same key value under the new KEK is refused, as it would have been under the old one."""
    path = tmp_path / "journal.db"
    filled(path)
    with Journal(path, NEW, OLD) as journal:
        renew_all(journal, software_renewal(NEW, OLD))
    with Journal(path, NEW) as journal:
        held = journal.key_of(REQUESTS[0])
        assert held is not None
        copy = HostCopies(NEW).open(held.host_block, held.algorithm, BINDING[REQUESTS[0]])
        again = "N" * 24
        journal.begin_release(intent("again", request_id=again, terminal_no="ATM-0009"))
        made = NewKey(
            request_id=again,
            algorithm=KeyAlgorithm.AES_128,
            host_block=b"a copy",
            kcv="000000",
            record="release record",
            created_at=NOW,
            uniqueness=KeyUniqueness(NEW).of(copy),
        )
        with pytest.raises(DuplicateKey):
            journal.save_key_and_first_token(made, new_token("again", request_id=again))


def test_a_renewal_that_stopped_starts_again(tmp_path: Path) -> None:
    """Killed after any page, the next run from the beginning does the rest and nothing twice."""
    path = tmp_path / "journal.db"
    filled(path)
    renewed, place = 0, RenewalPlace()
    for _ in range(4):
        with Journal(path, NEW, OLD) as journal:
            page = journal.renew(place, software_renewal(NEW, OLD), limit=2)
        renewed += page.rows
        assert page.after is not None
        place = page.after
    with Journal(path, NEW, OLD) as journal:
        rest = renew_all(journal, software_renewal(NEW, OLD))
    whole = tmp_path / "whole.db"
    filled(whole)
    with Journal(whole, NEW, OLD) as journal:
        assert renew_all(journal, software_renewal(NEW, OLD)) == renewed + rest


def test_a_page_that_fails_changes_nothing(tmp_path: Path) -> None:
    """A key that opens under none of the KEKs stops the page, and the page is rolled back."""
    path = tmp_path / "journal.db"
    filled(path)
    with Journal(path, NEW, OLD) as journal:
        keys = RenewalPlace(table=1)
        with pytest.raises(HostCopyInvalid, match="another KEK"):
            journal.renew(keys, software_renewal(NEW, os.urandom(32)), limit=100)
        assert journal.renew(keys, software_renewal(NEW, OLD), limit=100).rows == len(REQUESTS)


@pytest.mark.parametrize(
    "copy", [b"KFHH\x01" + b"n" * 40, b"KFHC\x01sealed"], ids=["HSM", "former"]
)
def test_a_copy_that_is_no_block_is_left_and_counted(tmp_path: Path, copy: bytes) -> None:
    """Its KCV and its row come under the new KEK like all others, and the old one can go."""
    path = tmp_path / "journal.db"
    kcvs = filled(path)
    with Journal(path, OLD) as journal, journal._file.transaction():
        row = journal._file.get(KEYS, request_id=REQUESTS[1])
        assert row is not None
        journal._file.update(KEYS, {**row, "host_block": copy})
    with Journal(path, NEW, OLD) as journal:
        page = journal.renew(RenewalPlace(table=1), software_renewal(NEW, OLD), limit=100)
        assert (page.rows, page.left) == (len(REQUESTS), 1)
        again = journal.renew(RenewalPlace(table=1), software_renewal(NEW, OLD), limit=100)
        assert (again.rows, again.left) == (0, 1)
        renew_all(journal, software_renewal(NEW, OLD))
    with Journal(path, NEW) as journal:
        journal.verify()
        held = journal.key_of(REQUESTS[1])
        assert held is not None
        assert held.host_block == copy
        assert {one: journal.kcv_of(one) for one in REQUESTS} == kcvs


def test_the_keys_of_a_page_are_named_with_their_copies(tmp_path: Path) -> None:
    """Renewed now or before, so that a run after a crash can bring the records up to it."""
    path = tmp_path / "journal.db"
    filled(path)
    with Journal(path, NEW, OLD) as journal:
        first = journal.renew(RenewalPlace(table=1), software_renewal(NEW, OLD), limit=100)
        again = journal.renew(RenewalPlace(table=1), software_renewal(NEW, OLD), limit=100)
        assert (first.rows, again.rows) == (len(REQUESTS), 0)
        assert first.keys == again.keys
        held = {one: journal.key_of(one) for one in REQUESTS}
    assert first.keys == {one: key.host_block for one, key in held.items() if key is not None}


def test_the_former_kek_of_a_forger_is_no_use_after_the_overlap(tmp_path: Path) -> None:
    """While both are held a row under the former one is believed; afterwards it is not."""
    path = tmp_path / "journal.db"
    filled(path)
    with sqlite3.connect(path) as rows:
        before = rows.execute("SELECT * FROM keys WHERE request_id = ?", (REQUESTS[2],)).fetchone()
    rows.close()
    with Journal(path, NEW, OLD) as journal:
        renew_all(journal, software_renewal(NEW, OLD))
    with sqlite3.connect(path) as rows:
        marks = ", ".join("?" for _ in before)
        rows.execute("DELETE FROM keys WHERE request_id = ?", (REQUESTS[2],))
        rows.execute(f"INSERT INTO keys VALUES ({marks})", before)  # noqa: S608 - marks only
    rows.close()
    with Journal(path, NEW) as journal, pytest.raises(JournalCorrupt):
        journal.key_of(REQUESTS[2])
    with Journal(path, NEW, OLD) as journal:
        assert journal.key_of(REQUESTS[2]) is not None


def test_a_kcv_is_sealed_again_once() -> None:
    """Under the newest KEK, for the same request; one that is there already is left alone."""
    ring = KcvSeal(NEW, OLD)
    old = KcvSeal(OLD).seal("request", "0a1b2c")
    new = ring.resealed("request", old)
    assert KcvSeal(NEW).open("request", new) == ring.open("request", old) == "0a1b2c"
    assert ring.resealed("request", new) == new
    with pytest.raises(SealedKcvInvalid):
        ring.resealed("another request", old)
    with pytest.raises(SealedKcvInvalid):
        KcvSeal(OLD).open("request", new)


def test_a_former_kek_has_32_bytes_too(tmp_path: Path) -> None:
    """A short one is refused wherever it is given."""
    with pytest.raises(KekInvalid):
        KcvSeal(NEW, b"short")
    with pytest.raises(KekInvalid):
        software_renewal(NEW, b"short")
    with pytest.raises(KekInvalid):
        Journal(tmp_path / "journal.db", NEW, b"short", create=True)
