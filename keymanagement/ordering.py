"""What officers' orders make of a key, in the journal: the intent first, the outcome for ever.

An order is known by its digest and judged by `ceremony.keylife` alone. What was found of it, done
or refused, is found again by its repeat; so an order that came too early does not act later by
itself. Every function works within the caller's transaction.
"""

from ceremony.keylife import OFFICERS_OF, KeyState, after
from ceremony.reasons import Reason
from keymanagement.journalerrors import JournalConflict, KeySuperseded
from keymanagement.journalfile import JournalFile, Row
from keymanagement.journalrows import (
    KEYS,
    RELEASES,
    TOKENS,
    HeldKey,
)
from keymanagement.orderrows import KEY_ORDERS, CarriedOrder, OrderIntent
from keymanagement.settling import retire_active, retired_of

ERASED = b""


def begin_order(file: JournalFile, intent: OrderIntent) -> CarriedOrder:
    """Write the intent of an order, or its refusal; or return what was written first.

    Raises:
        JournalConflict: if an order of this digest is about another key or act.
    """
    known = file.get(KEY_ORDERS, digest=intent.digest)
    if known is None:
        refused = _refusal(file, intent)
        known = {
            "digest": intent.digest,
            "request_id": intent.request_id,
            "terminal_no": intent.terminal_no,
            "act": intent.act.value,
            "intent_at": intent.intent_at,
            "state": None,
            "refused": None if refused is None else refused.value,
            "done_at": None if refused is None else intent.intent_at,
        }
        file.insert(KEY_ORDERS, known)
    carried = CarriedOrder.of_row(known)
    said = (intent.request_id, intent.terminal_no, intent.act)
    if (carried.request_id, carried.terminal_no, carried.act) != said:
        raise JournalConflict("an order of this digest is about another key")
    return carried


def finish_order(file: JournalFile, digest: str, now: int) -> CarriedOrder:
    """Carry out an order whose intent is written; repeatable, and what was done stays done.

    Raises:
        JournalConflict: if its intent was not written, or its key's row is gone.
    """
    row = file.get(KEY_ORDERS, digest=digest)
    if row is None:
        raise JournalConflict("the order was not begun")
    carried = CarriedOrder.of_row(row)
    if carried.done_at is not None:
        return carried
    outcome = _carry_out(file, carried, now)
    row = {
        **row,
        "state": outcome.value if isinstance(outcome, KeyState) else None,
        "refused": outcome.value if isinstance(outcome, Reason) else None,
        "done_at": now,
    }
    file.update(KEY_ORDERS, row)
    return CarriedOrder.of_row(row)


def retired_beside(file: JournalFile, request_id: str) -> tuple[HeldKey, ...]:
    """The retired keys of a request's terminal, oldest first; none if it has no key."""
    if file.get(RELEASES, request_id=request_id) is None:
        return ()
    return tuple(HeldKey.of_row(row) for row in retired_of(file, request_id))


def _refusal(file: JournalFile, intent: OrderIntent) -> Reason | None:
    release = file.get(RELEASES, request_id=intent.request_id)
    key = file.get(KEYS, request_id=intent.request_id)
    if release is None or key is None:
        return Reason.KEY_UNKNOWN
    if release["terminal_no"] != intent.terminal_no:
        return Reason.WRONG_TERMINAL
    allowed = after(KeyState(key["state"]), intent.actor, intent.act)
    return Reason.KEY_STATE_REFUSED if allowed is None else None


def _carry_out(file: JournalFile, order: CarriedOrder, now: int) -> KeyState | Reason:
    key = file.get(KEYS, request_id=order.request_id)
    if key is None:
        raise JournalConflict("the order's key is gone")
    # It may have moved since the intent was written: a receipt came, or another order.
    state = after(KeyState(key["state"]), OFFICERS_OF[order.act], order.act)
    if state is None:
        return Reason.KEY_STATE_REFUSED
    try:
        _move(file, key, state, now)
    except KeySuperseded:
        return Reason.KEY_SUPERSEDED
    return state


def _move(file: JournalFile, key: Row, state: KeyState, now: int) -> None:
    changes: Row = {}
    match state:
        case KeyState.ACTIVE:
            retire_active(file, key, now)
            # What receipt there was proved nothing: it must not be told the check value later.
            changes = {"receipt_digest": None}
        case KeyState.RETIRED:
            changes = {"receipt_digest": None}
        case KeyState.DESTROYED:
            changes = {"host_block": ERASED, "kcv_sealed": ERASED}
            _erase_tokens(file, key["request_id"])
    file.update(KEYS, {**key, **changes, "state": state.value, "settled_at": now})


def _erase_tokens(file: JournalFile, request_id: str) -> None:
    # A token is a copy too, under the EPP's key; its digest stays for whoever has to show it.
    for row in file.find(TOKENS, "request_id = :request_id", request_id=request_id):
        file.update(TOKENS, {**row, "value": ERASED})
