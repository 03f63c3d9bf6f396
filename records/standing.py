"""The registry's present standing on a terminal: entries fetched, and verified anew each time.

Rows are only an index. Whoever relies on the registry asks here, and gets entries whose
signatures hold under the trust file now, or nothing.
"""

from dataclasses import dataclass

from sqlmodel import Session

from ceremony.eppcertificate import EntryError
from ceremony.registry import (
    VerifiedCredential,
    VerifiedTerminal,
    read_credential_entry,
    read_terminal_entry,
)
from ceremony.standing import Standing, standing_of
from ceremony.trust import Trust
from records import credentialentries, terminalentries


@dataclass(frozen=True, slots=True)
class Present:
    """What the registry says now: the terminal's entry, and its whole standing if it has one.

    `standing` is None where an entry is missing, expired, revoked or wrongly signed, or dual
    control is broken; `terminal` is None where even the terminal has no entry that counts.
    """

    terminal: VerifiedTerminal | None
    standing: Standing | None


def present(session: Session, trust: Trust, terminal_no: str, *, now: int) -> Present:
    """Read and verify what is in force for a terminal at this time (Unix seconds)."""
    terminal = verified_terminal(session, trust, terminal_no, now=now)
    if terminal is None:
        return Present(None, None)
    first = verified_credential(session, trust, terminal.entry.first, now=now)
    second = verified_credential(session, trust, terminal.entry.second, now=now)
    if first is None or second is None:
        return Present(terminal, None)
    try:
        return Present(terminal, standing_of(terminal, first, second))
    except EntryError:
        return Present(terminal, None)


def verified_terminal(
    session: Session, trust: Trust, terminal_no: str, *, now: int
) -> VerifiedTerminal | None:
    """The terminal's entry in force, if it verifies and is about this terminal."""
    row = terminalentries.current_terminal(session, terminal_no)
    if row is None:
        return None
    try:
        terminal = read_terminal_entry(row.envelope, trust, now=now)
    except EntryError:
        return None
    return terminal if terminal.entry.terminal_no == terminal_no else None


def verified_credential(
    session: Session, trust: Trust, person: str, *, now: int
) -> VerifiedCredential | None:
    """The person's credential entry in force, if it verifies and is about this person."""
    row = credentialentries.current_credential(session, person)
    if row is None:
        return None
    try:
        credential = read_credential_entry(row.envelope, trust, now=now)
    except EntryError:
        return None
    return credential if credential.entry.person == person else None
