"""Rows of verified registry entries: the envelope verbatim, every other column only an index."""

import json

from ceremony.enrolment import number_digest
from ceremony.registry import VerifiedCredential, VerifiedTerminal
from records.tables.credential_entry import CredentialEntryRow, CredentialState
from records.tables.terminal_entry import TerminalEntryRow


def terminal_row(terminal: VerifiedTerminal, *, now: int) -> TerminalEntryRow:
    """Make the row that puts a terminal entry in force; `now` is Unix seconds."""
    entry = terminal.entry
    return TerminalEntryRow(
        digest=terminal.digest,
        terminal_no=entry.terminal_no,
        seq=entry.seq,
        envelope=terminal.envelope,
        model=entry.model,
        branch=entry.branch,
        epp_fingerprint=terminal.epp.fingerprint,
        epp_key_fingerprint=terminal.epp.key_fingerprint,
        device_kid=terminal.device_key.public_key.kid,
        first_person=entry.first,
        second_person=entry.second,
        valid_until=entry.valid_until,
        current=True,
        recorded_at=now,
    )


def pending_credential_row(credential: VerifiedCredential, *, now: int) -> CredentialEntryRow:
    """Make the row of an enrolment that waits for officers; `now` is Unix seconds."""
    entry = credential.entry
    return CredentialEntryRow(
        digest=credential.digest,
        person=entry.person,
        staff_no=entry.staff_no,
        name=entry.name,
        seq=entry.seq,
        kid=credential.key.public_key.kid,
        credential_id=entry.credential_id,
        number_digest=number_digest(entry.number),
        envelope=credential.envelope,
        valid_until=entry.valid_until,
        state=CredentialState.PENDING,
        roles=json.dumps(entry.roles),
        recorded_at=now,
    )
