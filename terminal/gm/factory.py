"""Sample SM2 EPPs for development and tests: what `terminal.eppfactory` is for RSA ones.

A root of SM2 certifies each EPP's SM2 key, for key encipherment and nothing else. `cryptography`
builds no certificate with an SM2 key: it builds one with P-256 keys, of which every field that
names the other curve has the same length; those are exchanged, and SM2 signs the rest. Nothing here
has a place in production.
"""

import base64
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Final, Protocol, Self, cast

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from terminal.eppfactory import DEFAULT_CAPACITY, EPP_DAYS, ROOT_DAYS, named, pem_of, usage
from terminal.eppstore import EppMemory, EppStore
from terminal.gm.refusal import GmRefused
from terminal.gm.sm2 import ALGORITHM, SIGNER_ID, Sm2PrivateKey, certified_point
from terminal.tr34.der import (
    BIT_STRING,
    CONTEXT_1,
    INTEGER,
    OBJECT_ID,
    OCTETS,
    SEQUENCE,
    wrapped,
)

_ROOT_NAME: Final = "Keyfill sample EPP root, SM2"
_ECDSA: Final = wrapped(SEQUENCE, wrapped(OBJECT_ID, bytes.fromhex("2a8648ce3d040302")))
_SM2_WITH_SM3: Final = wrapped(SEQUENCE, wrapped(OBJECT_ID, bytes.fromhex("2a811ccf55018375")))


class _Maker(Protocol):
    def sm2_key_generate(self) -> tuple[bytes, bytes]: ...

    def sm2_sign(
        self, private_key: bytes, public_key: bytes, message: bytes, signer_id: bytes
    ) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Sm2Pair:
    """An SM2 key pair: 32 bytes, and x and y of 32 bytes each."""

    secret: bytes = field(repr=False)
    point: bytes = field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        """Make a pair.

        Raises:
            ImportError: if there is no SM2 on this machine.
        """
        point, secret = _maker().sm2_key_generate()
        return cls(secret, point)

    @property
    def pkcs8(self) -> bytes:
        """The private key as openssl writes it: PKCS#8 around ECPrivateKey, DER."""
        inner = wrapped(
            SEQUENCE,
            wrapped(INTEGER, b"\x01"),
            wrapped(OCTETS, self.secret),
            wrapped(CONTEXT_1, self._bits),
        )
        return wrapped(SEQUENCE, wrapped(INTEGER, b"\x00"), ALGORITHM, wrapped(OCTETS, inner))

    @property
    def spki(self) -> bytes:
        """The public key's SubjectPublicKeyInfo, DER."""
        return wrapped(SEQUENCE, ALGORITHM, self._bits)

    @property
    def _bits(self) -> bytes:
        return wrapped(BIT_STRING, b"\x00\x04", self.point)

    def sign(self, message: bytes) -> bytes:
        """Sign by SM2 with SM3; returns SM2Signature, DER."""
        return _maker().sm2_sign(self.secret, self.point, message, SIGNER_ID)


@dataclass(frozen=True, slots=True)
class Sm2Root:
    """A sample maker's SM2 root: key pair and certificate."""

    pair: Sm2Pair = field(repr=False)
    certificate: x509.Certificate

    @classmethod
    def from_pem(cls, key_pem: bytes, certificate_pem: bytes) -> Self:
        """Read a root that `key_pem` and `certificate_pem` wrote.

        Raises:
            ValueError: if they are not an SM2 key in PKCS#8 and its certificate, both PEM.
        """
        certificate = x509.load_pem_x509_certificate(certificate_pem)
        text = "".join(key_pem.decode("ascii").splitlines()[1:-1])
        try:
            secret = Sm2PrivateKey.read(base64.b64decode(text, validate=True)).secret
        except GmRefused:
            raise ValueError("a sample SM2 root has an SM2 key") from None
        return cls(Sm2Pair(secret, certified_point(certificate)), certificate)

    @property
    def key_pem(self) -> bytes:
        """The private key, PKCS#8 PEM."""
        return pem_of(self.pair.pkcs8)

    @property
    def certificate_pem(self) -> bytes:
        """The certificate, PEM: what a trust file pins."""
        return self.certificate.public_bytes(Encoding.PEM)


def make_sm2_root(*, now: int, days: int = ROOT_DAYS) -> Sm2Root:
    """Make a sample maker's root, valid from `now` (Unix seconds) for `days`.

    Raises:
        ImportError: if there is no SM2 on this machine.
    """
    pair = Sm2Pair.generate()
    name = named(_ROOT_NAME)
    certificate = _certified(name, name, pair, pair, now=now, days=days, authority=True)
    return Sm2Root(pair, certificate)


def issue_sm2_certificate(
    root: Sm2Root, pair: Sm2Pair, serial_no: str, *, now: int, days: int = EPP_DAYS
) -> bytes:
    """Certify an EPP's SM2 key under the root; returns DER."""
    subject, issuer = named(serial_no), root.certificate.subject
    certificate = _certified(subject, issuer, pair, root.pair, now=now, days=days, authority=False)
    return certificate.public_bytes(Encoding.DER)


def make_sm2_epp(
    folder: Path,
    root: Sm2Root,
    *,
    terminal_no: str,
    kdh_thumbprint: str | None,
    kdh_certificate: bytes | None,
    now: int,
    capacity: int = DEFAULT_CAPACITY,
) -> EppStore:
    """Make a sample EPP in a folder of its own: SM2 key pair, certificate, the pinned KDH, no keys.

    Raises:
        EppStoreError: if there is an EPP in the folder already.
        ImportError: if there is no SM2 on this machine.
    """
    pair = Sm2Pair.generate()
    memory = EppMemory(
        terminal_no=terminal_no,
        private_key=pair.pkcs8,
        certificate=issue_sm2_certificate(root, pair, f"SAMPLE-EPP-{terminal_no}", now=now),
        kdh_thumbprint=kdh_thumbprint,
        kdh_certificate=kdh_certificate,
        capacity=capacity,
    )
    return EppStore.create(folder, memory)


def _certified(
    subject: x509.Name,
    issuer: x509.Name,
    pair: Sm2Pair,
    signer: Sm2Pair,
    *,
    now: int,
    days: int,
    authority: bool,
) -> x509.Certificate:
    start = datetime.fromtimestamp(now, UTC)
    stand_in = ec.generate_private_key(ec.SECP256R1())
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(stand_in.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days))
        .add_extension(
            x509.BasicConstraints(ca=authority, path_length=0 if authority else None),
            critical=True,
        )
        .add_extension(usage(signs_certificates=authority), critical=True)
        .sign(stand_in, SHA256())
    )
    spki = stand_in.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    signed = built.tbs_certificate_bytes.replace(spki, pair.spki, 1)
    signed = signed.replace(_ECDSA, _SM2_WITH_SM3, 1)
    signature = wrapped(BIT_STRING, b"\x00", signer.sign(signed))
    return x509.load_der_x509_certificate(wrapped(SEQUENCE, signed, _SM2_WITH_SM3, signature))


def _maker() -> _Maker:
    return cast(_Maker, import_module("gmssl_pyx"))
