"""The host's copies of the keys and the tokens that carried them, as the key worker published them.

The key worker's own journal decides; these rows are what everyone else sees of it.
"""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import or_, update
from sqlmodel import Session, col, select

from ceremony.keylife import LOST
from records import keyexports
from records.inserting import find_or_create
from records.tables.key import KeyRow, KeyState
from records.tables.token import TokenRow


def publish_key(session: Session, row: KeyRow) -> tuple[KeyRow, bool]:
    """Store a loading request's key unless it has one; return the stored one and if it is new."""
    return find_or_create(session, row)


def publish_token(session: Session, row: TokenRow) -> tuple[TokenRow, bool]:
    """Store the token that answers a confirmation unless it has one; its key must be published.

    Raises:
        sqlalchemy.exc.IntegrityError: if the key is not published, or another confirmation has
            this ordinal or these bytes.
    """
    return find_or_create(session, row)


def key(session: Session, request_id: str) -> KeyRow | None:
    """The key of a loading request."""
    return session.get(KeyRow, request_id)


def active_key(session: Session, terminal_no: str) -> KeyRow | None:
    """The terminal's active key."""
    return session.exec(
        select(KeyRow).where(KeyRow.terminal_no == terminal_no, KeyRow.state == KeyState.ACTIVE)
    ).one_or_none()


def keys_of_terminal(session: Session, terminal_no: str) -> Sequence[KeyRow]:
    """Every key of a terminal, the newest first."""
    return session.exec(
        select(KeyRow)
        .where(KeyRow.terminal_no == terminal_no)
        .order_by(col(KeyRow.released_at).desc(), col(KeyRow.request_id))
    ).all()


def search(
    session: Session,
    *,
    terminal_no: str | None = None,
    state: KeyState | None = None,
    after: str = "",
    limit: int = 500,
) -> Sequence[KeyRow]:
    """The keys with a request id above `after`, in that order, at most `limit`."""
    chosen = select(KeyRow).where(col(KeyRow.request_id) > after)
    if terminal_no is not None:
        chosen = chosen.where(KeyRow.terminal_no == terminal_no)
    if state is not None:
        chosen = chosen.where(KeyRow.state == state)
    return session.exec(chosen.order_by(col(KeyRow.request_id)).limit(limit)).all()


def token_for(session: Session, confirmation_digest: str) -> TokenRow | None:
    """The token that answers this confirmation."""
    return session.get(TokenRow, confirmation_digest)


def published_digest(session: Session, request_id: str, confirmation_digest: str) -> str | None:
    """The digest of the token that this request's confirmation was answered with, if it was."""
    row = token_for(session, confirmation_digest)
    return None if row is None or row.request_id != request_id else row.token_digest


def confirmed_kcv(session: Session, request_id: str) -> str | None:
    """The check value of a request's key if a receipt made it active, whether or not it retired."""
    row = key(session, request_id)
    confirmed = row is not None and row.state in {KeyState.ACTIVE, KeyState.RETIRED}
    return row.kcv if row is not None and confirmed else None


def tokens_of(session: Session, request_id: str) -> Sequence[TokenRow]:
    """The tokens of a loading request, the release's first."""
    return session.exec(
        select(TokenRow).where(TokenRow.request_id == request_id).order_by(col(TokenRow.ordinal))
    ).all()


def set_state(
    session: Session,
    request_id: str,
    from_states: Collection[KeyState],
    to_state: KeyState,
    *,
    now: int,
) -> bool:
    """Move a key's state if it is one of `from_states`; False if it is not, or there is no key.

    Notes the time of activation, retirement, compromise or destruction, and takes away the export
    of a key that is active no more. Retire a terminal's active key before another is made active.

    Raises:
        sqlalchemy.exc.IntegrityError: if the terminal would have two active keys.
    """
    values: dict[str, Any] = {"state": to_state}
    if to_state is KeyState.ACTIVE:
        values["activated_at"] = now
    if to_state is KeyState.RETIRED:
        values["retired_at"] = now
    if to_state is KeyState.COMPROMISED:
        values["compromised_at"] = now
    if to_state is KeyState.DESTROYED:
        values["destroyed_at"] = now
    moved = session.exec(
        update(KeyRow)
        .where(col(KeyRow.request_id) == request_id, col(KeyRow.state).in_(from_states))
        .values(**values)
    )
    if not moved.rowcount:
        return False
    if to_state is not KeyState.ACTIVE:
        keyexports.withdraw(session, request_id, now=now)
    return True


def retire_active(session: Session, terminal_no: str, *, except_request_id: str, now: int) -> bool:
    """Retire the terminal's active key, unless it is that of `except_request_id`; False if none."""
    row = active_key(session, terminal_no)
    if row is None or row.request_id == except_request_id:
        return False
    return set_state(session, row.request_id, (KeyState.ACTIVE,), KeyState.RETIRED, now=now)


def may_follow(row: KeyRow, state: KeyState) -> bool:
    """Whether a row may take a state: what takes a key away is not undone by a late publication."""
    if row.state is KeyState.COMPROMISED:
        return state in LOST
    return row.state is not KeyState.DESTROYED or state is KeyState.DESTROYED


def follow_order(
    session: Session, request_id: str, state: KeyState, order_digest: str | None, *, at: int
) -> bool:
    """Give a key the journal's state, whatever this row said; False if there is no key.

    A lost key is never brought back (`may_follow`): the answer that says so is an old one. The
    terminal's other active key must be retired before. Times that are noted stay;
    `order_digest` names an order that is new, or is None.
    """
    row = key(session, request_id)
    if row is None or not may_follow(row, state):
        return False
    times = {
        KeyState.ACTIVE: "activated_at",
        KeyState.RETIRED: "retired_at",
        KeyState.COMPROMISED: "compromised_at",
        KeyState.DESTROYED: "destroyed_at",
    }
    name = times.get(state)
    if name is not None and getattr(row, name) is None:
        setattr(row, name, at)
    row.state = state
    row.order_digest = order_digest or row.order_digest
    session.flush()
    if state is not KeyState.ACTIVE:
        keyexports.withdraw(session, request_id, now=at)
    return True


def withdraw(session: Session, request_id: str, *, erase: bool) -> None:
    """Take a lost key's tokens and export away, and with `erase` the host's copy.

    Their digests stay.
    """
    keyexports.erase(session, request_id)
    session.exec(update(TokenRow).where(col(TokenRow.request_id) == request_id).values(value=""))
    if erase:
        session.exec(
            update(KeyRow).where(col(KeyRow.request_id) == request_id).values(host_block=None)
        )


def renew_block(session: Session, request_id: str, block: bytes) -> bool:
    """Replace a key's host's copy by the same key's under another KEK; never an erased one."""
    renewed = session.exec(
        update(KeyRow)
        .where(
            col(KeyRow.request_id) == request_id,
            col(KeyRow.host_block).is_not(None),
            col(KeyRow.host_block) != block,
        )
        .values(host_block=block)
    )
    return bool(renewed.rowcount)


def set_kcv(session: Session, request_id: str, kcv: str) -> bool:
    """Note a key's check value, after a receipt only; False if there is no key or another value."""
    noted = session.exec(
        update(KeyRow)
        .where(
            col(KeyRow.request_id) == request_id,
            or_(col(KeyRow.kcv).is_(None), col(KeyRow.kcv) == kcv),
        )
        .values(kcv=kcv)
    )
    return bool(noted.rowcount)
