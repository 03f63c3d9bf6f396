"""The registry entries that the key worker relies on: none older than before, no changed keys.

Whoever puts an old database back, or slips another device key into a known terminal's entry, finds
that the key worker remembers (design, section 3, Trust).
"""

from collections.abc import Iterable

from ceremony.registry import VerifiedCredential, VerifiedTerminal
from ceremony.revocations import Revocation, Subject
from ceremony.standing import Standing
from keymanagement.journal import Journal
from keymanagement.journalerrors import IdentityChanged
from keymanagement.journalrows import Observed, Reliance, Revoked, Sighting


def rely_on_standing(journal: Journal, standing: Standing) -> None:
    """Rely on a terminal's entry and on both administrators', all of them or none.

    Raises:
        IdentityChanged: if the terminal's entry needs an officer's signature.
        EntryRefused: if the journal knows a newer entry of one of the three, or its revocation,
            or the terminal's EPP key as another terminal's.
    """
    first, second = standing.first, standing.second
    _require_officer(journal, standing.terminal)
    journal.rely_on(
        (_of_terminal(standing.terminal), _of_person(first), _of_person(second)), releasing=True
    )


def rely_on_terminal(journal: Journal, terminal: VerifiedTerminal) -> None:
    """Rely on a terminal's entry alone.

    Raises:
        IdentityChanged: if it needs an officer's signature.
        EntryRefused: if the journal knows a newer one, or its revocation.
    """
    _require_officer(journal, terminal)
    journal.rely_on((_of_terminal(terminal),))


def observe_entries(
    journal: Journal,
    terminals: Iterable[VerifiedTerminal] = (),
    credentials: Iterable[VerifiedCredential] = (),
) -> Observed:
    """Remember verified entries that were shown, where they are newer than the known ones.

    A known terminal's keys change only by an entry that an officer signed too; a person's entry is
    signed by officers always, so its key may be another.
    """
    return journal.observe(
        (
            *(Sighting(_of_terminal(one), may_change=bool(one.officers)) for one in terminals),
            *(Sighting(_of_person(one), may_change=True) for one in credentials),
        )
    )


def revoke_entries(journal: Journal, revocation: Revocation) -> bool:
    """Remember a verified revocation; give whether it took anything more away."""
    return journal.revoke(
        Revoked(revocation.subject.value, revocation.name, revocation.seq, revocation.digest)
    )


def _require_officer(journal: Journal, terminal: VerifiedTerminal) -> None:
    known = journal.known_identity(Subject.TERMINAL.value, terminal.entry.terminal_no)
    if known is not None and known != terminal.identity_digest and not terminal.officers:
        raise IdentityChanged("a known terminal's keys changed without an officer's signature")


def _of_terminal(terminal: VerifiedTerminal) -> Reliance:
    entry = terminal.entry
    return Reliance(
        Subject.TERMINAL.value,
        entry.terminal_no,
        entry.seq,
        terminal.digest,
        terminal.identity_digest,
        terminal.epp.key_fingerprint,
    )


def _of_person(credential: VerifiedCredential) -> Reliance:
    entry = credential.entry
    return Reliance(
        Subject.PERSON.value,
        entry.person,
        entry.seq,
        credential.digest,
        credential.key.public_key.kid,
    )
