"""What a receipt, or its absence, makes of a key: active, unconfirmed, and the previous retired.

All of it happens within the caller's transaction, so that a terminal never has two active keys in
the journal, and never none because its next one was only half settled.
"""

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
        if row["state"] not in {KeyState.RELEASED, KeyState.UNCONFIRMED}:
            raise JournalConflict("another receipt settled this key")
        if state is KeyState.ACTIVE:
            _retire_active(file, row, now)
        row = {**row, "state": state.value, "settled_at": now, "receipt_digest": receipt_digest}
        file.update(KEYS, row)
    retired = _keys_of_same_terminal(file, request_id, KeyState.RETIRED)
    return Settlement(HeldKey.of_row(row), tuple(HeldKey.of_row(one) for one in retired))


def _is_settled_so(held: HeldKey, receipt_digest: str | None, state: KeyState) -> bool:
    """Whether the key already stands as this receipt, or the lack of one, would leave it."""
    if held.state is KeyState.RELEASED:
        return False
    if state is KeyState.UNCONFIRMED and receipt_digest is None:
        # a deadline that fires late takes nothing from a receipt
        return True
    same = held.receipt_digest == receipt_digest
    return same and (held.state is state or held.state is KeyState.RETIRED)


def _retire_active(file: JournalFile, successor: Row, now: int) -> None:
    for row in _keys_of_same_terminal(file, successor["request_id"], KeyState.ACTIVE):
        if row["created_at"] > successor["created_at"]:
            raise KeySuperseded("the terminal has a newer active key")
        file.update(KEYS, {**row, "state": KeyState.RETIRED.value, "settled_at": now})


def _keys_of_same_terminal(file: JournalFile, request_id: str, state: KeyState) -> list[Row]:
    # by the releases and their MACs: a join would take an edited terminal number at its word
    release = file.get(RELEASES, request_id=request_id)
    if release is None:
        raise JournalConflict("no release was begun for this request")
    same = file.find(RELEASES, "terminal_no = :terminal_no", terminal_no=release["terminal_no"])
    keys = [file.get(KEYS, request_id=one["request_id"]) for one in same]
    found = [row for row in keys if row is not None and row["state"] == state]
    return sorted(found, key=lambda row: (row["created_at"], row["request_id"]))
