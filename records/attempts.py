"""Counting attempts so that no race gives one more than the limit."""

from sqlmodel import Session

from records.inserting import conflict_insert
from records.schema import METADATA
from records.tables.attempt import AttemptRow


def use(session: Session, scope: str, limit: int) -> int | None:
    """Use one attempt of a scope; return how many are used now, or None if none was left.

    One statement compares and counts. `limit` is at least 1.

    Raises:
        ValueError: if `limit` is below 1.
    """
    if limit < 1:
        raise ValueError("a limit is at least 1")
    table = METADATA.tables["attempts"]
    statement = (
        conflict_insert(session, table)
        .values(scope=scope, used=1)
        .on_conflict_do_update(
            index_elements=[table.c.scope],
            set_={"used": table.c.used + 1},
            where=table.c.used < limit,
        )
        .returning(table.c.used)
    )
    session.flush()
    used: int | None = session.connection().execute(statement).scalar_one_or_none()
    return used


def used(session: Session, scope: str) -> int:
    """How many attempts of a scope are used."""
    row = session.get(AttemptRow, scope, populate_existing=True)
    return 0 if row is None else row.used
