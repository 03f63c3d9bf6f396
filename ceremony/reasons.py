"""Reason codes: why something was refused or how a loading request ended.

A code is stable: auditors search for it, alarms count it, documentation explains it. What a
caller is told may be coarser (an application is only ever `application-refused`); the audit
trail holds the code itself.
"""

from enum import StrEnum


class Reason(StrEnum):
    """Every reason code of Keyfill, in kebab-case."""

    # a statement, before anything is known of the ceremony
    MALFORMED = "malformed"
    TOO_LARGE = "too-large"
    HEADER_REFUSED = "header-refused"
    WRONG_TYPE = "wrong-type"
    UNKNOWN_KEY = "unknown-key"
    WRONG_ALGORITHM = "wrong-algorithm"
    BAD_SIGNATURE = "bad-signature"
    WRONG_AUDIENCE = "wrong-audience"
    PASSKEY_REFUSED = "passkey-refused"
    PASSKEY_REQUIRED = "passkey-required"
    PASSKEY_NOT_DEVICE_BOUND = "passkey-not-device-bound"
    STALE = "stale"
    CHALLENGE_REFUSED = "challenge-refused"
    REPLAYED = "replayed"
    STATEMENT_MISSING = "statement-missing"

    # a registry entry
    UNSIGNED = "unsigned"
    WRONG_SIGNER = "wrong-signer"
    ENTRY_EXPIRED = "entry-expired"
    SEQ_LOWERED = "seq-lowered"
    ENTRY_REVOKED = "entry-revoked"
    OFFICERS_MISSING = "officers-missing"
    OFFICER_REQUIRED = "officer-required"
    COOLING_OFF = "cooling-off"
    ENTRY_WITHDRAWN = "entry-withdrawn"
    EPP_CERTIFICATE_MALFORMED = "epp-certificate-malformed"
    EPP_CERTIFICATE_UNTRUSTED = "epp-certificate-untrusted"
    EPP_CERTIFICATE_EXPIRED = "epp-certificate-expired"
    EPP_KEY_WEAK = "epp-key-weak"
    FOREIGN_EPP_KEY = "foreign-epp-key"
    FOREIGN_DEVICE_KEY = "foreign-device-key"
    SAME_PERSON = "same-person"
    SAME_NUMBER = "same-number"
    SAME_CREDENTIAL = "same-credential"
    DUPLICATE_TERMINAL = "duplicate-terminal"
    TOO_MANY_REMOVED = "too-many-removed"
    NUMBER_REFUSED = "number-refused"
    NOT_ADMINISTRATOR = "not-administrator"

    # the ceremony
    WRONG_STAGE = "wrong-stage"
    WRONG_REQUEST = "wrong-request"
    WRONG_TERMINAL = "wrong-terminal"
    WRONG_EPP = "wrong-epp"
    WRONG_SIGNATORY = "wrong-signatory"
    TERMINAL_UNKNOWN = "terminal-unknown"
    REGISTRY_INCOMPLETE = "registry-incomplete"
    REGISTRY_CHANGED = "registry-changed"
    FORMAT_UNSUPPORTED = "format-unsupported"
    MODEL_UNKNOWN = "model-unknown"
    RELOAD_REASON_MISSING = "reload-reason-missing"
    TERMINAL_NUMBER_WRONG = "terminal-number-wrong"
    NOT_FIRST_ADMINISTRATOR = "not-first-administrator"
    NOT_SECOND_ADMINISTRATOR = "not-second-administrator"
    SMS_CODE_WRONG = "sms-code-wrong"
    SMS_CODE_EXPIRED = "sms-code-expired"
    SMS_CODE_NOT_SENT = "sms-code-not-sent"
    QR_REFUSED = "qr-refused"
    QR_EXPIRED = "qr-expired"
    ATTEMPTS_EXHAUSTED = "attempts-exhausted"
    DAILY_ATTEMPTS_EXHAUSTED = "daily-attempts-exhausted"
    EXPIRY_TOO_LATE = "expiry-too-late"
    STATEMENT_EXPIRED = "statement-expired"
    WRONG_APPLICATION = "wrong-application"
    NOT_APPROVED = "not-approved"
    APPROVAL_EXPIRED = "approval-expired"
    APPROVAL_CODE_WRONG = "approval-code-wrong"
    ADMINISTRATOR_WRONG = "administrator-wrong"
    CONFIRMATION_TRIES_EXHAUSTED = "confirmation-tries-exhausted"
    REWRAPS_EXHAUSTED = "rewraps-exhausted"
    NONCE_REUSED = "nonce-reused"
    TOKEN_UNKNOWN = "token-unknown"  # noqa: S105 - a reason, not a secret
    KEY_TOO_STRONG = "key-too-strong"
    DUPLICATE_KEY = "duplicate-key"

    # the life of a key
    KEY_UNKNOWN = "key-unknown"
    KEY_COMPROMISED = "key-compromised"
    KEY_DESTROYED = "key-destroyed"
    KEY_STATE_REFUSED = "key-state-refused"

    # how a loading request ended
    LOADED = "loaded"
    REJECTED = "rejected"
    CANCELLED_BY_TERMINAL = "cancelled-by-terminal"
    CANCELLED_BY_ADMINISTRATOR = "cancelled-by-administrator"
    EXPIRED = "expired"
    KCV_WRONG = "kcv-wrong"
    TERMINAL_REFUSED = "terminal-refused"
    RECEIPT_MISSING = "receipt-missing"
    RELEASE_REFUSED = "release-refused"
    KEY_SUPERSEDED = "key-superseded"
