"""Names that several processes must agree on: in Temporal, in tables, in URLs."""

from typing import Final

CEREMONY_QUEUE: Final = "keyfill-ceremony"
KEYS_QUEUE: Final = "keyfill-keys"

LOADING_REQUEST: Final = "LoadingRequest"
REGISTRY_SYNC: Final = "RegistrySync"
REGISTRY_SYNC_ID: Final = "registry-sync"
REGISTRY_NOTES: Final = "RegistryNotes"
REGISTRY_CHANGE: Final = "RegistryChange"
KEY_ORDER: Final = "KeyOrder"
KEY_EXPORT: Final = "KeyExport"
KEY_EXPORT_ID: Final = "key-export"

SEARCH_REQUEST: Final = "KeyfillRequest"
SEARCH_STAGE: Final = "KeyfillStage"
SEARCH_TERMINAL: Final = "KeyfillTerminal"
SEARCH_FIRST: Final = "KeyfillFirstAdministrator"
SEARCH_SECOND: Final = "KeyfillSecondAdministrator"
SEARCH_BRANCH: Final = "KeyfillBranch"

TOKEN_FORMATS: Final = ("oaep-jws", "tr34", "gm-envelope")
"""Key token formats that this release makes, in no order of preference."""


def loading_request_id(terminal_no: str) -> str:
    """The workflow id: one per terminal, so that Temporal itself keeps one open request each."""
    return f"loading-request/{terminal_no}"


def registry_notes_id(occasion: str) -> str:
    """The workflow id: one for each run of the synchronisation, and for each revocation."""
    return f"registry-notes/{occasion}"


def registry_change_id(digest: str) -> str:
    """The workflow id: one for each signed entry that has to wait, whoever starts it."""
    return f"registry-change/{digest}"


def key_order_id(digest: str) -> str:
    """The workflow id: one for each `key-order` statement, whoever brings it and how often."""
    return f"key-order/{digest}"


SIGNAL_REQUEST_REPEATED: Final = "request_repeated"
SIGNAL_CODE_REQUESTED: Final = "code_requested"
SIGNAL_APPLICATION: Final = "application_submitted"
SIGNAL_DECISION: Final = "decision_submitted"
SIGNAL_CONFIRMATION: Final = "confirmation_submitted"
SIGNAL_RECEIPT: Final = "receipt_submitted"
SIGNAL_CANCELLATION: Final = "cancellation_submitted"
SIGNAL_REGISTRY_CHANGED: Final = "registry_changed"
SIGNAL_CHANGE_ENDED: Final = "change_ended"
QUERY_STATUS: Final = "status"
