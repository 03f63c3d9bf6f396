"""A private authority for the connections to Temporal: each process shows a certificate of its own.

It certifies nothing else. Its key is needed again only to replace certificates.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_DAYS: Final = 3_650
CERTIFICATE_DAYS: Final = 825
"""Of what it certifies; `keyfill doctor` sees the client's, on each process's host."""
_CLOCK_SLACK: Final = timedelta(minutes=5)
_USAGE: Final = dict.fromkeys(
    (
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    ),
    False,
)


@dataclass(frozen=True, slots=True)
class Certified:
    """A PKCS#8 key and its certificate, both PEM."""

    key_pem: bytes = field(repr=False)
    certificate_pem: bytes


@dataclass(frozen=True, slots=True)
class PrivateCa:
    """An authority with its key (P-256)."""

    key: ec.EllipticCurvePrivateKey = field(repr=False)
    certificate: x509.Certificate
    start: datetime

    @classmethod
    def make(cls, *, now: int) -> Self:
        """Make one; `now` is Unix time in seconds."""
        key = ec.generate_private_key(ec.SECP256R1())
        start = datetime.fromtimestamp(now, UTC) - _CLOCK_SLACK
        name = _named("Keyfill Temporal authority")
        certificate = (
            _draft(name, name, key, start, AUTHORITY_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(
                x509.KeyUsage(digital_signature=False, key_cert_sign=True, **_USAGE), critical=True
            )
            .sign(key, SHA256())
        )
        return cls(key, certificate, start)

    @property
    def pem(self) -> Certified:
        """Its own key and certificate."""
        return _written(self.key, self.certificate)

    def certify(self, name: str, hosts: Sequence[str] = ()) -> Certified:
        """Make a key and certify it as a client's, or with `hosts` as a server's too.

        Temporal's own services call each other by the server's certificate.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        purposes = [ExtendedKeyUsageOID.CLIENT_AUTH]
        draft = (
            _draft(_named(name), self.certificate.subject, key, self.start, CERTIFICATE_DAYS)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                x509.KeyUsage(digital_signature=True, key_cert_sign=False, **_USAGE), critical=True
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                critical=False,
            )
        )
        if hosts:
            purposes.append(ExtendedKeyUsageOID.SERVER_AUTH)
            alternatives = x509.SubjectAlternativeName([_general(host) for host in hosts])
            draft = draft.add_extension(alternatives, critical=False)
        draft = draft.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        return _written(key, draft.sign(self.key, SHA256()))


def _draft(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    start: datetime,
    days: int,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _written(key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> Certified:
    return Certified(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        certificate.public_bytes(Encoding.PEM),
    )
