"""EPP certificates: which encryption keys a terminal master key may be encrypted to."""

from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ceremony.reasons import Reason
from ceremony.sm2 import SM2_WITH_SM3, Sm2PublicKey, require_issued_by_sm2

EppKey = rsa.RSAPublicKey | Sm2PublicKey

MIN_RSA_BITS: Final = 2048
MAX_RSA_BITS: Final = 8192
MIN_EXPONENT: Final = 65537


class EntryError(ValueError):
    """A registry entry is refused; `reason` is the code, and the message holds nothing else."""

    def __init__(self, reason: Reason) -> None:
        """Refuse for this reason."""
        super().__init__(reason.value)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class EppCertificate:
    """A certificate that one of the trusted roots issued, valid now, for key encryption.

    `fingerprint` is SHA-256 over the certificate's DER, `key_fingerprint` over its
    SubjectPublicKeyInfo, both as hex: one EPP key stays one key in a renewed certificate.
    """

    der: bytes
    fingerprint: str
    key_fingerprint: str
    public_key: EppKey
    not_after: datetime


def read_epp_certificate(
    der: bytes, roots: tuple[x509.Certificate, ...], *, now: int
) -> EppCertificate:
    """Read an EPP certificate and check it against the pinned roots.

    A root is the certificate of the authority that issues EPP certificates: pinning it leaves no
    path to build, and an intermediate may be pinned just as well. The certificate must be for
    key encipherment only and no authority itself (single purpose, PCI PIN A2 19-12).

    Args:
        der: the certificate, DER.
        roots: the pinned authorities.
        now: Unix time, seconds.

    Raises:
        EntryError: malformed, untrusted (as well where an SM2 root is pinned and there is no SM2
            here to verify by), expired, or a key that is weak or neither RSA nor SM2.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        certified = Sm2PublicKey.of(certificate) or certificate.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise EntryError(Reason.EPP_CERTIFICATE_MALFORMED) from error
    key = _strong(certified)
    _check_issuer(certificate, roots, datetime.fromtimestamp(now, UTC))
    _check_purpose(certificate)
    return EppCertificate(
        der=der,
        fingerprint=sha256(der).hexdigest(),
        key_fingerprint=sha256(_spki(key)).hexdigest(),
        public_key=key,
        not_after=certificate.not_valid_after_utc,
    )


def _strong(key: object) -> EppKey:
    if isinstance(key, Sm2PublicKey):
        return key
    if not isinstance(key, rsa.RSAPublicKey) or not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
        raise EntryError(Reason.EPP_KEY_WEAK)
    if key.public_numbers().e < MIN_EXPONENT:
        raise EntryError(Reason.EPP_KEY_WEAK)
    return key


def _spki(key: EppKey) -> bytes:
    if isinstance(key, Sm2PublicKey):
        return key.spki
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _check_issuer(
    certificate: x509.Certificate, roots: tuple[x509.Certificate, ...], now: datetime
) -> None:
    issuers = [root for root in roots if _issued(certificate, root)]
    if not issuers:
        raise EntryError(Reason.EPP_CERTIFICATE_UNTRUSTED)
    # A renewed root is pinned beside its former certificate: one that is valid now is enough.
    if not (_valid(certificate, now) and any(_valid(issuer, now) for issuer in issuers)):
        raise EntryError(Reason.EPP_CERTIFICATE_EXPIRED)


def _valid(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc


def _issued(certificate: x509.Certificate, root: x509.Certificate) -> bool:
    try:
        constraints = root.extensions.get_extension_for_class(x509.BasicConstraints).value
        if certificate.signature_algorithm_oid == SM2_WITH_SM3:
            require_issued_by_sm2(certificate, root)
        else:
            certificate.verify_directly_issued_by(root)
    except (
        x509.ExtensionNotFound,
        ValueError,
        TypeError,
        InvalidSignature,
        UnsupportedAlgorithm,
    ):
        return False
    return constraints.ca


def _check_purpose(certificate: x509.Certificate) -> None:
    try:
        extensions = certificate.extensions
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError) as error:
        raise EntryError(Reason.EPP_CERTIFICATE_MALFORMED) from error
    try:
        authority = extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        authority = False
    signs = (
        usage.digital_signature or usage.content_commitment or usage.key_cert_sign or usage.crl_sign
    )
    if authority or not usage.key_encipherment or signs:
        raise EntryError(Reason.EPP_CERTIFICATE_UNTRUSTED)
