"""Spent states: a sign-in by OpenID Connect comes back once, whichever process it meets."""

from sqlalchemy import delete
from sqlmodel import Session, col

from records.inserting import find_or_create
from records.tables.spent_state import SpentStateRow


def spend(session: Session, state_digest: str, *, expires_at: int, now: int) -> bool:
    """Note that a state came back; False if it had before. Forgets those that have expired.

    Both times are Unix seconds. The caller refuses a state at `expires_at` by itself.
    """
    session.exec(delete(SpentStateRow).where(col(SpentStateRow.expires_at) <= now))
    row = SpentStateRow(state_digest=state_digest, expires_at=expires_at)
    _, first_time = find_or_create(session, row)
    return first_time
