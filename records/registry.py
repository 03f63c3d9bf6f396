"""The registry: entries of terminals and of administrators' credentials, verbatim and signed.

These functions store and fetch. Whether an entry may be stored is decided, and its envelope
verified, by the caller; whoever relies on an entry verifies the envelope again.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum

from sqlalchemy import ColumnElement, func, or_, update
from sqlalchemy.orm import Mapped
from sqlmodel import Session, col, select

from records.inserting import find_or_create
from records.tables.credential_entry import CredentialEntryRow, CredentialState
from records.tables.terminal_entry import TerminalEntryRow


class Put(StrEnum):
    """What storing an entry changed."""

    ADDED = "added"
    CHANGED = "changed"
    UNCHANGED = "unchanged"


class StaleEntry(Exception):
    """The entry's `seq` is not above the highest that is on record for its terminal or person."""

    def __init__(self, seq: int, highest: int) -> None:
        """Tell both numbers."""
        super().__init__(f"seq {seq} is not above {highest}")
        self.seq = seq
        self.highest = highest


class CredentialTaken(Exception):
    """Another person's active entry has the same key, passkey or staff number."""


def put_terminal_entry(session: Session, row: TerminalEntryRow) -> Put:
    """Make an entry the terminal's current one; the former is superseded and kept.

    ADDED if the terminal had no current entry, CHANGED if it had another. An entry on record
    again, newly signed, gets the new envelope and counts as UNCHANGED if it is current.

    Raises:
        StaleEntry: if a higher `seq`, or another entry of the same `seq`, is on record.
    """
    highest = _highest(
        session,
        col(TerminalEntryRow.seq),
        col(TerminalEntryRow.terminal_no) == row.terminal_no,
    )
    stored = session.get(TerminalEntryRow, row.digest)
    if highest is not None and (row.seq < highest or (row.seq == highest and stored is None)):
        raise StaleEntry(row.seq, highest)
    if stored is not None and stored.current:
        stored.envelope = row.envelope
        session.flush()
        return Put.UNCHANGED
    superseded = _clear_current(session, row.terminal_no)
    if stored is None:
        stored, _ = find_or_create(session, row)
    stored.envelope = row.envelope
    stored.current = True
    stored.withdrawn_at = None
    session.flush()
    return Put.CHANGED if superseded else Put.ADDED


def withdraw_terminal(session: Session, terminal_no: str, *, now: int) -> bool:
    """Leave the terminal without a current entry; False if it had none."""
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


def newest_terminals(session: Session) -> Sequence[TerminalEntryRow]:
    """For every terminal ever known its newest entry (highest `seq`), withdrawn or not."""
    newest = (
        select(TerminalEntryRow.terminal_no, func.max(TerminalEntryRow.seq).label("seq"))
        .group_by(col(TerminalEntryRow.terminal_no))
        .subquery()
    )
    return session.exec(
        select(TerminalEntryRow)
        .join(
            newest,
            (col(TerminalEntryRow.terminal_no) == newest.c.terminal_no)
            & (col(TerminalEntryRow.seq) == newest.c.seq),
        )
        .order_by(col(TerminalEntryRow.terminal_no))
    ).all()


def put_credential_entry(
    session: Session, row: CredentialEntryRow
) -> tuple[CredentialEntryRow, bool]:
    """Store a credential entry in the state it carries, find-or-create by digest.

    Store it as PENDING and activate it afterwards, so that a former one is superseded.

    Raises:
        sqlalchemy.exc.IntegrityError: if it is ACTIVE while the person or key has another active.
    """
    return find_or_create(session, row)


def add_signatures(session: Session, digest: str, envelope: str) -> bool:
    """Replace a pending entry's envelope, as officers sign one after another; False if none."""
    changed = session.exec(
        update(CredentialEntryRow)
        .where(
            col(CredentialEntryRow.digest) == digest,
            col(CredentialEntryRow.state) == CredentialState.PENDING,
        )
        .values(envelope=envelope)
    )
    return bool(changed.rowcount)


def activate_credential(session: Session, digest: str, *, envelope: str | None = None) -> bool:
    """Make a pending entry the person's active one and supersede the former.

    `envelope`, if given, is the entry with all its signatures. True also if the entry is active
    already; False if it is unknown, superseded or revoked.

    Raises:
        StaleEntry: if the person has, or had, an active entry of the same or a higher `seq`.
        CredentialTaken: if another person's active entry has its key, passkey or staff number.
    """
    entry = session.get(CredentialEntryRow, digest)
    if entry is None or entry.state not in (CredentialState.PENDING, CredentialState.ACTIVE):
        return False
    if entry.state is CredentialState.ACTIVE:
        return True
    highest = _highest(
        session,
        col(CredentialEntryRow.seq),
        col(CredentialEntryRow.person) == entry.person,
        col(CredentialEntryRow.state) != CredentialState.PENDING,
    )
    if highest is not None and entry.seq <= highest:
        raise StaleEntry(entry.seq, highest)
    if _is_taken(session, entry):
        raise CredentialTaken
    session.exec(
        update(CredentialEntryRow)
        .where(
            col(CredentialEntryRow.person) == entry.person,
            col(CredentialEntryRow.state) == CredentialState.ACTIVE,
        )
        .values(state=CredentialState.SUPERSEDED)
    )
    entry.state = CredentialState.ACTIVE
    if envelope is not None:
        entry.envelope = envelope
    session.flush()
    return True


def _is_taken(session: Session, entry: CredentialEntryRow) -> bool:
    same = [
        col(CredentialEntryRow.kid) == entry.kid,
        col(CredentialEntryRow.staff_no) == entry.staff_no,
    ]
    if entry.credential_id is not None:
        same.append(col(CredentialEntryRow.credential_id) == entry.credential_id)
    other = session.exec(
        select(CredentialEntryRow.digest).where(
            CredentialEntryRow.state == CredentialState.ACTIVE,
            CredentialEntryRow.person != entry.person,
            or_(*same),
        )
    ).first()
    return other is not None


def revoke_credential(session: Session, digest: str, *, now: int) -> bool:
    """Revoke a pending or active entry; False if there is none with this digest."""
    changed = session.exec(
        update(CredentialEntryRow)
        .where(
            col(CredentialEntryRow.digest) == digest,
            col(CredentialEntryRow.state).in_((CredentialState.PENDING, CredentialState.ACTIVE)),
        )
        .values(state=CredentialState.REVOKED, revoked_at=now)
    )
    return bool(changed.rowcount)


def credential_entry(session: Session, digest: str) -> CredentialEntryRow | None:
    """The entry with this digest, in whatever state."""
    return session.get(CredentialEntryRow, digest)


def current_credential(session: Session, person: str) -> CredentialEntryRow | None:
    """The person's active entry."""
    return _one_active(session, col(CredentialEntryRow.person) == person)


def credential_history(session: Session, person: str) -> Sequence[CredentialEntryRow]:
    """Every entry of a person that is on record, in whatever state, the highest `seq` first."""
    return session.exec(
        select(CredentialEntryRow)
        .where(CredentialEntryRow.person == person)
        .order_by(col(CredentialEntryRow.seq).desc())
    ).all()


def credential_by_kid(session: Session, kid: str) -> CredentialEntryRow | None:
    """The active entry of this key (RFC 7638 thumbprint)."""
    return _one_active(session, col(CredentialEntryRow.kid) == kid)


def credential_by_credential_id(session: Session, credential_id: str) -> CredentialEntryRow | None:
    """The active entry of this passkey (its credential id, base64url)."""
    return _one_active(session, col(CredentialEntryRow.credential_id) == credential_id)


def credential_by_staff_no(session: Session, staff_no: str) -> CredentialEntryRow | None:
    """The active entry of this staff number."""
    return _one_active(session, col(CredentialEntryRow.staff_no) == staff_no)


def _one_active(session: Session, condition: ColumnElement[bool]) -> CredentialEntryRow | None:
    return session.exec(
        select(CredentialEntryRow).where(
            CredentialEntryRow.state == CredentialState.ACTIVE, condition
        )
    ).one_or_none()


def advance_sign_count(session: Session, digest: str, *, last: int, new: int) -> bool:
    """Note the signature counter of an active passkey; False if it is no longer at `last`."""
    changed = session.exec(
        update(CredentialEntryRow)
        .where(
            col(CredentialEntryRow.digest) == digest,
            col(CredentialEntryRow.state) == CredentialState.ACTIVE,
            col(CredentialEntryRow.sign_count) == last,
        )
        .values(sign_count=new)
    )
    return bool(changed.rowcount)


def active_credentials(session: Session) -> Sequence[CredentialEntryRow]:
    """Every active entry, by staff number."""
    return _in_state(session, CredentialState.ACTIVE)


def pending_credentials(session: Session) -> Sequence[CredentialEntryRow]:
    """Every entry that waits for officers' signatures, by staff number."""
    return _in_state(session, CredentialState.PENDING)


def _in_state(session: Session, state: CredentialState) -> Sequence[CredentialEntryRow]:
    return session.exec(
        select(CredentialEntryRow)
        .where(CredentialEntryRow.state == state)
        .order_by(col(CredentialEntryRow.staff_no), col(CredentialEntryRow.recorded_at))
    ).all()


def persons_with_number_digest(session: Session, number_digest: str) -> Sequence[str]:
    """The persons whose active entry has this telephone number, given its digest."""
    return session.exec(
        select(CredentialEntryRow.person)
        .where(
            CredentialEntryRow.state == CredentialState.ACTIVE,
            CredentialEntryRow.number_digest == number_digest,
        )
        .order_by(col(CredentialEntryRow.person))
    ).all()


def highest_credential_seq(session: Session, person: str) -> int:
    """The highest `seq` on record for a person, whatever its state; -1 if there is none."""
    highest = _highest(
        session, col(CredentialEntryRow.seq), col(CredentialEntryRow.person) == person
    )
    return -1 if highest is None else highest


def _highest(session: Session, seq: Mapped[int], *conditions: ColumnElement[bool]) -> int | None:
    return session.exec(select(func.max(seq)).where(*conditions)).one()
