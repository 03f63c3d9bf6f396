"""Rows that a database writer inserts: statements, verdicts, entries, as their owners do."""

import json
import sqlite3
import time

from ceremony.keys import PublicKey
from ceremony.registry import envelope_statements
from ceremony.state import CeremonyState
from ceremony.statements import CredentialEntry, TerminalEntry
from ceremony.verification import peek
from tests.support.attacked import Person
from tests.support.genuine import Ceremony


def file_statement(
    rows: sqlite3.Connection, load: Ceremony, text: str, signer: Person | None = None
) -> str:
    """Put a statement into the submissions, as if the API had received it; gives its digest."""
    said = peek(text)
    rows.execute(
        "INSERT OR IGNORE INTO submissions (digest, kind, request_id, terminal_no, signer_kid, "
        "person, statement, received_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            said.digest,
            said.kind,
            load.request_id,
            load.place.terminal_no,
            said.kid or said.credential_id,
            signer.person if signer else None,
            text,
            int(time.time()),
        ),
    )
    return said.digest


def forge_verdict(
    rows: sqlite3.Connection,
    state: CeremonyState,
    digest: str,
    kind: str,
    refused: str | None = None,
) -> None:
    """Say that a statement was accepted, or refused for a reason, and that this came of it."""
    rows.execute(
        "INSERT INTO verdicts (digest, request_id, kind, accepted, reason, stage, version, "
        "attempts_left, state_json, decided_at) VALUES (?, ?, ?, ?, ?, ?, 99, 5, ?, 0)",
        (
            digest,
            state.request_id,
            kind,
            refused is None,
            refused,
            state.stage,
            state.model_dump_json(),
        ),
    )


def insert_credential(rows: sqlite3.Connection, person: Person) -> None:
    """Make a person's entry the active one, whoever signed it."""
    said = peek(envelope_statements(person.envelope)[0]).payload
    assert isinstance(said, CredentialEntry)
    rows.execute(
        "INSERT INTO credential_entries (digest, person, staff_no, name, seq, kid, number_digest, "
        "envelope, valid_until, state, roles, recorded_at, sign_count) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'active', ?, 0, 0)",
        (
            person.digest,
            said.person,
            said.staff_no,
            said.name,
            said.seq,
            person.key.kid,
            person.digest,
            person.envelope,
            said.valid_until,
            json.dumps(said.roles),
        ),
    )


def insert_terminal(rows: sqlite3.Connection, entry: TerminalEntry, envelope: str) -> None:
    """Make a terminal's entry the current one, whoever signed it."""
    statement = peek(envelope_statements(envelope)[0])
    like = rows.execute("SELECT epp_fingerprint, epp_key_fingerprint FROM terminal_entries LIMIT 1")
    epp, epp_key = like.fetchone()
    rows.execute(
        "INSERT INTO terminal_entries (digest, terminal_no, seq, envelope, model, branch, "
        "epp_fingerprint, epp_key_fingerprint, device_kid, first_person, second_person, "
        "valid_until, current, recorded_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, true, 0)",
        (
            statement.digest,
            entry.terminal_no,
            entry.seq,
            envelope,
            entry.model,
            entry.branch,
            epp,
            epp_key,
            PublicKey.from_jwk(entry.device_key.members()).kid,
            entry.first,
            entry.second,
            entry.valid_until,
        ),
    )
