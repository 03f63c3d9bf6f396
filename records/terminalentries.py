"""Entries of terminals in the registry, verbatim and signed.

These functions store and fetch. Whether an entry may be stored is decided, and its envelope
verified, by the caller; whoever relies on an entry verifies the envelope again.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum

from sqlalchemy import func, update
from sqlmodel import Session, col, select

from ceremony.revocations import Subject
from records import registrychanges
from records.inserting import find_or_create
from records.seq import StaleEntry, highest
from records.tables.terminal_entry import TerminalEntryRow
from records.turns import Turn, take_turn


class Put(StrEnum):
    """What storing an entry changed."""

    ADDED = "added"
    CHANGED = "changed"
    UNCHANGED = "unchanged"


def put_terminal_entry(session: Session, row: TerminalEntryRow) -> Put:
    """Make an entry the terminal's current one; the former is superseded and kept.

    ADDED if the terminal had no current entry, CHANGED if it had another. An entry on record
    again, newly signed, gets the new envelope and counts as UNCHANGED if it is current.

    Raises:
        StaleEntry: if a higher `seq`, or another entry of the same `seq`, is on record.
    """
    take_turn(session, Turn.TERMINALS)
    top = highest(
        session,
        col(TerminalEntryRow.seq),
        col(TerminalEntryRow.terminal_no) == row.terminal_no,
    )
    stored = session.get(TerminalEntryRow, row.digest)
    if top is not None and (row.seq < top or (row.seq == top and stored is None)):
        raise StaleEntry(row.seq, top)
    if stored is not None and stored.current:
        stored.envelope = row.envelope
        session.flush()
        return Put.UNCHANGED
    registrychanges.supersede(
        session, Subject.TERMINAL, row.terminal_no, row.seq, now=row.recorded_at
    )
    superseded = _clear_current(session, row.terminal_no)
    if stored is None:
        stored, _ = find_or_create(session, row)
    stored.envelope = row.envelope
    stored.current = True
    stored.withdrawn_at = None
    session.flush()
    return Put.CHANGED if superseded else Put.ADDED


def put_waiting_terminal(session: Session, row: TerminalEntryRow, *, now: int) -> None:
    """Store an entry that takes effect later, and begin its change; the current one goes on.

    Raises:
        StaleEntry: if a higher `seq`, or another entry of the same `seq`, is on record.
    """
    take_turn(session, Turn.TERMINALS)
    top = highest(
        session,
        col(TerminalEntryRow.seq),
        col(TerminalEntryRow.terminal_no) == row.terminal_no,
        col(TerminalEntryRow.digest) != row.digest,
    )
    if top is not None and row.seq <= top:
        raise StaleEntry(row.seq, top)
    row.current = False
    stored, _ = find_or_create(session, row)
    stored.envelope = row.envelope
    registrychanges.begin(session, Subject.TERMINAL, row.terminal_no, row.digest, row.seq, now=now)
    session.flush()


def withdraw_terminal(
    session: Session, terminal_no: str, *, now: int, upto: int | None = None
) -> bool:
    """Leave the terminal without a current entry, and let none wait; False if it had none.

    What waits above the `seq` of `upto`, if that is given, goes on waiting.
    """
    take_turn(session, Turn.TERMINALS)
    registrychanges.withdraw_all(session, Subject.TERMINAL, terminal_no, now=now, upto=upto)
    return _clear_current(session, terminal_no, withdrawn_at=now)


def _clear_current(session: Session, terminal_no: str, withdrawn_at: int | None = None) -> bool:
    cleared = session.exec(
        update(TerminalEntryRow)
        .where(col(TerminalEntryRow.terminal_no) == terminal_no, col(TerminalEntryRow.current))
        .values(current=False, withdrawn_at=withdrawn_at)
    )
    return bool(cleared.rowcount)


def terminal_entry(session: Session, digest: str) -> TerminalEntryRow | None:
    """The entry with this digest, current or not."""
    return session.get(TerminalEntryRow, digest)


def current_terminal(session: Session, terminal_no: str) -> TerminalEntryRow | None:
    """The terminal's current entry."""
    return session.exec(
        select(TerminalEntryRow).where(
            TerminalEntryRow.terminal_no == terminal_no, col(TerminalEntryRow.current)
        )
    ).one_or_none()


def terminal_history(session: Session, terminal_no: str) -> Sequence[TerminalEntryRow]:
    """Every entry of a terminal that is on record, the highest `seq` first."""
    return session.exec(
        select(TerminalEntryRow)
        .where(TerminalEntryRow.terminal_no == terminal_no)
        .order_by(col(TerminalEntryRow.seq).desc())
    ).all()


def highest_seqs(session: Session, *, after: str, limit: int) -> list[tuple[str, int]]:
    """The next terminals by number, withdrawn or not, each with its highest `seq` on record."""
    found = session.exec(
        select(TerminalEntryRow.terminal_no, func.max(TerminalEntryRow.seq))
        .where(TerminalEntryRow.terminal_no > after)
        .group_by(col(TerminalEntryRow.terminal_no))
        .order_by(col(TerminalEntryRow.terminal_no))
        .limit(limit)
    )
    return [(terminal_no, seq) for terminal_no, seq in found]


def terminal_by_device_kid(session: Session, kid: str) -> TerminalEntryRow | None:
    """The current entry that names this device key (RFC 7638 thumbprint); the first by number."""
    return session.exec(
        select(TerminalEntryRow)
        .where(TerminalEntryRow.device_kid == kid, col(TerminalEntryRow.current))
        .order_by(col(TerminalEntryRow.terminal_no))
    ).first()


def terminal_by_epp_key(session: Session, fingerprint: str) -> TerminalEntryRow | None:
    """The current entry whose EPP has this public key (SHA-256 hex); the first by number."""
    return session.exec(
        select(TerminalEntryRow)
        .where(TerminalEntryRow.epp_key_fingerprint == fingerprint, col(TerminalEntryRow.current))
        .order_by(col(TerminalEntryRow.terminal_no))
    ).first()


def any_terminal(session: Session) -> TerminalEntryRow | None:
    """Some terminal's current entry: the first by number."""
    return session.exec(
        select(TerminalEntryRow)
        .where(col(TerminalEntryRow.current))
        .order_by(col(TerminalEntryRow.terminal_no))
        .limit(1)
    ).first()


def count_current_terminals(session: Session) -> int:
    """How many terminals have a current entry."""
    return session.exec(
        select(func.count()).select_from(TerminalEntryRow).where(col(TerminalEntryRow.current))
    ).one()


def all_current_terminals(session: Session, *, batch: int = 500) -> Iterator[TerminalEntryRow]:
    """Yield every current entry by terminal number, fetched `batch` at a time."""
    after = ""
    while True:
        page = session.exec(
            select(TerminalEntryRow)
            .where(col(TerminalEntryRow.current), TerminalEntryRow.terminal_no > after)
            .order_by(col(TerminalEntryRow.terminal_no))
            .limit(batch)
        ).all()
        yield from page
        if len(page) < batch:
            return
        after = page[-1].terminal_no


def newest_terminals(session: Session, *, in_effect: bool = False) -> Sequence[TerminalEntryRow]:
    """For every terminal ever known its newest entry (highest `seq`), withdrawn or not.

    With `in_effect` the newest that is, or was, in effect: none that waits or was ended before.
    """
    chosen = select(TerminalEntryRow.terminal_no, func.max(TerminalEntryRow.seq).label("seq"))
    if in_effect:
        chosen = chosen.where(
            col(TerminalEntryRow.digest).not_in(registrychanges.digests_not_in_effect())
        )
    newest = chosen.group_by(col(TerminalEntryRow.terminal_no)).subquery()
    return session.exec(
        select(TerminalEntryRow)
        .join(
            newest,
            (col(TerminalEntryRow.terminal_no) == newest.c.terminal_no)
            & (col(TerminalEntryRow.seq) == newest.c.seq),
        )
        .order_by(col(TerminalEntryRow.terminal_no))
    ).all()
