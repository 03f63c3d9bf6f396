"""The registry entries that the key worker relies on: none older than before, no changed keys.

Whoever puts an old database back, slips another device key into a known terminal's entry, or gives
a terminal other administrators overnight, finds that the key worker remembers (design, section 3,
Trust; ADR 0022).
"""

from collections.abc import Iterable

from ceremony.eppcertificate import EntryError
from ceremony.registry import (
    VerifiedCredential,
    VerifiedTerminal,
    assignment_digest,
    envelope_statements,
)
from ceremony.revocations import Revocation, Subject
from ceremony.standing import Standing
from ceremony.statements import TerminalEntry
from ceremony.trust import Trust
from ceremony.verification import StatementError, peek
from keymanagement.archive import Archive
from keymanagement.changerows import Cooling
from keymanagement.journal import Journal
from keymanagement.journalrows import Observed, Reliance, Revoked


def rely_on_standing(journal: Journal, standing: Standing, trust: Trust, *, now: int) -> None:
    """Rely on a terminal's entry and on both administrators', all of them or none.

    Raises:
        EntryRefused: if the journal knows a newer entry of one of the three, or its revocation,
            or the terminal's EPP key as another terminal's; or if one is a change that still
            waits, was withdrawn, or needs officers' signatures.
    """
    first, second = standing.first, standing.second
    journal.rely_on(
        (_of_terminal(standing.terminal), _of_person(first), _of_person(second)),
        releasing=True,
        cooling=_cooling(trust, now),
    )


def rely_on_terminal(
    journal: Journal, terminal: VerifiedTerminal, trust: Trust, *, now: int
) -> None:
    """Rely on a terminal's entry alone, as far as its keys go.

    Raises:
        EntryRefused: as `rely_on_standing`; but a waiting change that leaves the keys is relied on.
    """
    journal.rely_on((_of_terminal(terminal),), cooling=_cooling(trust, now))


def observe_entries(
    journal: Journal,
    trust: Trust,
    terminals: Iterable[VerifiedTerminal] = (),
    credentials: Iterable[VerifiedCredential] = (),
    *,
    now: int,
) -> Observed:
    """Remember verified entries that were shown, where they are newer than the known ones.

    A known terminal's keys change only by an entry that an officer signed too, its administrators
    by one that a threshold of officers did; a person's entry is signed by officers always, so its
    key may be another.
    """
    return journal.observe(
        (*(_of_terminal(one) for one in terminals), *(_of_person(one) for one in credentials)),
        _cooling(trust, now),
    )


def sight_entry(
    journal: Journal, trust: Trust, entry: VerifiedTerminal | VerifiedCredential, *, now: int
) -> int | None:
    """Remember one verified entry; give when it takes effect (Unix seconds), or None if it has.

    Raises:
        EntryRefused: if it neither is in effect nor ever will be.
    """
    return journal.sight(_of(entry), _cooling(trust, now))


def withdraw_entry(
    journal: Journal, trust: Trust, subject: Subject, name: str, digest: str, *, now: int
) -> bool:
    """Have a change that waits never take effect; False if it does not wait any more."""
    return journal.withdraw(subject.value, name, digest, _cooling(trust, now))


def withdraw_unseen_entry(
    journal: Journal, trust: Trust, entry: VerifiedTerminal | VerifiedCredential, *, now: int
) -> bool:
    """Have a verified entry that was never shown never take effect; False if it is no newer one."""
    return journal.withdraw_unseen(_of(entry), _cooling(trust, now))


def recall_assignment(journal: Journal, archive: Archive, terminal_no: str) -> None:
    """Learn who administers a known terminal, where a journal of before did not remember that.

    The archive is believed for nothing: only the entry of the digest that the journal knows counts.
    Without it, a newer entry with whatever administrators needs the officers.

    Raises:
        KeyManagementError: if the journal fails.
    """
    known = journal.unassigned(terminal_no)
    if known is None:
        return
    seq, digest = known
    for envelope in archive.entries_above(Subject.TERMINAL, terminal_no, seq - 1):
        try:
            said = peek(envelope_statements(envelope)[0])
        except (EntryError, StatementError):
            continue
        if said.digest == digest and isinstance(said.payload, TerminalEntry):
            journal.recall_assignment(terminal_no, digest, assignment_digest(said.payload))


def revoke_entries(journal: Journal, revocation: Revocation) -> bool:
    """Remember a verified revocation; give whether it took anything more away."""
    return journal.revoke(
        Revoked(revocation.subject.value, revocation.name, revocation.seq, revocation.digest)
    )


def _cooling(trust: Trust, now: int) -> Cooling:
    return Cooling(trust.cooling_off_seconds, now)


def _of(entry: VerifiedTerminal | VerifiedCredential) -> Reliance:
    return _of_terminal(entry) if isinstance(entry, VerifiedTerminal) else _of_person(entry)


def _of_terminal(terminal: VerifiedTerminal) -> Reliance:
    entry = terminal.entry
    return Reliance(
        kind=Subject.TERMINAL.value,
        name=entry.terminal_no,
        seq=entry.seq,
        digest=terminal.digest,
        identity_digest=terminal.identity_digest,
        epp_key=terminal.epp.key_fingerprint,
        assignment_digest=terminal.assignment_digest,
        may_change=bool(terminal.officers),
        may_reassign=terminal.may_reassign,
    )


def _of_person(credential: VerifiedCredential) -> Reliance:
    entry = credential.entry
    return Reliance(
        kind=Subject.PERSON.value,
        name=entry.person,
        seq=entry.seq,
        digest=credential.digest,
        identity_digest=credential.key.public_key.kid,
        may_change=True,
    )
