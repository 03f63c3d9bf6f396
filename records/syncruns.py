"""Runs of the registry synchronisation and what each changed."""

import json
from collections.abc import Sequence

from sqlalchemy import update
from sqlmodel import Session, col, select

from records.inserting import find_or_create
from records.tables.sync_run import SyncRunRow


def start(session: Session, run_id: str, *, now: int) -> tuple[SyncRunRow, bool]:
    """Note that a run has begun, unless it was noted; return it and whether it is new."""
    return find_or_create(session, SyncRunRow(run_id=run_id, started_at=now))


def finish(
    session: Session,
    run_id: str,
    *,
    now: int,
    added: int,
    changed: int,
    removed: int,
    unchanged: int,
    refused: Sequence[tuple[str, str]],
    note: str | None = None,
    tag: str | None = None,
) -> bool:
    """Note a run's outcome once; `refused` pairs terminal_no and reason code. False if finished.

    `note` says why a run stopped, as a reason code; `tag` names the source's content if the
    run applied all of it.
    """
    refused_json = json.dumps(
        [{"terminal_no": terminal_no, "reason": reason} for terminal_no, reason in refused]
    )
    finished = session.exec(
        update(SyncRunRow)
        .where(col(SyncRunRow.run_id) == run_id, col(SyncRunRow.finished_at).is_(None))
        .values(
            finished_at=now,
            added=added,
            changed=changed,
            removed=removed,
            unchanged=unchanged,
            refused_json=refused_json,
            note=note,
            tag=tag,
        )
    )
    return bool(finished.rowcount)


def find(session: Session, run_id: str) -> SyncRunRow | None:
    """The run with this id."""
    return session.get(SyncRunRow, run_id)


def latest_tag(session: Session) -> str | None:
    """The tag of the newest finished run, if that run applied its source whole."""
    return session.exec(
        select(SyncRunRow.tag)
        .where(col(SyncRunRow.finished_at).is_not(None))
        .order_by(col(SyncRunRow.finished_at).desc(), col(SyncRunRow.run_id))
        .limit(1)
    ).first()


def latest(session: Session, *, limit: int = 20) -> Sequence[SyncRunRow]:
    """The newest runs, newest first."""
    return session.exec(
        select(SyncRunRow)
        .order_by(col(SyncRunRow.started_at).desc(), col(SyncRunRow.run_id))
        .limit(limit)
    ).all()
