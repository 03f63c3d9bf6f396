"""What the key worker remembers of the registry that it was shown, before any release relies on it.

An entry put back after its successor was shown, or after its revocation was, grants nothing. Who
shows it is nobody's business: signatures are verified here, only a higher `seq` is taken, and a
revocation needs an officer. So a caller can withhold, but neither lower nor invent anything.
"""

import time
from collections.abc import Callable, Iterable
from typing import Final

from ceremony.eppcertificate import EntryError
from ceremony.messages import (
    ChangeNote,
    ChangeNoted,
    ChangeWithdrawn,
    RegistryNoted,
    RegistryPage,
    RevocationNote,
    RevocationNoted,
)
from ceremony.reasons import Reason
from ceremony.registry import (
    VerifiedCredential,
    VerifiedTerminal,
    read_credential_entry,
    read_terminal_entry,
    subject_name,
)
from ceremony.revocations import Subject, read_revocation
from ceremony.trust import Trust
from ceremony.verification import StatementError
from keymanagement.archive import Archive
from keymanagement.entries import (
    observe_entries,
    recall_assignment,
    revoke_entries,
    sight_entry,
    withdraw_entry,
    withdraw_unseen_entry,
)
from keymanagement.journal import Journal
from keymanagement.port import KeyManagementError

PAGE: Final = 1_000
"""Subjects looked at in one call: a second's work if all of them are new."""


def heed_revocations(
    trust: Trust, journal: Journal, archive: Archive, terminal: VerifiedTerminal
) -> None:
    """Remember what is on record against a terminal and its administrators.

    So a revocation counts if either it was carried here or its row is there: whoever wants to keep
    it from the key worker must be able to do both.

    Raises:
        KeyManagementError: if the journal fails; the call may be repeated.
    """
    entry = terminal.entry
    for subject, name in (
        (Subject.TERMINAL, entry.terminal_no),
        (Subject.PERSON, entry.first),
        (Subject.PERSON, entry.second),
    ):
        _remember(trust, journal, archive.revocations_of(subject, name))


def _remember(trust: Trust, journal: Journal, texts: Iterable[str]) -> tuple[int, int]:
    """How many revocations took anything more away, and how many did not verify."""
    noted = refused = 0
    for text in texts:
        try:
            revocation = read_revocation(text, trust)
        except StatementError:
            refused += 1
            continue
        noted += revoke_entries(journal, revocation)
    return noted, refused


class RegistryMemory:
    """Looks at revocations and entries, and remembers them in the journal."""

    def __init__(
        self,
        *,
        trust: Trust,
        journal: Journal,
        archive: Archive,
        clock: Callable[[], float] = time.time,
        page: int = PAGE,
    ) -> None:
        """Bind what verifying needs; `clock` gives Unix seconds, `page` the size of a page."""
        self._trust = trust
        self._journal = journal
        self._archive = archive
        self._clock = clock
        self._page = page

    def note_revocation(self, note: RevocationNote) -> RevocationNoted:
        """Remember what a revocation takes away, or say why it does not count; repeatable.

        Raises:
            KeyManagementError: if the journal fails; the call may be repeated.
        """
        try:
            revocation = read_revocation(note.statement, self._trust)
        except StatementError as error:
            return RevocationNoted(refused=error.reason)
        revoke_entries(self._journal, revocation)
        return RevocationNoted()

    def note_registry(self, page: RegistryPage) -> RegistryNoted:
        """Look at a page of the records; what does not verify is counted and left alone.

        Raises:
            KeyManagementError: if the journal fails; the call may be repeated.
        """
        if page.part == "revocations":
            return self._revocations(page.after)
        subject = Subject.TERMINAL if page.part == "terminals" else Subject.PERSON
        found = self._archive.newest(subject, page.after, self._page)
        if subject is Subject.TERMINAL:
            for name, _ in found:
                recall_assignment(self._journal, self._archive, name)
        known = self._journal.known_seqs(subject.value, [name for name, _ in found])
        envelopes = [
            envelope
            for name, seq in found
            if seq > known.get(name, -1)
            for envelope in self._archive.entries_above(subject, name, known.get(name, -1))
        ]
        return self._entries(subject, envelopes, self._next([name for name, _ in found]))

    def note_change(self, note: ChangeNote) -> ChangeNoted:
        """Remember one entry, so that its cooling-off time begins; repeatable.

        One that waits here already and does not verify any more is withdrawn: what is refused must
        not take effect by itself a day later.

        Raises:
            KeyManagementError: if the journal fails; the call may be repeated.
        """
        now = int(self._clock())
        entry = self._read(note, self._archive.entry(note.subject, note.digest), now)
        if isinstance(entry, Reason):
            if entry is not Reason.STATEMENT_MISSING:
                self._withdraw(note, now)
            return ChangeNoted(refused=entry)
        _remember(self._trust, self._journal, self._archive.revocations_of(note.subject, note.name))
        if note.subject is Subject.TERMINAL:
            recall_assignment(self._journal, self._archive, note.name)
        try:
            effective_at = sight_entry(self._journal, self._trust, entry, now=now)
        except KeyManagementError as error:
            if error.reason is None:
                raise
            return ChangeNoted(refused=error.reason)
        return ChangeNoted(effective_at=effective_at)

    def withdraw_change(self, note: ChangeNote) -> ChangeWithdrawn:
        """Have a change that waits never take effect: what takes away needs no signature.

        One that was withdrawn in the records before it was shown here is remembered as well.

        Raises:
            KeyManagementError: if the journal fails; the call may be repeated.
        """
        now = int(self._clock())
        if self._withdraw(note, now):
            return ChangeWithdrawn(withdrawn=True)
        entry = self._read(note, self._archive.withdrawn_entry(note.subject, note.digest), now)
        if isinstance(entry, Reason):
            return ChangeWithdrawn(withdrawn=False)
        withdrawn = withdraw_unseen_entry(self._journal, self._trust, entry, now=now)
        return ChangeWithdrawn(withdrawn=withdrawn)

    def _withdraw(self, note: ChangeNote, now: int) -> bool:
        return withdraw_entry(
            self._journal, self._trust, note.subject, note.name, note.digest, now=now
        )

    def _read(
        self, note: ChangeNote, envelope: str | None, now: int
    ) -> VerifiedTerminal | VerifiedCredential | Reason:
        """The entry that a note means, or why it does not count."""
        if envelope is None:
            return Reason.STATEMENT_MISSING
        entry: VerifiedTerminal | VerifiedCredential
        try:
            if note.subject is Subject.TERMINAL:
                entry = read_terminal_entry(envelope, self._trust, now=now)
            else:
                entry = read_credential_entry(envelope, self._trust, now=now)
        except EntryError as error:
            return error.reason
        if (entry.digest, subject_name(entry)) != (note.digest, note.name):
            return Reason.STATEMENT_MISSING
        return entry

    def _entries(self, subject: Subject, envelopes: list[str], after: str | None) -> RegistryNoted:
        terminals: list[VerifiedTerminal] = []
        credentials: list[VerifiedCredential] = []
        refused, now = 0, int(self._clock())
        for envelope in envelopes:
            try:
                if subject is Subject.TERMINAL:
                    terminals.append(read_terminal_entry(envelope, self._trust, now=now))
                else:
                    credentials.append(read_credential_entry(envelope, self._trust, now=now))
            except EntryError:
                refused += 1
        observed = observe_entries(self._journal, self._trust, terminals, credentials, now=now)
        return RegistryNoted(noted=observed.noted, refused=refused + observed.refused, after=after)

    def _revocations(self, after: str) -> RegistryNoted:
        found = self._archive.revocations(after, self._page)
        noted, refused = _remember(self._trust, self._journal, [text for _, text in found])
        return RegistryNoted(
            noted=noted, refused=refused, after=self._next([digest for digest, _ in found])
        )

    def _next(self, names: list[str]) -> str | None:
        return names[-1] if len(names) == self._page else None
