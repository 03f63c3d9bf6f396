"""Every table in one place, so that the metadata is complete whoever imports it first."""

from sqlalchemy import MetaData

from records.tables import (
    attempt,
    audit_event,
    code_request,
    credential_entry,
    enrolment_link,
    key,
    key_export,
    key_order,
    loading_request,
    revocation,
    session,
    sms_message,
    sms_outbox,
    submission,
    sync_run,
    terminal_entry,
    token,
    verdict,
)
from records.tables.record import Record

TABLE_MODULES = (
    attempt,
    audit_event,
    code_request,
    credential_entry,
    enrolment_link,
    key,
    key_export,
    key_order,
    loading_request,
    revocation,
    session,
    sms_message,
    sms_outbox,
    submission,
    sync_run,
    terminal_entry,
    token,
    verdict,
)

METADATA: MetaData = Record.metadata
"""What the migrations must produce (a test compares both)."""
