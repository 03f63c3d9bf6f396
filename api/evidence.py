"""The records of one loading request, put together for an auditor.

Statements and registry entries are verbatim: each proves itself by its signatures. Nothing here
is a secret of the server's; the entries hold the administrators' telephone numbers, as signed.
"""

import json
from itertools import product
from typing import Annotated, Any

from pydantic import BaseModel, Field
from sqlmodel import Session

from api.problems import NotFound
from ceremony.registry import registry_digest
from ceremony.stages import Stage
from ceremony.statements import Kind
from records import (
    audit,
    credentialentries,
    keyorders,
    keystore,
    projection,
    submissions,
    terminalentries,
    verdicts,
)
from records.tables.audit_event import ActorKind, AuditEventRow
from records.tables.loading_request import LoadingRequestRow


class LoadingRecord(BaseModel):
    """A loading request as its workflow last reported it; `kcv` only after a receipt."""

    request_id: str
    terminal_no: str
    stage: Stage
    reason: str | None
    version: int
    model: str
    branch: str
    first_administrator: Annotated[str, Field(description="Staff number.")]
    second_administrator: Annotated[str, Field(description="Staff number.")]
    epp_fingerprint: str
    registry_digest: str
    opened_at: int
    stage_since: int
    request_digest: str
    application_digest: str | None
    decision_digest: str | None
    confirmation_digest: str | None
    receipt_digest: str | None
    token_digest: str | None
    kcv: str | None


class Event(BaseModel):
    """One event of the audit trail."""

    id: int
    at: int
    actor_kind: ActorKind
    actor: str | None
    event: str
    reason: str | None
    detail: dict[str, Any]


class ReceivedStatement(BaseModel):
    """A statement as it was received, verbatim."""

    digest: str
    kind: Kind
    signer_kid: str
    received_at: int
    statement: str


class RecordedVerdict(BaseModel):
    """What the checks found about one statement."""

    digest: str
    kind: Kind
    accepted: bool
    reason: str | None
    stage: Stage
    version: int
    decided_at: int


class Entries(BaseModel):
    """The registry entries behind `registry_digest`, each in its signed envelope."""

    terminal: str
    first: str
    second: str


class Evidence(BaseModel):
    """What is on record of one loading request."""

    loading_request: LoadingRecord
    statements: list[ReceivedStatement]
    verdicts: list[RecordedVerdict]
    entries: Annotated[
        Entries | None, Field(description="Null where the request never rested on any.")
    ]
    release_record: Annotated[
        str | None, Field(description="The key worker's own signed statement.")
    ]
    token_digests: list[str]
    key_orders: Annotated[
        list[str], Field(description="Officers' orders about the key, each in its envelope.")
    ]
    events: list[Event]


def record_of(row: LoadingRequestRow, *, proofs: bool = True) -> LoadingRecord:
    """What an auditor sees of a loading request; without proofs, what an operator sees."""
    record = LoadingRecord(
        first_administrator=row.first_staff_no,
        second_administrator=row.second_staff_no,
        **row.model_dump(include=set(LoadingRecord.model_fields)),
    )
    return record if proofs else record.model_copy(update={"kcv": None})


def events_of(session: Session, request_id: str) -> list[Event]:
    """The audit trail of a loading request, oldest first.

    Raises:
        NotFound: if there is neither the request nor an event of it.
    """
    events = audit.of_request(session, request_id)
    if not events and projection.find(session, request_id) is None:
        raise NotFound
    return [event_of(row) for row in events]


def evidence_of(session: Session, request_id: str) -> Evidence:
    """Everything on record of a loading request.

    Raises:
        NotFound: if it is unknown.
    """
    row = projection.find(session, request_id)
    if row is None:
        raise NotFound
    key = keystore.key(session, request_id)
    return Evidence(
        loading_request=record_of(row),
        statements=[
            ReceivedStatement(**one.model_dump(include=set(ReceivedStatement.model_fields)))
            for one in submissions.of_request(session, request_id)
        ],
        verdicts=[
            RecordedVerdict(**one.model_dump(include=set(RecordedVerdict.model_fields)))
            for one in verdicts.of_request(session, request_id)
        ],
        entries=_entries(session, row),
        release_record=key.release_record if key else None,
        token_digests=[token.token_digest for token in keystore.tokens_of(session, request_id)],
        key_orders=[one.envelope for one in keyorders.of_request(session, request_id)],
        events=[event_of(one) for one in audit.of_request(session, request_id)],
    )


def event_of(row: AuditEventRow) -> Event:
    """What an auditor sees of an event."""
    return Event(
        id=row.id or 0,
        at=row.at,
        actor_kind=row.actor_kind,
        actor=row.actor,
        event=row.event,
        reason=row.reason,
        detail=json.loads(row.detail),
    )


def _entries(session: Session, row: LoadingRequestRow) -> Entries | None:
    if not row.registry_digest:
        return None
    # Only the digest over all three is on record; each has had few versions, so trying is cheap.
    for terminal, first, second in product(
        terminalentries.terminal_history(session, row.terminal_no),
        credentialentries.credential_history(session, row.first_person),
        credentialentries.credential_history(session, row.second_person),
    ):
        if registry_digest(terminal.digest, first.digest, second.digest) == row.registry_digest:
            return Entries(terminal=terminal.envelope, first=first.envelope, second=second.envelope)
    return None
