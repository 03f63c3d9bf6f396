"""The registry entries that the key worker relies on: none older than before, no changed keys.

Whoever puts an old database back, or slips another device key into a known terminal's entry, finds
that the key worker remembers (design, section 3, Trust).
"""

from ceremony.reasons import Reason
from ceremony.registry import VerifiedCredential, VerifiedTerminal
from ceremony.standing import Standing
from keymanagement.journal import Journal
from keymanagement.journalrows import Reliance
from keymanagement.port import KeyManagementError


class IdentityChanged(KeyManagementError):
    """A known terminal's EPP certificate or device key changed, and no officer signed it."""

    reason = Reason.OFFICER_REQUIRED


def rely_on_standing(journal: Journal, standing: Standing) -> None:
    """Rely on a terminal's entry and on both administrators', all of them or none.

    Raises:
        IdentityChanged: if the terminal's entry needs an officer's signature.
        EntryRefused: if the journal relied on a newer entry of one of the three.
    """
    first, second = standing.first, standing.second
    _require_officer(journal, standing.terminal)
    journal.rely_on((_of_terminal(standing.terminal), _of_person(first), _of_person(second)))


def rely_on_terminal(journal: Journal, terminal: VerifiedTerminal) -> None:
    """Rely on a terminal's entry alone.

    Raises:
        IdentityChanged: if it needs an officer's signature.
        EntryRefused: if the journal relied on a newer one.
    """
    _require_officer(journal, terminal)
    journal.rely_on((_of_terminal(terminal),))


def _require_officer(journal: Journal, terminal: VerifiedTerminal) -> None:
    known = journal.known_identity("terminal", terminal.entry.terminal_no)
    if known is not None and known != terminal.identity_digest and not terminal.officers:
        raise IdentityChanged("a known terminal's keys changed without an officer's signature")


def _of_terminal(terminal: VerifiedTerminal) -> Reliance:
    entry = terminal.entry
    return Reliance(
        "terminal", entry.terminal_no, entry.seq, terminal.digest, terminal.identity_digest
    )


def _of_person(credential: VerifiedCredential) -> Reliance:
    entry = credential.entry
    return Reliance(
        "person", entry.person, entry.seq, credential.digest, credential.key.public_key.kid
    )
