"""Revocations: stored for ever, and what they take out of force at once.

What is stored was verified by the caller, and is verified again by whoever reads it. The key worker
remembers by itself: a row that somebody edits or deletes changes nothing there.
"""

from collections.abc import Sequence

from sqlalchemy import update
from sqlmodel import Session, col, select

from ceremony.revocations import Revocation, Subject, read_revocation
from ceremony.trust import Trust
from ceremony.verification import StatementError
from records import registrychanges, terminalentries
from records.inserting import find_or_create
from records.tables.credential_entry import CredentialEntryRow, CredentialState
from records.tables.revocation import RevocationRow
from records.turns import Turn, take_turn


def put(session: Session, revocation: Revocation, *, now: int) -> bool:
    """Store a verified revocation and take its entries out of force; False if it was stored.

    The entries go out of force again if somebody has put them back.
    """
    take_turn(session, Turn.TERMINALS if revocation.subject is Subject.TERMINAL else Turn.PERSONS)
    _, created = find_or_create(
        session,
        RevocationRow(
            digest=revocation.digest,
            subject=revocation.subject.value,
            name=revocation.name,
            seq=revocation.seq,
            reason_code=revocation.reason_code,
            officer=revocation.officer,
            statement=revocation.text,
            recorded_at=now,
        ),
    )
    registrychanges.withdraw_all(
        session, revocation.subject, revocation.name, now=now, upto=revocation.seq
    )
    if revocation.subject is Subject.TERMINAL:
        current = terminalentries.current_terminal(session, revocation.name)
        if current is not None and current.seq <= revocation.seq:
            terminalentries.withdraw_terminal(
                session, revocation.name, now=now, upto=revocation.seq
            )
    else:
        session.exec(
            update(CredentialEntryRow)
            .where(
                col(CredentialEntryRow.person) == revocation.name,
                col(CredentialEntryRow.seq) <= revocation.seq,
                col(CredentialEntryRow.state).in_(
                    (CredentialState.PENDING, CredentialState.COOLING, CredentialState.ACTIVE)
                ),
            )
            .values(state=CredentialState.REVOKED, revoked_at=now)
        )
    session.flush()
    return created


def highest_of(
    session: Session, trust: Trust, subject: Subject, name: str | None = None
) -> dict[str, int]:
    """The highest `seq` taken away from each terminal or person, or from this one alone.

    Every statement is verified: a row that somebody made up takes nothing away.
    """
    chosen = select(RevocationRow.statement).where(RevocationRow.subject == subject.value)
    if name is not None:
        chosen = chosen.where(RevocationRow.name == name)
    highest: dict[str, int] = {}
    for text in session.exec(chosen):
        try:
            said = read_revocation(text, trust)
        except StatementError:
            continue
        if said.subject is subject:
            highest[said.name] = max(said.seq, highest.get(said.name, said.seq))
    return highest


def of_subject(session: Session, subject: Subject, name: str, *, limit: int) -> Sequence[str]:
    """The texts that are indexed under a subject, of the highest `seq` first, unverified."""
    return session.exec(
        select(RevocationRow.statement)
        .where(RevocationRow.subject == subject.value, RevocationRow.name == name)
        .order_by(col(RevocationRow.seq).desc(), col(RevocationRow.digest))
        .limit(limit)
    ).all()


def page(session: Session, *, after: str, limit: int) -> Sequence[RevocationRow]:
    """The next revocations by digest."""
    return session.exec(
        select(RevocationRow)
        .where(RevocationRow.digest > after)
        .order_by(col(RevocationRow.digest))
        .limit(limit)
    ).all()
