"""The key distribution host's identity: the key and certificate that sign key tokens.

The certificate has one purpose, shown by an extended key usage of its own (PCI PIN Annex A2
19-12): an EPP's certificate from the same root can then never pass as a KDH's. Terminals pin it by
its thumbprint, so that a development identity may be self-signed; a site's own may have any issuer.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final, Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from ceremony.encoding import b64url
from keymanagement.port import KeyManagementError

# a UUID under 2.25 (ITU-T X.667) is an arc of one's own that nobody has to register
KDH_PURPOSE: Final = x509.ObjectIdentifier("2.25.119589597409290980121874722824758596049.1")
LEAST_RSA_BITS: Final = 3072
MOST_RSA_BITS: Final = 4096
DEVELOPMENT_DAYS: Final = 730
EXPIRES_SOON_DAYS: Final = 60
"""How long before its certificate expires a KDH should have a successor that terminals pin."""
_DAY: Final = 86_400
_PSS: Final = PSS(mgf=MGF1(SHA256()), salt_length=SHA256.digest_size)
_PROBE: Final = b"keyfill: the KDH checks itself"
SIGNS_ONLY: Final = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


class KdhInvalid(KeyManagementError):
    """The KDH's key and certificate cannot sign tokens; the message names the rule broken."""


class KdhExpired(KdhInvalid):
    """The certificate's end has passed: terminals take nothing that it signs."""


class KdhIdentity:
    """The KDH's private key and certificate; answers `keymanagement.software.KdhSigner`."""

    __slots__ = ("_key", "certificate_der", "not_after", "thumbprint")

    def __init__(self, key: rsa.RSAPrivateKey, certificate: x509.Certificate, *, now: int) -> None:
        """Take a key and its certificate and check them against each other at `now`.

        Raises:
            KdhInvalid: if they do not belong together, the key is not RSA of 3072 to 4096 bits,
                the certificate has another purpose beside or instead, or is not valid at `now`.
        """
        require_profile(certificate)
        require_valid(certificate, now)
        _require_pair(key, certificate)
        self._key = key
        self.certificate_der = certificate.public_bytes(Encoding.DER)
        self.thumbprint = b64url(sha256(self.certificate_der).digest())
        self.not_after = int(certificate.not_valid_after_utc.timestamp())

    @classmethod
    def from_pem(cls, key_pem: bytes, certificate_pem: bytes, *, now: int) -> Self:
        """Read a PKCS#8 private key (not under a password) and one certificate, both PEM.

        `now` is Unix time in seconds.

        Raises:
            KdhInvalid: if either cannot be read, and as the constructor.
        """
        try:
            key = load_pem_private_key(key_pem, password=None)
            certificate = x509.load_pem_x509_certificate(certificate_pem)
        except (ValueError, TypeError):
            # the cause may quote what it failed to read, and that is a private key
            raise KdhInvalid("the KDH's key or certificate cannot be read") from None
        if not isinstance(key, rsa.RSAPrivateKey):
            raise KdhInvalid("the KDH's key is an RSA key")
        return cls(key, certificate, now=now)

    def require_successor_of(self, former: "KdhIdentity") -> None:
        """Pass only if this identity has another key than `former`, and outlasts it.

        Raises:
            KdhInvalid: if it does not: terminals would be told to pin what does not help them.
        """
        mine, theirs = self._key.public_key(), former._key.public_key()
        if mine.public_numbers() == theirs.public_numbers():
            raise KdhInvalid("the next KDH has a key of its own")
        if self.not_after <= former.not_after:
            raise KdhInvalid("the next KDH certificate outlasts the current one")

    def days_left(self, now: int) -> int:
        """Whole days from `now` (Unix seconds) until the certificate expires."""
        return days_until(self.not_after, now)

    def sign(self, message: bytes) -> bytes:
        """Sign by PS256 (RFC 7518 section 3.5)."""
        return self._key.sign(message, _PSS, SHA256())

    def sign_pkcs1(self, message: bytes) -> bytes:
        """Sign by RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017 section 8.2), as TR-34 prescribes."""
        return self._key.sign(message, PKCS1v15(), SHA256())

    def __repr__(self) -> str:
        """Name the identity by its thumbprint only."""
        return f"KdhIdentity({self.thumbprint})"


@dataclass(frozen=True, slots=True)
class DevelopmentKdh:
    """A KDH identity for development: PKCS#8 key and certificate, both PEM."""

    key_pem: bytes = field(repr=False)
    certificate_pem: bytes


def make_development_kdh(*, now: int, days: int = DEVELOPMENT_DAYS) -> DevelopmentKdh:
    """Make an RSA-3072 key with a self-signed certificate of the KDH profile.

    For development only; a site has its own made in its HSM. `now` is Unix time in seconds.
    """
    key = rsa.generate_private_key(public_exponent=65537, key_size=LEAST_RSA_BITS)
    certificate = certify_development_kdh(key, now=now, days=days)
    key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return DevelopmentKdh(key_pem, certificate.public_bytes(Encoding.PEM))


def certify_development_kdh(
    key: rsa.RSAPrivateKey, *, now: int, days: int = DEVELOPMENT_DAYS
) -> x509.Certificate:
    """Give a key, of software or in an HSM, a certificate of the KDH profile signed by itself."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Keyfill KDH (development)")])
    start = datetime.fromtimestamp(now, UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(SIGNS_ONLY, critical=True)
        .add_extension(x509.ExtendedKeyUsage([KDH_PURPOSE]), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, SHA256())
    )


def require_profile(certificate: x509.Certificate) -> None:
    """Pass only a certificate that signs tokens and has no other purpose.

    Raises:
        KdhInvalid: if it has another, beside or instead.
    """
    try:
        extensions = certificate.extensions
        purposes = list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
        basic = extensions.get_extension_for_class(x509.BasicConstraints).value
    except (x509.ExtensionNotFound, ValueError) as error:
        raise KdhInvalid("the KDH certificate lacks its purpose") from error
    if purposes != [KDH_PURPOSE] or usage != SIGNS_ONLY or basic.ca:
        raise KdhInvalid("the KDH certificate signs tokens and has no other purpose")


def days_until(not_after: int, now: int) -> int:
    """Whole days between two Unix times in seconds."""
    return (not_after - now) // _DAY


def require_valid(certificate: x509.Certificate, now: int) -> None:
    """Pass only a certificate that is valid at `now` (Unix seconds).

    Raises:
        KdhExpired: if its end has passed.
        KdhInvalid: if its time has not come.
    """
    if now > certificate.not_valid_after_utc.timestamp():
        raise KdhExpired("the KDH certificate is not valid now: it has expired")
    if now < certificate.not_valid_before_utc.timestamp():
        raise KdhInvalid("the KDH certificate is not valid now")


def _require_pair(key: rsa.RSAPrivateKey, certificate: x509.Certificate) -> None:
    certified = certificate.public_key()
    if not isinstance(certified, rsa.RSAPublicKey):
        raise KdhInvalid("the KDH's key is an RSA key")
    if not LEAST_RSA_BITS <= certified.key_size <= MOST_RSA_BITS:
        raise KdhInvalid("the KDH's key has 3072 to 4096 bits")
    try:
        certified.verify(key.sign(_PROBE, _PSS, SHA256()), _PROBE, _PSS, SHA256())
    except InvalidSignature as error:
        raise KdhInvalid("the KDH's key is not the one in its certificate") from error
