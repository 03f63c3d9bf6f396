"""Every table in one place, so that the metadata is complete whoever imports it first."""

from sqlalchemy import MetaData

from records.tables import (
    alarm,
    attempt,
    audit_event,
    code_request,
    credential_entry,
    enrolment_link,
    key,
    key_export,
    key_order,
    loading_request,
    rate,
    registry_change,
    revocation,
    session,
    sms_message,
    sms_outbox,
    spent_state,
    submission,
    sync_run,
    terminal_entry,
    token,
    verdict,
)
from records.tables.record import Record

TABLE_MODULES = (
    alarm,
    attempt,
    audit_event,
    code_request,
    credential_entry,
    enrolment_link,
    key,
    key_export,
    key_order,
    loading_request,
    rate,
    registry_change,
    revocation,
    session,
    sms_message,
    sms_outbox,
    spent_state,
    submission,
    sync_run,
    terminal_entry,
    token,
    verdict,
)

METADATA: MetaData = Record.metadata
"""What the migrations must produce (a test compares both)."""
