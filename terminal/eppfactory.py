"""Sample EPPs for development and tests: what an EPP's maker does, with keys that protect nothing.

A maker's root certifies each EPP's encryption key (key encipherment only, so that it can never
pass for a KDH); a site pins that root in its trust file. Nothing here has a place in production.
"""

import base64
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from terminal.eppstore import EppMemory, EppStore

KEY_SIZES: Final = (2048, 3072, 4096)
DEFAULT_CAPACITY: Final = 4
_EXPONENT: Final = 65537
_ROOT_BITS: Final = 3072
ROOT_DAYS: Final = 3650
EPP_DAYS: Final = 1825
_LINE: Final = 64


@dataclass(frozen=True, slots=True)
class SampleRoot:
    """A sample maker's root: private key and certificate."""

    key: rsa.RSAPrivateKey = field(repr=False)
    certificate: x509.Certificate

    @classmethod
    def from_pem(cls, key_pem: bytes, certificate_pem: bytes) -> Self:
        """Read a root that `key_pem` and `certificate_pem` wrote.

        Raises:
            ValueError: if they are not a PKCS#8 RSA key and a certificate, both PEM.
        """
        key = load_pem_private_key(key_pem, password=None)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise ValueError("a sample root has an RSA key")
        return cls(key, x509.load_pem_x509_certificate(certificate_pem))

    @property
    def key_pem(self) -> bytes:
        """The private key, PKCS#8 PEM."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @property
    def certificate_pem(self) -> bytes:
        """The certificate, PEM: what a trust file pins."""
        return self.certificate.public_bytes(Encoding.PEM)


def make_root(*, now: int, days: int = ROOT_DAYS) -> SampleRoot:
    """Make a sample maker's root, RSA-3072, valid from `now` (Unix seconds) for `days`."""
    key = rsa.generate_private_key(public_exponent=_EXPONENT, key_size=_ROOT_BITS)
    name = named("Keyfill sample EPP root")
    certificate = (
        _builder(name, name, key.public_key(), now, days)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, SHA256())
    )
    return SampleRoot(key, certificate)


def issue_epp_certificate(
    root: SampleRoot,
    public_key: rsa.RSAPublicKey,
    serial_no: str,
    *,
    now: int,
    days: int = EPP_DAYS,
) -> bytes:
    """Certify an EPP's encryption key under the root; returns DER.

    `serial_no` is the EPP's own, not its terminal's number: an EPP may move to another ATM.
    """
    builder = _builder(named(serial_no), root.certificate.subject, public_key, now, days)
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(root.key.public_key())
    return (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage(signs_certificates=False), critical=True)
        .add_extension(authority, critical=False)
        .sign(root.key, SHA256())
        .public_bytes(Encoding.DER)
    )


def make_epp(
    folder: Path,
    root: SampleRoot,
    *,
    terminal_no: str,
    kdh_thumbprint: str | None,
    kdh_certificate: bytes | None = None,
    now: int,
    bits: int = 3072,
    capacity: int = DEFAULT_CAPACITY,
) -> EppStore:
    """Make a sample EPP in a folder of its own: key pair, certificate, the pinned KDH, no keys.

    `kdh_certificate` (DER) is what `kdh_thumbprint` pins, for an EPP that takes `tr34` tokens.

    Raises:
        ValueError: if `bits` is not 2048, 3072 or 4096.
        EppStoreError: if there is an EPP in the folder already.
    """
    if bits not in KEY_SIZES:
        raise ValueError("an EPP's key has 2048, 3072 or 4096 bits")
    key = rsa.generate_private_key(public_exponent=_EXPONENT, key_size=bits)
    certificate = issue_epp_certificate(
        root, key.public_key(), f"SAMPLE-EPP-{terminal_no}", now=now
    )
    private_key = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    memory = EppMemory(
        terminal_no=terminal_no,
        private_key=private_key,
        certificate=certificate,
        kdh_thumbprint=kdh_thumbprint,
        kdh_certificate=kdh_certificate,
        capacity=capacity,
    )
    return EppStore.create(folder, memory)


def sample_private_key_pem(store: EppStore) -> bytes:
    """Take a sample EPP's private key out, PKCS#8 PEM, so that openssl can open a token with it.

    No real EPP can do this.
    """
    return pem_of(store.read().private_key)


def pem_of(pkcs8: bytes) -> bytes:
    """A private key in PEM; PKCS#8, DER, not under a password."""
    text = base64.b64encode(pkcs8)
    lines = (text[at : at + _LINE] for at in range(0, len(text), _LINE))
    return b"\n".join((b"-----BEGIN PRIVATE KEY-----", *lines, b"-----END PRIVATE KEY-----", b""))


def _builder(
    subject: x509.Name, issuer: x509.Name, key: rsa.RSAPublicKey, now: int, days: int
) -> x509.CertificateBuilder:
    start = datetime.fromtimestamp(now, UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days))
    )


def named(common_name: str) -> x509.Name:
    """A name that is a common name alone."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def usage(*, signs_certificates: bool) -> x509.KeyUsage:
    """The one use of a root's key, or of an EPP's: key encipherment."""
    return x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=not signs_certificates,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
