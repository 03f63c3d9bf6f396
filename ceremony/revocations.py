"""Revocations: an officer's signed word that takes entries away, so that nobody can give them back.

What takes away needs no signature to take effect, but what is unsigned can be undone by whoever
edits the row. A revocation cannot: whoever has seen it refuses every entry of its subject up to
its `seq`. One officer suffices, since it grants nothing; there is no statement that lifts it, only
an entry of a higher `seq`. It has no expiry, and the same one again changes nothing.
"""

from dataclasses import dataclass
from enum import StrEnum

from ceremony.statements import RevocationPayload
from ceremony.trust import Trust
from ceremony.verification import verify


class Subject(StrEnum):
    """What a registry entry is about."""

    TERMINAL = "terminal"
    PERSON = "person"


@dataclass(frozen=True, slots=True)
class Revocation:
    """A revocation that an officer signed: of `name`, a terminal number or a person.

    `seq` is the highest that it takes away; `officer` the key id of who signed, `digest` and `text`
    the statement's.
    """

    subject: Subject
    name: str
    seq: int
    reason_code: str
    officer: str
    digest: str
    text: str


def read_revocation(text: str, trust: Trust) -> Revocation:
    """Verify a revocation: an officer's signature, for this deployment.

    Raises:
        StatementError: with the reason; `unknown-key` if no officer of the trust file signed it.
    """
    said = verify(text, RevocationPayload, trust.officer_keys, audience=trust.audience)
    payload = said.payload
    # The payload's own rule: exactly one of the two is given.
    terminal = payload.terminal_no is not None
    return Revocation(
        subject=Subject.TERMINAL if terminal else Subject.PERSON,
        name=payload.terminal_no or payload.person or "",
        seq=payload.seq,
        reason_code=payload.reason_code,
        officer=said.kid,
        digest=said.digest,
        text=text,
    )
