"""Changes of administrators that wait: begun, in effect, withdrawn, superseded or refused.

The records are an index of what the key worker decides: it alone counts the time that grants
anything. A change that the records hold for effective too early is refused by it at a load.
"""

from collections.abc import Sequence

from sqlalchemy import update
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from ceremony.revocations import Subject
from records.inserting import find_or_create
from records.tables.registry_change import ChangeState, RegistryChangeRow


def begin(
    session: Session, subject: Subject, name: str, digest: str, seq: int, *, now: int
) -> RegistryChangeRow:
    """Note that a change waits, find-or-create; it takes the place of an older one that does.

    The caller has the subject's turn.
    """
    row, created = find_or_create(
        session,
        RegistryChangeRow(
            digest=digest,
            subject=subject.value,
            name=name,
            seq=seq,
            state=ChangeState.COOLING,
            begun_at=now,
        ),
    )
    if created:
        supersede(session, subject, name, seq, now=now)
    return row


def supersede(session: Session, subject: Subject, name: str, seq: int, *, now: int) -> None:
    """End what waits below a `seq`: a newer entry took its place."""
    session.exec(
        update(RegistryChangeRow)
        .where(
            col(RegistryChangeRow.subject) == subject.value,
            col(RegistryChangeRow.name) == name,
            col(RegistryChangeRow.seq) < seq,
            col(RegistryChangeRow.state) == ChangeState.COOLING,
        )
        .values(state=ChangeState.SUPERSEDED, ended_at=now)
    )


def withdraw_all(
    session: Session, subject: Subject, name: str, *, now: int, upto: int | None = None
) -> Sequence[RegistryChangeRow]:
    """Withdraw what waits about a subject, up to a `seq`; give what was withdrawn."""
    waiting = [row for row in cooling_of(session, subject, name) if upto is None or row.seq <= upto]
    for row in waiting:
        end(session, row.digest, ChangeState.WITHDRAWN, now=now)
    return waiting


def end(
    session: Session, digest: str, state: ChangeState, *, now: int, reason: str | None = None
) -> bool:
    """End a change that waits; False if it does not wait any more."""
    ended = session.exec(
        update(RegistryChangeRow)
        .where(
            col(RegistryChangeRow.digest) == digest,
            col(RegistryChangeRow.state) == ChangeState.COOLING,
        )
        .values(state=state, ended_at=now, reason=reason)
    )
    return bool(ended.rowcount)


def note_time(session: Session, digest: str, effective_at: int) -> bool:
    """Note when a waiting change takes effect; False if that is known, or it does not wait."""
    noted = session.exec(
        update(RegistryChangeRow)
        .where(
            col(RegistryChangeRow.digest) == digest,
            col(RegistryChangeRow.state) == ChangeState.COOLING,
            col(RegistryChangeRow.effective_at).is_distinct_from(effective_at),
        )
        .values(effective_at=effective_at)
    )
    return bool(noted.rowcount)


def find(session: Session, digest: str) -> RegistryChangeRow | None:
    """The change of this digest, however it stands."""
    return session.get(RegistryChangeRow, digest, populate_existing=True)


def cooling(session: Session, *, limit: int = 1_000) -> Sequence[RegistryChangeRow]:
    """The changes that wait, the longest first."""
    return session.exec(
        select(RegistryChangeRow)
        .where(RegistryChangeRow.state == ChangeState.COOLING)
        .order_by(col(RegistryChangeRow.begun_at), col(RegistryChangeRow.digest))
        .limit(limit)
    ).all()


def to_start(session: Session, *, limit: int) -> Sequence[RegistryChangeRow]:
    """The changes that wait, first those whose time the key worker has not said, then the next due.

    So many that wait do not keep the others from being shown.
    """
    return session.exec(
        select(RegistryChangeRow)
        .where(RegistryChangeRow.state == ChangeState.COOLING)
        .order_by(
            col(RegistryChangeRow.effective_at).is_not(None),
            col(RegistryChangeRow.effective_at),
            col(RegistryChangeRow.begun_at),
            col(RegistryChangeRow.digest),
        )
        .limit(limit)
    ).all()


def cooling_of(session: Session, subject: Subject, name: str) -> Sequence[RegistryChangeRow]:
    """The changes of a subject that wait."""
    return session.exec(
        select(RegistryChangeRow).where(
            RegistryChangeRow.subject == subject.value,
            RegistryChangeRow.name == name,
            RegistryChangeRow.state == ChangeState.COOLING,
        )
    ).all()


def withdrawn_of(session: Session, subject: Subject, name: str) -> list[str]:
    """The digest of a subject's newest change, if that was withdrawn."""
    newest = session.exec(
        select(RegistryChangeRow)
        .where(RegistryChangeRow.subject == subject.value, RegistryChangeRow.name == name)
        .order_by(col(RegistryChangeRow.seq).desc())
        .limit(1)
    ).first()
    if newest is None or newest.state is not ChangeState.WITHDRAWN:
        return []
    return [newest.digest]


def cooling_digests(session: Session, subject: Subject) -> frozenset[str]:
    """The digests of a kind's entries that wait."""
    return frozenset(
        session.exec(
            select(RegistryChangeRow.digest).where(
                RegistryChangeRow.subject == subject.value,
                RegistryChangeRow.state == ChangeState.COOLING,
            )
        )
    )


def withdrawn_digests() -> SelectOfScalar[str]:
    """The digests of what was withdrawn before it took effect, as a part of a query."""
    return select(RegistryChangeRow.digest).where(RegistryChangeRow.state == ChangeState.WITHDRAWN)


def digests_not_in_effect() -> SelectOfScalar[str]:
    """The digests of all changes that wait, or ended without effect, as a part of a query."""
    return select(RegistryChangeRow.digest).where(RegistryChangeRow.state != ChangeState.EFFECTIVE)
