"""Whose key signed a statement: the enrolled keys that may, found and verified anew each time.

Rows are only an index: an entry counts if its signatures hold under the trust file now.
"""

import re
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from sqlmodel import Session

from ceremony.eppcertificate import EntryError
from ceremony.reasons import Reason
from ceremony.registry import (
    VerifiedCredential,
    VerifiedTerminal,
    read_credential_entry,
    read_terminal_entry,
)
from ceremony.statements import KIND_OF, Kind, Payload
from ceremony.trust import Trust
from ceremony.verification import (
    EnrolledKey,
    StatementError,
    Unverified,
    Verified,
    peek,
    verify,
)
from records import credentialentries, terminalentries
from records.standing import verified_credential, verified_terminal

P = TypeVar("P", bound=Payload)

BY_TERMINAL: Final = frozenset({Kind.REQUEST, Kind.CONFIRMATION, Kind.RECEIPT, Kind.CANCELLATION})
BY_PERSON: Final = frozenset({Kind.APPLICATION, Kind.DECISION, Kind.CANCELLATION, Kind.LOGIN})

# A thumbprint (RFC 7638, SHA-256): what else a header calls a key id is nobody's.
_KID: Final = re.compile(r"[A-Za-z0-9_-]{43}\Z")


@dataclass(frozen=True, slots=True)
class Signed(Generic[P]):
    """An authentic statement with its signer: a terminal or a person, never both."""

    statement: Verified[P]
    terminal: VerifiedTerminal | None
    person: VerifiedCredential | None

    @property
    def payload(self) -> P:
        """What was signed."""
        return self.statement.payload

    @property
    def terminal_no(self) -> str | None:
        """The signing terminal's number."""
        return None if self.terminal is None else self.terminal.entry.terminal_no


def signed_by_enrolled(
    session: Session, trust: Trust, text: str, expected: type[P], *, now: int
) -> Signed[P]:
    """Verify a statement by the one enrolled key that may have signed it.

    Raises:
        StatementError: with the reason; an unknown key and a wrong one are told apart in it, so
            it is for the audit trail and not for the caller.
    """
    kind = KIND_OF[expected]
    claim = peek(text)
    if claim.kind is not kind:
        raise StatementError(Reason.WRONG_TYPE)
    terminal = _terminal(session, trust, claim, now) if kind in BY_TERMINAL else None
    person = None
    if terminal is None and kind in BY_PERSON:
        person = _person(session, trust, claim, now)
    keys = [terminal.device_key] if terminal else [person.key] if person else []
    statement = verify(
        text,
        expected,
        keys,
        audience=trust.audience,
        passkeys=trust.passkeys,
        decoy=None if keys else _decoy(session, trust, claim, now),
    )
    return Signed(statement, terminal, person)


def _terminal(
    session: Session, trust: Trust, claim: Unverified, now: int
) -> VerifiedTerminal | None:
    if claim.kid is None or not _KID.match(claim.kid):
        return None
    row = terminalentries.terminal_by_device_kid(session, claim.kid)
    if row is None:
        return None
    return verified_terminal(session, trust, row.terminal_no, now=now)


def _person(
    session: Session, trust: Trust, claim: Unverified, now: int
) -> VerifiedCredential | None:
    if claim.credential_id is not None:
        row = credentialentries.credential_by_credential_id(session, claim.credential_id)
    elif claim.kid is not None and _KID.match(claim.kid):
        row = credentialentries.credential_by_kid(session, claim.kid)
    else:
        row = None
    if row is None:
        return None
    return verified_credential(session, trust, row.person, now=now)


def _decoy(session: Session, trust: Trust, claim: Unverified, now: int) -> EnrolledKey | None:
    # An entry is verified for a stranger too, or the milliseconds that it takes would tell which
    # keys are enrolled here (bench/timing.py). Whose entry it is does not matter.
    try:
        if claim.kind in BY_TERMINAL and claim.kid is not None:
            terminal = terminalentries.any_terminal(session)
            if terminal is None:
                return None
            return read_terminal_entry(terminal.envelope, trust, now=now).device_key
        passkey = claim.credential_id is not None
        person = credentialentries.any_credential(session, passkey=passkey)
        if person is None:
            return None
        return read_credential_entry(person.envelope, trust, now=now).key
    except EntryError:
        return None
