"""The token format `oaep-jws`: a TMK under RSAES-OAEP in a JWS that the KDH signed.

A compact JWS (RFC 7515), PS256 (RFC 7518 section 3.5), header `alg`, `typ`, `kid` (SHA-256 of the
KDH certificate, base64url) and `x5c` (that certificate alone). The payload binds request,
terminal, EPP, the EPP's nonce, usage, algorithm and expiry; `encrypted_key` is the TMK under
RSAES-OAEP without a label (RFC 8017 section 7.1), base64url, and `key_encryption` says with which
hash, by the names of RFC 7518 section 4.1. No KCV: it would let the terminal's software claim a
load that never was.

This module only composes. Whoever signs and encrypts, a software key or an HSM, is given to it.
"""

from enum import StrEnum
from typing import Final, Protocol

from ceremony.encoding import b64, b64url, canonical_json, sha256_hex
from keymanagement.port import KeyAlgorithm, KeyToken, TermsRefused, TokenTerms

FORMAT: Final = "oaep-jws"
TYP: Final = "keyfill.oaep-jws+jws"


class KeyEncryption(StrEnum):
    """How the TMK is encrypted to the EPP; the hash is that of OAEP and of its MGF1 alike.

    `RSA_OAEP` is SHA-1, for modules that offer nothing else. OAEP's proof needs no collision
    resistance, so that it is not broken, but no new design should have it.
    """

    RSA_OAEP_256 = "RSA-OAEP-256"
    RSA_OAEP = "RSA-OAEP"


class TokenSigner(Protocol):
    """The KDH as a token needs it."""

    @property
    def certificate_der(self) -> bytes:
        """The KDH's certificate, DER."""
        ...

    @property
    def thumbprint(self) -> str:
        """SHA-256 of `certificate_der`, base64url: what terminals pin."""
        ...

    @property
    def not_after(self) -> int:
        """Unix seconds after which the certificate is no longer valid."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Sign by PS256: RSASSA-PSS, SHA-256, MGF1 SHA-256, 32 bytes of salt."""
        ...


def compose(
    terms: TokenTerms,
    algorithm: KeyAlgorithm,
    encrypted_key: bytes,
    signer: TokenSigner,
    key_encryption: KeyEncryption = KeyEncryption.RSA_OAEP_256,
) -> KeyToken:
    """Build the token of a key that was encrypted by `key_encryption`, and have it signed.

    Raises:
        TermsRefused: if the token would outlive the KDH's certificate.
    """
    if terms.expires_at > signer.not_after:
        raise TermsRefused("the token would outlive the KDH certificate")
    header = {
        "alg": "PS256",
        "typ": TYP,
        "kid": signer.thumbprint,
        "x5c": [b64(signer.certificate_der)],
    }
    payload = {
        "request_id": terms.request_id,
        "terminal_no": terms.terminal_no,
        "epp_fingerprint": terms.epp_fingerprint,
        "krd_nonce": terms.krd_nonce,
        "key_usage": terms.key_usage,
        "key_algorithm": algorithm.value,
        "iat": terms.issued_at,
        "exp": terms.expires_at,
        "key_encryption": key_encryption.value,
        "encrypted_key": b64url(encrypted_key),
    }
    signed = f"{b64url(canonical_json(header))}.{b64url(canonical_json(payload))}"
    value = f"{signed}.{b64url(signer.sign(signed.encode('ascii')))}".encode("ascii")
    return KeyToken(FORMAT, value, algorithm, sha256_hex(value))
