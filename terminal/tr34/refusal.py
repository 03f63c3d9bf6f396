"""Why a KRD refuses a token: one member for each rule that a token can break."""

from enum import Enum

from terminal.epperrors import EppCode, EppError


class Rule(Enum):
    """A rule of ASC X9 TR 34-2019 for the KRD, with its XFS4IoT error code and a fixed sentence."""

    MALFORMED = (EppCode.FORMAT_INVALID, "the token is not in DER or not a TR-34 token")
    DIALECT = (EppCode.FORMAT_INVALID, "the token is in no dialect that this EPP reads")
    UNBOUND = (EppCode.INVALID_CERT_STATE, "this EPP is bound to no KDH")
    BOUND = (EppCode.INVALID_CERT_STATE, "this EPP is bound to another KDH")
    HOST_PURPOSE = (EppCode.INVALID_CERT_STATE, "the certificate is no KDH's")
    HOST_ISSUER = (EppCode.INVALID_CERT_STATE, "another authority issued the KDH's certificate")
    HOST_EXPIRED = (EppCode.INVALID_CERT_STATE, "the KDH's certificate is not valid now")
    HOST_REVOKED = (EppCode.INVALID_CERT_STATE, "the KDH's certificate is revoked")
    CRL_MISSING = (EppCode.INVALID_CERT_STATE, "no revocation list is at hand")
    CRL_INVALID = (EppCode.INVALID_CERT_STATE, "the revocation list is not the authority's")
    CRL_STALE = (EppCode.INVALID_CERT_STATE, "the revocation list is out of date")
    SIGNER = (EppCode.SIGNATURE_INVALID, "the token names another signer")
    SIGNATURE = (EppCode.SIGNATURE_INVALID, "the signed attributes were changed")
    DIGEST = (EppCode.SIGNATURE_INVALID, "the content was changed")
    CONTENT_KIND = (EppCode.FORMAT_INVALID, "the content is of another type than was signed")
    NONCE = (EppCode.RANDOM_INVALID, "the token does not name the outstanding nonce")
    TIME = (EppCode.RANDOM_INVALID, "the token was not signed after the last one, or in the future")
    RECIPIENT = (EppCode.CONTENT_INVALID, "the token is another KRD's")
    OTHER_HOST = (EppCode.CONTENT_INVALID, "the token frees this EPP of another KDH")
    UNOPENED = (EppCode.CONTENT_INVALID, "the envelope does not open")
    HOST_INSIDE = (EppCode.CONTENT_INVALID, "the envelope names another KDH than its signer")
    HEADER_INSIDE = (EppCode.CONTENT_INVALID, "the header inside is not the one that was signed")
    HEADER = (EppCode.USE_VIOLATION, "the key is for a use that this EPP does not take")
    KEY_LENGTH = (EppCode.INVALID_KEY_LENGTH, "the key has not its algorithm's length")
    KEY_FORM = (EppCode.CONTENT_INVALID, "a TDES key has odd parity and three parts")


class Tr34Refused(EppError):
    """The KRD refused a token; `rule` is the one that it breaks."""

    def __init__(self, rule: Rule) -> None:
        """Refuse for this rule."""
        code, detail = rule.value
        super().__init__(code, detail)
        self.rule = rule
