"""The software key manager: keys are made and wrapped in this process.

For development, tests and sites without an HSM. Whoever is root on its host can read a key while
it is being wrapped (docs/threat-model.md). A clear TMK is a local of one method at a time and
never an attribute, an argument of anything logged, or part of an exception; Python cannot wipe
`bytes`, so the design's promise is "microseconds", not "erased".
"""

import hmac
import os
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from ceremony.encoding import EncodingError, from_hex, sha256_hex
from keymanagement.checkvalue import key_check_value
from keymanagement.hostcopy import HostCopies
from keymanagement.oaepjws import FORMAT, TokenSigner, compose
from keymanagement.port import (
    CreatedKey,
    FormatUnsupported,
    KeyAlgorithm,
    KeyBinding,
    KeyToken,
    TermsRefused,
    TokenTerms,
)
from keymanagement.strength import require_transport

KRD_NONCE_BYTES: Final = 16
_TDES_PART: Final = 8
_OAEP: Final = OAEP(mgf=MGF1(SHA256()), algorithm=SHA256(), label=None)


class SoftwareKeyManager:
    """Answers `keymanagement.port.KeyManager` with the `cryptography` library."""

    formats: tuple[str, ...] = (FORMAT,)

    __slots__ = ("_copies", "_signer")

    def __init__(self, kek: bytes, signer: TokenSigner) -> None:
        """Take the KEK (32 random bytes) and the KDH that signs tokens.

        Raises:
            KekInvalid: if the KEK has another length.
        """
        self._copies = HostCopies(kek)
        self._signer = signer

    def create(self, algorithm: KeyAlgorithm, binding: KeyBinding) -> CreatedKey:
        """Make a key from the operating system's generator; see the port."""
        key = _random_key(algorithm)
        return CreatedKey(
            self._copies.seal(key, algorithm, binding), key_check_value(algorithm, key)
        )

    def make_token(
        self,
        block: bytes,
        algorithm: KeyAlgorithm,
        binding: KeyBinding,
        terms: TokenTerms,
        token_format: str,
    ) -> KeyToken:
        """Wrap the key to the EPP under RSAES-OAEP; see the port."""
        if token_format != FORMAT:
            raise FormatUnsupported("this key manager makes oaep-jws only")
        transport = _transport_key(binding, terms)
        require_transport(algorithm, transport.key_size)
        encrypted = transport.encrypt(self._copies.open(block, algorithm, binding), _OAEP)
        return compose(terms, algorithm, encrypted, self._signer)

    def kcv(self, block: bytes, algorithm: KeyAlgorithm, binding: KeyBinding) -> str:
        """Compute the KCV of the key in a host's copy; see the port."""
        return key_check_value(algorithm, self._copies.open(block, algorithm, binding))

    def __repr__(self) -> str:
        """Name the KDH by its thumbprint, nothing else."""
        return f"SoftwareKeyManager(kdh={self._signer.thumbprint})"


def _random_key(algorithm: KeyAlgorithm) -> bytes:
    if algorithm is not KeyAlgorithm.TDES:
        return os.urandom(algorithm.key_bytes)
    while True:
        key = with_odd_parity(os.urandom(algorithm.key_bytes))
        parts = {key[start : start + _TDES_PART] for start in range(0, len(key), _TDES_PART)}
        # equal parts would make it double- or single-length TDES (NIST SP 800-67 section 3.3.2)
        if len(parts) * _TDES_PART == len(key):
            return key


def with_odd_parity(key: bytes) -> bytes:
    """Set the lowest bit of every byte so that the byte has odd parity (FIPS 46-3)."""
    return bytes((byte & 0xFE) | (1 - (byte >> 1).bit_count() % 2) for byte in key)


def _transport_key(binding: KeyBinding, terms: TokenTerms) -> RSAPublicKey:
    """The EPP's key, once the terms are in agreement with the binding and with themselves."""
    if (terms.request_id, terms.terminal_no) != (binding.request_id, binding.terminal_no):
        raise TermsRefused("the terms are another binding's")
    if not hmac.compare_digest(sha256_hex(terms.epp_certificate_der), terms.epp_fingerprint):
        raise TermsRefused("the fingerprint is another certificate's")
    if terms.expires_at <= terms.issued_at:
        raise TermsRefused("a token expires after its issue")
    try:
        nonce = from_hex(terms.krd_nonce)
        key = x509.load_der_x509_certificate(terms.epp_certificate_der).public_key()
    except EncodingError as error:
        raise TermsRefused("the nonce is not lower-case hexadecimal") from error
    except ValueError as error:
        raise TermsRefused("the EPP certificate cannot be read") from error
    if len(nonce) != KRD_NONCE_BYTES:
        raise TermsRefused("the EPP's nonce has 16 bytes")
    if not isinstance(key, RSAPublicKey):
        raise TermsRefused("the EPP's key is not an RSA key")
    return key
