"""Whom a change of an administrator concerns: who had a role, number or key, and who gets it."""

from collections.abc import Iterable, Iterator, Sequence, Set
from typing import TypeVar

from sqlmodel import Session

from ceremony.eppcertificate import EntryError
from ceremony.registry import (
    VerifiedCredential,
    VerifiedTerminal,
    read_credential_entry,
    read_terminal_entry,
)
from ceremony.revocations import Subject
from ceremony.trust import Trust
from records import credentialentries, registrychanges, terminalentries
from records.standing import verified_credential
from records.tables.credential_entry import CredentialEntryRow
from records.tables.registry_change import RegistryChangeRow
from records.tables.terminal_entry import TerminalEntryRow

E = TypeVar("E", CredentialEntryRow, TerminalEntryRow)


def concerned(
    session: Session, trust: Trust, row: RegistryChangeRow, *, now: int
) -> list[VerifiedCredential]:
    """Former and new holder of what changes, each number once, the former first.

    All of them verified: nobody else can be told anything.
    """
    found: list[VerifiedCredential | None]
    unborn = set(session.exec(registrychanges.digests_not_in_effect()))
    if row.subject == Subject.PERSON.value:
        persons = credentialentries.credential_history(session, row.name)
        before = (_person(one, trust, now) for one in _below(persons, row, unborn))
        former = next((one for one in before if one is not None), None)
        found = [
            former,
            _person(credentialentries.credential_entry(session, row.digest), trust, now),
        ]
    else:
        terminals = terminalentries.terminal_history(session, row.name)
        earlier = (_terminal(one, trust, now) for one in _below(terminals, row, unborn))
        present = next((one for one in earlier if one is not None), None)
        coming = _terminal(terminalentries.terminal_entry(session, row.digest), trust, now)
        found = [
            verified_credential(session, trust, person, now=now)
            for person in _moved(present, coming)
        ]
    by_number: dict[str, VerifiedCredential] = {}
    for one in found:
        if one is not None:
            by_number.setdefault(one.entry.number, one)
    return list(by_number.values())


def _below(history: Sequence[E], row: RegistryChangeRow, unborn: Set[str]) -> Iterator[E]:
    """The entries below a change that were no change without effect, the newest first.

    Which one is in force says nothing: the change may be by now.
    """
    return (one for one in history if one.seq < row.seq and one.digest not in unborn)


def _person(entry: CredentialEntryRow | None, trust: Trust, now: int) -> VerifiedCredential | None:
    if entry is None:
        return None
    try:
        return read_credential_entry(entry.envelope, trust, now=now)
    except EntryError:
        return None


def _terminal(entry: TerminalEntryRow | None, trust: Trust, now: int) -> VerifiedTerminal | None:
    if entry is None:
        return None
    try:
        return read_terminal_entry(entry.envelope, trust, now=now)
    except EntryError:
        return None


def _moved(present: VerifiedTerminal | None, coming: VerifiedTerminal | None) -> Iterable[str]:
    """The persons whose role at a terminal changes, the former ones first."""
    roles = [
        {} if one is None else {one.entry.first: 1, one.entry.second: 2}
        for one in (present, coming)
    ]
    before, after = roles
    return dict.fromkeys(
        person for person in (*before, *after) if before.get(person) != after.get(person)
    )
