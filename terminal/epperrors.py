"""The EPP's refusals, by their XFS4IoT names.

The codes are those of the KeyManagement interface (ImportKeyToken, GenerateKCV, DeleteKey) in
camel case, as they travel in a receipt; `detail` says more to whoever reads the kiosk's journal.
"""

from enum import StrEnum


class EppCode(StrEnum):
    """An XFS4IoT KeyManagement `errorCode`."""

    ACCESS_DENIED = "accessDenied"
    CONTENT_INVALID = "contentInvalid"
    DUPLICATE_KEY = "duplicateKey"
    FORMAT_INVALID = "formatInvalid"
    INVALID_CERT_STATE = "invalidCertState"
    INVALID_KEY_LENGTH = "invalidKeyLength"
    KEY_NOT_FOUND = "keyNotFound"
    NO_KEY_RAM = "noKeyRam"
    RANDOM_INVALID = "randomInvalid"
    SIGNATURE_INVALID = "signatureInvalid"
    USE_VIOLATION = "useViolation"


class EppError(Exception):
    """The EPP refused; `code` is XFS4IoT's, `detail` a fixed sentence without key material."""

    def __init__(self, code: EppCode, detail: str) -> None:
        """Refuse with this code."""
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
