"""What receipts make of keys: active, unconfirmed, retired; repeatable, and never two active."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keymanagement.journal import Journal
from keymanagement.journalerrors import JournalConflict, KeySuperseded
from keymanagement.journalrows import KeyState
from tests.support.journals import NOW, REQUEST, digest, released

NEXT = "B" * 24


@pytest.fixture
def journal(tmp_path: Path, kek: bytes) -> Iterator[Journal]:
    """A journal with one released key."""
    with Journal(tmp_path / "journal.db", kek, create=True) as made:
        released(made)
        yield made


def state_of(journal: Journal, request_id: str) -> KeyState:
    """A key's state."""
    held = journal.key_of(request_id)
    assert held is not None
    return held.state


def test_a_good_receipt_activates(journal: Journal) -> None:
    """The key is active, with the receipt that made it so and the time; nothing else changes."""
    before = journal.key_of(REQUEST)
    settled = journal.settle(REQUEST, digest("receipt"), KeyState.ACTIVE, NOW + 5)
    assert before is not None
    assert settled.key == journal.key_of(REQUEST)
    assert settled.key.state is KeyState.ACTIVE
    assert settled.key.receipt_digest == digest("receipt")
    assert settled.key.settled_at == NOW + 5
    assert settled.key.host_block == before.host_block
    assert settled.retired == ()
    assert journal.kcv_of(REQUEST) == "08793e"


def test_the_same_receipt_gets_the_same_answer(journal: Journal) -> None:
    """A repeated settling changes nothing, not even the time."""
    first = journal.settle(REQUEST, digest("receipt"), KeyState.ACTIVE, NOW + 5)
    assert journal.settle(REQUEST, digest("receipt"), KeyState.ACTIVE, NOW + 9) == first


def test_the_previous_key_retires_in_the_same_step(journal: Journal) -> None:
    """The next key's activation retires this one, and a repeat names the retired key again."""
    journal.settle(REQUEST, digest("receipt"), KeyState.ACTIVE, NOW + 5)
    released(journal, request_id=NEXT, confirmation="next", created_at=NOW + 10)
    assert state_of(journal, REQUEST) is KeyState.ACTIVE
    settled = journal.settle(NEXT, digest("next receipt"), KeyState.ACTIVE, NOW + 15)
    assert [key.request_id for key in settled.retired] == [REQUEST]
    assert settled.retired[0].settled_at == NOW + 15
    assert state_of(journal, REQUEST) is KeyState.RETIRED
    assert journal.settle(NEXT, digest("next receipt"), KeyState.ACTIVE, NOW + 20) == settled


def test_another_terminals_key_stays(journal: Journal) -> None:
    """A key retires by its own terminal's next key only."""
    journal.settle(REQUEST, digest("receipt"), KeyState.ACTIVE, NOW)
    released(journal, request_id=NEXT, terminal_no="ATM-0002", confirmation="next")
    assert journal.settle(NEXT, digest("other"), KeyState.ACTIVE, NOW).retired == ()
    assert state_of(journal, REQUEST) is KeyState.ACTIVE


def test_an_unconfirmed_key_retires_nothing(journal: Journal) -> None:
    """Both keys stay until a receipt or an officer decides."""
    journal.settle(REQUEST, digest("receipt"), KeyState.ACTIVE, NOW)
    released(journal, request_id=NEXT, confirmation="next", created_at=NOW + 10)
    assert journal.settle(NEXT, None, KeyState.UNCONFIRMED, NOW + 15).retired == ()
    assert state_of(journal, REQUEST) is KeyState.ACTIVE
    settled = journal.settle(NEXT, digest("late"), KeyState.ACTIVE, NOW + 20)
    assert [key.request_id for key in settled.retired] == [REQUEST]


def test_a_late_deadline_takes_nothing_from_a_receipt(journal: Journal) -> None:
    """A timer that fires after the receipt leaves the key as the receipt left it."""
    settled = journal.settle(REQUEST, digest("receipt"), KeyState.ACTIVE, NOW)
    assert journal.settle(REQUEST, None, KeyState.UNCONFIRMED, NOW + 5) == settled


def test_an_active_key_is_not_unsettled(journal: Journal) -> None:
    """Another receipt does not change an active key."""
    journal.settle(REQUEST, digest("receipt"), KeyState.ACTIVE, NOW)
    for state in (KeyState.ACTIVE, KeyState.UNCONFIRMED):
        with pytest.raises(JournalConflict):
            journal.settle(REQUEST, digest("another"), state, NOW)
    assert state_of(journal, REQUEST) is KeyState.ACTIVE


def test_a_retired_key_answers_its_own_receipt_only(journal: Journal) -> None:
    """The receipt that once activated it is answered, any other is refused; it stays retired."""
    journal.settle(REQUEST, digest("receipt"), KeyState.ACTIVE, NOW)
    released(journal, request_id=NEXT, confirmation="next", created_at=NOW + 10)
    journal.settle(NEXT, digest("next receipt"), KeyState.ACTIVE, NOW + 15)
    again = journal.settle(REQUEST, digest("receipt"), KeyState.ACTIVE, NOW + 20)
    assert again.key.state is KeyState.RETIRED
    with pytest.raises(JournalConflict):
        journal.settle(REQUEST, digest("another"), KeyState.ACTIVE, NOW + 20)


def test_an_older_key_does_not_come_back(journal: Journal) -> None:
    """A late receipt for a key does not retire the newer one that is active."""
    journal.settle(REQUEST, None, KeyState.UNCONFIRMED, NOW)
    released(journal, request_id=NEXT, confirmation="next", created_at=NOW + 10)
    journal.settle(NEXT, digest("next receipt"), KeyState.ACTIVE, NOW + 15)
    with pytest.raises(KeySuperseded):
        journal.settle(REQUEST, digest("late"), KeyState.ACTIVE, NOW + 20)
    assert state_of(journal, NEXT) is KeyState.ACTIVE
    assert state_of(journal, REQUEST) is KeyState.UNCONFIRMED


def test_nothing_is_settled_without_a_key(journal: Journal) -> None:
    """A receipt for a request that has no key is a contradiction."""
    with pytest.raises(JournalConflict):
        journal.settle(NEXT, digest("receipt"), KeyState.ACTIVE, NOW)


@pytest.mark.parametrize("state", [KeyState.RELEASED, KeyState.RETIRED])
def test_a_receipt_neither_releases_nor_retires(journal: Journal, state: KeyState) -> None:
    """Only active and unconfirmed are what a receipt makes."""
    with pytest.raises(ValueError, match="receipt"):
        journal.settle(REQUEST, digest("receipt"), state, NOW)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.sampled_from([None, "one", "two"]),
            st.sampled_from([KeyState.ACTIVE, KeyState.UNCONFIRMED]),
        ),
        max_size=12,
    )
)
def test_a_terminal_never_has_two_active_keys(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[int, str | None, KeyState]],
) -> None:
    """Whatever receipts arrive in whatever order, at most one key of a terminal is active."""
    requests = [letter * 24 for letter in "ABCD"]
    path = tmp_path_factory.mktemp("settling") / "journal.db"
    with Journal(path, bytes(32), create=True) as journal:
        for age, request in enumerate(requests):
            released(journal, request_id=request, confirmation=request, created_at=NOW + age)
        was_active = False
        for number, receipt, state in steps:
            named = None if receipt is None else digest(receipt)
            try:
                journal.settle(requests[number], named, state, NOW + 100)
            except (JournalConflict, KeySuperseded):
                continue
            finally:
                active = [state_of(journal, one) for one in requests].count(KeyState.ACTIVE)
                assert active == 1 if was_active else active <= 1
                was_active = active == 1
        journal.verify()


def test_retired_keys_are_named_in_the_order_of_their_making(journal: Journal) -> None:
    """Not of their release, nor of their request_ids: whoever reads them reads a history."""
    released(journal, request_id=NEXT, confirmation="next", created_at=NOW - 10)
    journal.settle(NEXT, digest("next receipt"), KeyState.ACTIVE, NOW + 5)
    journal.settle(REQUEST, digest("receipt"), KeyState.ACTIVE, NOW + 10)
    released(journal, request_id="C" * 24, confirmation="last", created_at=NOW + 20)
    settled = journal.settle("C" * 24, digest("last receipt"), KeyState.ACTIVE, NOW + 25)
    assert [key.request_id for key in settled.retired] == [NEXT, REQUEST]


def test_of_two_keys_of_one_second_the_last_receipt_decides(journal: Journal) -> None:
    """Only a newer key stands in the way of an activation."""
    released(journal, request_id=NEXT, confirmation="next", created_at=NOW)
    journal.settle(REQUEST, digest("receipt"), KeyState.ACTIVE, NOW + 5)
    settled = journal.settle(NEXT, digest("next receipt"), KeyState.ACTIVE, NOW + 10)
    assert [key.request_id for key in settled.retired] == [REQUEST]
