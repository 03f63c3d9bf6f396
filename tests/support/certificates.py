"""EPP authorities and certificates for tests: real X.509, cached RSA keys, no clock."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from ceremony.encoding import sha256_hex

NOT_BEFORE = datetime(2020, 1, 1, tzinfo=UTC)
NOT_AFTER = datetime(2060, 1, 1, tzinfo=UTC)
ENCIPHERMENT = frozenset({"key_encipherment"})

EppPublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey


def rsa_key(label: str, bits: int = 2048, exponent: int = 65537) -> rsa.RSAPrivateKey:
    """The RSA key of this label: made once in a test process, because making one is slow."""
    return _made(label, bits, exponent)


@cache
def _made(label: str, bits: int, exponent: int) -> rsa.RSAPrivateKey:
    del label
    return rsa.generate_private_key(public_exponent=exponent, key_size=bits)


@dataclass(frozen=True)
class Authority:
    """A root that issues EPP certificates."""

    name: str
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def make(
        cls,
        name: str = "Sample EPP Root",
        *,
        ca: bool = True,
        not_before: datetime = NOT_BEFORE,
        not_after: datetime = NOT_AFTER,
    ) -> Self:
        """Make a self-signed root; `ca=False` makes one that may issue nothing."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(_name(name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(not_before)
            .not_valid_after(not_after)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        return cls(name, key, builder.sign(key, SHA256()))

    @property
    def pem(self) -> str:
        """The root's certificate as PEM, as the trust file holds it."""
        return self.certificate.public_bytes(Encoding.PEM).decode()

    def issue(
        self,
        public_key: EppPublicKey,
        *,
        name: str = "EPP",
        ca: bool = False,
        usages: frozenset[str] | None = ENCIPHERMENT,
        not_before: datetime = NOT_BEFORE,
        not_after: datetime = NOT_AFTER,
    ) -> bytes:
        """Issue a certificate, DER; `usages=None` leaves the key usage extension out."""
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(self.certificate.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(not_before)
            .not_valid_after(not_after)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if usages is not None:
            builder = builder.add_extension(_usage(usages), critical=True)
        return builder.sign(self.key, SHA256()).public_bytes(Encoding.DER)


@dataclass(frozen=True)
class Epp:
    """An encrypting PIN pad: its RSA key pair and its certificate (DER)."""

    private_key: rsa.RSAPrivateKey
    certificate: bytes

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the certificate, as hex."""
        return sha256_hex(self.certificate)


@cache
def sample_authority() -> Authority:
    """The root that the test worlds of one process share."""
    return Authority.make()


def sample_epp(label: str, bits: int = 2048) -> Epp:
    """The EPP of this label, certified by the sample authority."""
    return _certified(label, bits)


@cache
def _certified(label: str, bits: int) -> Epp:
    key = rsa_key(label, bits)
    return Epp(key, sample_authority().issue(key.public_key(), name=label))


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _usage(usages: frozenset[str]) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature="digital_signature" in usages,
        content_commitment="content_commitment" in usages,
        key_encipherment="key_encipherment" in usages,
        data_encipherment="data_encipherment" in usages,
        key_agreement=False,
        key_cert_sign="key_cert_sign" in usages,
        crl_sign="crl_sign" in usages,
        encipher_only=False,
        decipher_only=False,
    )
