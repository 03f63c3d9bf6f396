"""Entries of people's credentials in the registry, verbatim and signed.

These functions store and fetch. Whether an entry may be stored is decided, and its envelope
verified, by the caller; whoever relies on an entry verifies the envelope again.
"""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import ColumnElement, func, not_, or_, update
from sqlmodel import Session, col, select

from ceremony.revocations import Subject
from records import registrychanges
from records.inserting import find_or_create
from records.seq import StaleEntry, highest
from records.tables.credential_entry import CredentialEntryRow, CredentialState
from records.turns import Turn, take_turn

_LIVE: Final = (CredentialState.PENDING, CredentialState.COOLING, CredentialState.ACTIVE)


class CredentialTaken(Exception):
    """Another person's active entry has the same key, passkey or staff number."""


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


def cool_credential(session: Session, digest: str, *, envelope: str, now: int) -> bool:
    """Let a pending entry wait for its time, and begin its change; the active one goes on.

    `envelope` is the entry with all its signatures. It takes the place of one of the person's that
    waits. True also if it waits, or is active, already; False if it is unknown or was ended.

    Raises:
        StaleEntry: if the person has, or had, another entry of the same or a higher `seq`.
        CredentialTaken: if another person's entry, active or waiting, has its key, passkey or
            staff number.
    """
    take_turn(session, Turn.PERSONS)
    entry = session.get(CredentialEntryRow, digest, populate_existing=True)
    if entry is None or entry.state not in _LIVE:
        return False
    if entry.state is not CredentialState.PENDING:
        return True
    _require_newest(session, entry)
    if _is_taken(session, entry, (CredentialState.ACTIVE, CredentialState.COOLING)):
        raise CredentialTaken
    _move(session, entry.person, CredentialState.COOLING, CredentialState.SUPERSEDED)
    entry.state, entry.envelope = CredentialState.COOLING, envelope
    registrychanges.begin(session, Subject.PERSON, entry.person, digest, entry.seq, now=now)
    session.flush()
    return True


def activate_credential(session: Session, digest: str, *, envelope: str | None = None) -> bool:
    """Make a pending or cooling entry the person's active one and supersede the former.

    `envelope`, if given, is the entry with all its signatures. True also if the entry is active
    already; False if it is unknown, superseded or revoked.

    Raises:
        StaleEntry: if the person has, or had, an active entry of the same or a higher `seq`.
        CredentialTaken: if another person's active entry has its key, passkey or staff number.
    """
    take_turn(session, Turn.PERSONS)
    entry = session.get(CredentialEntryRow, digest, populate_existing=True)
    if entry is None or entry.state not in _LIVE:
        return False
    if entry.state is CredentialState.ACTIVE:
        return True
    _require_newest(session, entry)
    if _is_taken(session, entry, (CredentialState.ACTIVE,)):
        raise CredentialTaken
    entry.state = CredentialState.PENDING
    session.flush()
    for state in (CredentialState.ACTIVE, CredentialState.COOLING):
        _move(session, entry.person, state, CredentialState.SUPERSEDED)
    registrychanges.supersede(
        session, Subject.PERSON, entry.person, entry.seq, now=entry.recorded_at
    )
    entry.state = CredentialState.ACTIVE
    if envelope is not None:
        entry.envelope = envelope
    session.flush()
    return True


def _require_newest(session: Session, entry: CredentialEntryRow) -> None:
    top = highest(
        session,
        col(CredentialEntryRow.seq),
        col(CredentialEntryRow.person) == entry.person,
        col(CredentialEntryRow.state) != CredentialState.PENDING,
        col(CredentialEntryRow.digest) != entry.digest,
    )
    if top is not None and entry.seq <= top:
        raise StaleEntry(entry.seq, top)


def _move(session: Session, person: str, state: CredentialState, to: CredentialState) -> None:
    session.exec(
        update(CredentialEntryRow)
        .where(col(CredentialEntryRow.person) == person, col(CredentialEntryRow.state) == state)
        .values(state=to)
    )


def _is_taken(
    session: Session, entry: CredentialEntryRow, states: tuple[CredentialState, ...]
) -> bool:
    same = [
        col(CredentialEntryRow.kid) == entry.kid,
        col(CredentialEntryRow.staff_no) == entry.staff_no,
    ]
    if entry.credential_id is not None:
        same.append(col(CredentialEntryRow.credential_id) == entry.credential_id)
    other = session.exec(
        select(CredentialEntryRow.digest).where(
            col(CredentialEntryRow.state).in_(states),
            CredentialEntryRow.person != entry.person,
            or_(*same),
        )
    ).first()
    return other is not None


def revoke_credential(session: Session, digest: str, *, now: int) -> bool:
    """Revoke a pending, cooling or active entry; False if there is none with this digest."""
    changed = session.exec(
        update(CredentialEntryRow)
        .where(
            col(CredentialEntryRow.digest) == digest,
            col(CredentialEntryRow.state).in_(_LIVE),
        )
        .values(state=CredentialState.REVOKED, revoked_at=now)
    )
    return bool(changed.rowcount)


def end_cooling(session: Session, digest: str, *, now: int) -> bool:
    """Let an entry that waits never take effect; False if it does not wait."""
    ended = session.exec(
        update(CredentialEntryRow)
        .where(
            col(CredentialEntryRow.digest) == digest,
            col(CredentialEntryRow.state) == CredentialState.COOLING,
        )
        .values(state=CredentialState.REVOKED, revoked_at=now)
    )
    return bool(ended.rowcount)


def withdraw_cooling(session: Session, person: str, *, now: int) -> Sequence[str]:
    """End what waits about a person before it takes effect; give the digests."""
    take_turn(session, Turn.PERSONS)
    digests = [
        row.digest for row in registrychanges.withdraw_all(session, Subject.PERSON, person, now=now)
    ]
    for digest in digests:
        end_cooling(session, digest, now=now)
    return digests


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


def highest_seqs(session: Session, *, after: str, limit: int) -> list[tuple[str, int]]:
    """The next persons by name, each with the highest `seq` of an entry that is not pending.

    Nor withdrawn while it waited: that one nobody is to be shown.
    """
    found = session.exec(
        select(CredentialEntryRow.person, func.max(CredentialEntryRow.seq))
        .where(
            CredentialEntryRow.person > after,
            CredentialEntryRow.state != CredentialState.PENDING,
            col(CredentialEntryRow.digest).not_in(registrychanges.withdrawn_digests()),
        )
        .group_by(col(CredentialEntryRow.person))
        .order_by(col(CredentialEntryRow.person))
        .limit(limit)
    )
    return [(person, seq) for person, seq in found]


def credential_by_kid(session: Session, kid: str) -> CredentialEntryRow | None:
    """The active entry of this key (RFC 7638 thumbprint)."""
    return _one_active(session, col(CredentialEntryRow.kid) == kid)


def credential_by_credential_id(session: Session, credential_id: str) -> CredentialEntryRow | None:
    """The active entry of this passkey (its credential id, base64url)."""
    return _one_active(session, col(CredentialEntryRow.credential_id) == credential_id)


def credential_by_staff_no(session: Session, staff_no: str) -> CredentialEntryRow | None:
    """The active entry of this staff number."""
    return _one_active(session, col(CredentialEntryRow.staff_no) == staff_no)


def any_credential(session: Session, *, passkey: bool) -> CredentialEntryRow | None:
    """Some person's active entry for a passkey, or for a JWK: the first by person."""
    holds = col(CredentialEntryRow.credential_id).is_not(None)
    return session.exec(
        select(CredentialEntryRow)
        .where(
            CredentialEntryRow.state == CredentialState.ACTIVE, holds if passkey else not_(holds)
        )
        .order_by(col(CredentialEntryRow.person))
        .limit(1)
    ).first()


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


def cooling_credentials(session: Session) -> Sequence[CredentialEntryRow]:
    """Every entry that waits for its time, by staff number."""
    return _in_state(session, CredentialState.COOLING)


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
    top = highest(session, col(CredentialEntryRow.seq), col(CredentialEntryRow.person) == person)
    return -1 if top is None else top
