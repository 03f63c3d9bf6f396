"""Why an EPP refuses a `gm-envelope` token: one member for each rule that a token can break."""

from enum import Enum

from terminal.epperrors import EppCode, EppError


class Rule(Enum):
    """A rule for the EPP, with its XFS4IoT error code and a fixed sentence."""

    MALFORMED = (EppCode.FORMAT_INVALID, "the token is not in DER or not a gm-envelope token")
    NO_SM2 = (EppCode.FORMAT_INVALID, "there is no SM2 on this machine")
    NO_KEY = (EppCode.ACCESS_DENIED, "the EPP has no SM2 key")
    HOST_PURPOSE = (EppCode.INVALID_CERT_STATE, "the pinned certificate is no KDH's for SM2")
    HOST_EXPIRED = (EppCode.INVALID_CERT_STATE, "the KDH's certificate is not valid now")
    SIGNER = (EppCode.SIGNATURE_INVALID, "the token names another signer")
    SIGNATURE = (EppCode.SIGNATURE_INVALID, "the signed attributes were changed")
    DIGEST = (EppCode.SIGNATURE_INVALID, "the content was changed")
    NONCE = (EppCode.RANDOM_INVALID, "the token does not name the outstanding nonce")
    TERMINAL = (EppCode.CONTENT_INVALID, "the token is another terminal's")
    REQUEST = (EppCode.CONTENT_INVALID, "the token is another request's")
    RECIPIENT = (EppCode.CONTENT_INVALID, "the token is another EPP's")
    EXPIRED = (EppCode.CONTENT_INVALID, "the token is expired")
    UNOPENED = (EppCode.CONTENT_INVALID, "the envelope does not open")
    HOST_INSIDE = (EppCode.CONTENT_INVALID, "the envelope names another KDH than its signer")
    TERMS_INSIDE = (EppCode.CONTENT_INVALID, "the terms inside are not those that were signed")
    USE = (EppCode.USE_VIOLATION, "the key is for a use that this EPP does not take")
    KEY_LENGTH = (EppCode.INVALID_KEY_LENGTH, "the key has not its algorithm's length")


class GmRefused(EppError):
    """The EPP refused a token; `rule` is the one that it breaks."""

    def __init__(self, rule: Rule) -> None:
        """Refuse for this rule."""
        code, detail = rule.value
        super().__init__(code, detail)
        self.rule = rule
