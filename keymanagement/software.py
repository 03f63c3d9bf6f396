"""The software key manager: keys are made and wrapped in this process.

For development, tests and sites without an HSM. Whoever is root on its host can read a key while
it is being wrapped (docs/threat-model.md). A clear TMK is a local of one method at a time and
never an attribute, an argument of anything logged, or part of an exception; Python cannot wipe
`bytes`, so the design's promise is "microseconds", not "erased".
"""

import hmac
import os
from typing import Final, Protocol

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from ceremony.encoding import EncodingError, from_hex, sha256_hex
from keymanagement import oaepjws
from keymanagement.checkvalue import key_check_value
from keymanagement.hostcopy import HostCopies
from keymanagement.oaepjws import TokenSigner
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
from keymanagement.tdeskey import random_tdes_key
from keymanagement.tr34 import keytoken as tr34
from keymanagement.tr34.header import KeyBlockHeader
from keymanagement.tr34.identity import CmsSigner

KRD_NONCE_BYTES: Final = 16
_FORMATS: Final = (tr34.FORMAT, oaepjws.FORMAT)
_OAEP: Final = OAEP(mgf=MGF1(SHA256()), algorithm=SHA256(), label=None)


class KdhSigner(TokenSigner, CmsSigner, Protocol):
    """The KDH as the tokens of every format need it."""


class SoftwareKeyManager:
    """Answers `keymanagement.port.KeyManager` with the `cryptography` library."""

    __slots__ = ("_copies", "_form", "_signer")

    def __init__(
        self, kek: bytes, signer: KdhSigner, *, form: tr34.TokenForm | None = None
    ) -> None:
        """Take the KEK (32 random bytes), the KDH that signs tokens, and how it writes `tr34`.

        Raises:
            KekInvalid: if the KEK has another length.
        """
        self._copies = HostCopies(kek)
        self._signer = signer
        self._form = form or tr34.TokenForm()

    def formats_for(self, algorithm: KeyAlgorithm) -> tuple[str, ...]:
        """The formats that carry the algorithm; see the port."""
        if self._form.cipher.carries(algorithm):
            return _FORMATS
        return (oaepjws.FORMAT,)

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
        if token_format not in _FORMATS:
            raise FormatUnsupported("this key manager makes tr34 and oaep-jws only")
        epp, transport = _transport(binding, terms)
        require_transport(algorithm, transport.key_size)
        if token_format == tr34.FORMAT:
            if terms.expires_at > self._signer.not_after:
                raise TermsRefused("the token would outlive the KDH certificate")
            value = tr34.compose(
                self._copies.open(block, algorithm, binding),
                KeyBlockHeader(algorithm, terms.key_usage),
                epp,
                self._signer,
                tr34.TwoPass(from_hex(terms.krd_nonce)),
                self._form,
            )
            return KeyToken(tr34.FORMAT, value, algorithm, sha256_hex(value))
        encrypted = transport.encrypt(self._copies.open(block, algorithm, binding), _OAEP)
        return oaepjws.compose(terms, algorithm, encrypted, self._signer)

    def kcv(self, block: bytes, algorithm: KeyAlgorithm, binding: KeyBinding) -> str:
        """Compute the KCV of the key in a host's copy; see the port."""
        return key_check_value(algorithm, self._copies.open(block, algorithm, binding))

    def __repr__(self) -> str:
        """Name the KDH by its thumbprint, nothing else."""
        return f"SoftwareKeyManager(kdh={self._signer.thumbprint})"


def _random_key(algorithm: KeyAlgorithm) -> bytes:
    if algorithm is KeyAlgorithm.TDES:
        return random_tdes_key()
    return os.urandom(algorithm.key_bytes)


def _transport(binding: KeyBinding, terms: TokenTerms) -> tuple[x509.Certificate, RSAPublicKey]:
    """The EPP's certificate and key, once the terms agree with the binding and themselves."""
    if (terms.request_id, terms.terminal_no) != (binding.request_id, binding.terminal_no):
        raise TermsRefused("the terms are another binding's")
    if not hmac.compare_digest(sha256_hex(terms.epp_certificate_der), terms.epp_fingerprint):
        raise TermsRefused("the fingerprint is another certificate's")
    if terms.expires_at <= terms.issued_at:
        raise TermsRefused("a token expires after its issue")
    try:
        nonce = from_hex(terms.krd_nonce)
        certificate = x509.load_der_x509_certificate(terms.epp_certificate_der)
        key = certificate.public_key()
    except EncodingError as error:
        raise TermsRefused("the nonce is not lower-case hexadecimal") from error
    except ValueError as error:
        raise TermsRefused("the EPP certificate cannot be read") from error
    if len(nonce) != KRD_NONCE_BYTES:
        raise TermsRefused("the EPP's nonce has 16 bytes")
    if not isinstance(key, RSAPublicKey):
        raise TermsRefused("the EPP's key is not an RSA key")
    return certificate, key
