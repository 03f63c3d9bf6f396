"""What a receipt, or its absence, makes of a key: active, unconfirmed, and the previous retired.

`ceremony.keylife` says what may follow what. All of it happens within the caller's transaction, so
that a terminal never has two active keys in the journal, and never none because its next one was
only half settled.
"""

from ceremony.keylife import KeyAct, KeyActor, after
from keymanagement.journalerrors import JournalConflict, KeySuperseded
from keymanagement.journalfile import JournalFile, Row
from keymanagement.journalrows import KEYS, RELEASES, HeldKey, KeyState, Settlement


def settle(
    file: JournalFile, request_id: str, receipt_digest: str | None, state: KeyState, now: int
) -> Settlement:
    """Settle a key as `Journal.settle` describes.

    Raises:
        ValueError: if `state` is neither ACTIVE nor UNCONFIRMED.
        JournalConflict: if the request has no key, or another receipt settled it.
        KeySuperseded: if the terminal has a newer active key.
    """
    if state not in {KeyState.ACTIVE, KeyState.UNCONFIRMED}:
        raise ValueError("a receipt makes a key active or unconfirmed")
    row = file.get(KEYS, request_id=request_id)
    if row is None:
        raise JournalConflict("the request has no key")
    if not _is_settled_so(HeldKey.of_row(row), receipt_digest, state):
        if not _may_settle(HeldKey.of_row(row), receipt_digest, state):
            raise JournalConflict("this key was settled already")
        if state is KeyState.ACTIVE:
            retire_active(file, row, now)
        row = {**row, "state": state.value, "settled_at": now, "receipt_digest": receipt_digest}
        file.update(KEYS, row)
    retired = retired_of(file, request_id)
    return Settlement(HeldKey.of_row(row), tuple(HeldKey.of_row(one) for one in retired))


def retire_active(file: JournalFile, successor: Row, now: int) -> None:
    """Retire the terminal's other active key, because a newer one is about to be active.

    Raises:
        KeySuperseded: if the active key is the newer one.
    """
    for row in _keys_of_same_terminal(file, successor["request_id"], KeyState.ACTIVE):
        if row["request_id"] == successor["request_id"]:
            continue
        if row["created_at"] > successor["created_at"]:
            raise KeySuperseded("the terminal has a newer active key")
        file.update(KEYS, {**row, "state": KeyState.RETIRED.value, "settled_at": now})


def active_of(file: JournalFile, terminal_no: str) -> list[Row]:
    """The rows of a terminal's active key: one, or none."""
    return _keys_of_terminal(file, terminal_no, KeyState.ACTIVE)


def retired_of(file: JournalFile, request_id: str) -> list[Row]:
    """The rows of the retired keys of a request's terminal, oldest first.

    Raises:
        JournalConflict: if nothing was released for the request.
    """
    return _keys_of_same_terminal(file, request_id, KeyState.RETIRED)


def _may_settle(held: HeldKey, receipt_digest: str | None, state: KeyState) -> bool:
    if held.state is KeyState.ACTIVE and held.receipt_digest is not None:
        return False
    actor = KeyActor.DEADLINE if receipt_digest is None else KeyActor.TERMINAL
    act = KeyAct.LOADED if state is KeyState.ACTIVE else KeyAct.NOT_PROVED
    return after(held.state, actor, act) is state


def _is_settled_so(held: HeldKey, receipt_digest: str | None, state: KeyState) -> bool:
    """Whether the key already stands as this receipt, or the lack of one, would leave it."""
    if held.state is KeyState.RELEASED:
        return False
    if state is KeyState.UNCONFIRMED and receipt_digest is None:
        # a deadline that fires late takes nothing from a receipt
        return True
    same = held.receipt_digest == receipt_digest
    return same and (held.state is state or held.state is KeyState.RETIRED)


def _keys_of_same_terminal(file: JournalFile, request_id: str, state: KeyState) -> list[Row]:
    release = file.get(RELEASES, request_id=request_id)
    if release is None:
        raise JournalConflict("no release was begun for this request")
    return _keys_of_terminal(file, release["terminal_no"], state)


def _keys_of_terminal(file: JournalFile, terminal_no: str, state: KeyState) -> list[Row]:
    # by the releases and their MACs: a join would take an edited terminal number at its word
    same = file.find(RELEASES, "terminal_no = :terminal_no", terminal_no=terminal_no)
    keys = [file.get(KEYS, request_id=one["request_id"]) for one in same]
    found = [row for row in keys if row is not None and row["state"] == state]
    return sorted(found, key=lambda row: (row["created_at"], row["request_id"]))
