"""A KDH, and key tokens that are right or wrong in exactly one place."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from ceremony.encoding import b64, b64url, canonical_json
from keymanagement.kdh import DevelopmentKdh, KdhIdentity, make_development_kdh
from keymanagement.oaepjws import TYP, TokenSigner
from keymanagement.port import TokenTerms
from tests.support.certificates import Epp

NOW = 1_790_000_000
NONCE = "0f" * 16
OAEP_SHA256 = OAEP(mgf=MGF1(SHA256()), algorithm=SHA256(), label=None)


@cache
def sample_kdh_files(label: str = "KDH") -> DevelopmentKdh:
    """The PEM files of the development KDH of this label, made once in a test process."""
    del label
    return make_development_kdh(now=NOW - 60)


@cache
def sample_kdh(label: str = "KDH") -> KdhIdentity:
    """The development KDH of this label."""
    files = sample_kdh_files(label)
    return KdhIdentity.from_pem(files.key_pem, files.certificate_pem, now=NOW)


def terms_for(epp: Epp, *, terminal_no: str, request_id: str, krd_nonce: str = NONCE) -> TokenTerms:
    """The terms of a token for an EPP, issued now for a day."""
    return TokenTerms(
        request_id=request_id,
        terminal_no=terminal_no,
        epp_certificate_der=epp.certificate,
        epp_fingerprint=epp.fingerprint,
        krd_nonce=krd_nonce,
        issued_at=NOW,
        expires_at=NOW + 86_400,
    )


@dataclass(frozen=True)
class TokenForge:
    """Makes tokens with the KDH's real key, any header and any payload: what a thief could."""

    kdh: TokenSigner

    def header(self) -> dict[str, Any]:
        """The header of a right token."""
        return {
            "alg": "PS256",
            "typ": TYP,
            "kid": b64url(sha256(self.kdh.certificate_der).digest()),
            "x5c": [b64(self.kdh.certificate_der)],
        }

    def token(self, payload: object, header: dict[str, Any] | None = None) -> bytes:
        """Sign a payload under a header, by default the right one."""
        protected = self.header() if header is None else header
        return self.raw(canonical_json(protected), canonical_json(payload))

    def raw(self, header: bytes, payload: bytes) -> bytes:
        """Sign the very bytes of a header and a payload."""
        signed = f"{b64url(header)}.{b64url(payload)}"
        return f"{signed}.{b64url(self.kdh.sign(signed.encode()))}".encode()


def encrypted_to(key: rsa.RSAPublicKey, clear: bytes) -> str:
    """A clear key under RSAES-OAEP as a token holds it."""
    return b64url(key.encrypt(clear, OAEP_SHA256))


def certificate_like_a_kdhs(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
    *,
    purposes: list[x509.ObjectIdentifier] | None,
    ca: bool = False,
    encipherment: bool = False,
) -> bytes:
    """A certificate like the KDH's, wrong where the arguments say so; PEM."""
    template = x509.load_pem_x509_certificate(sample_kdh_files().certificate_pem)
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=encipherment,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(template.subject)
        .issuer_name(template.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.fromtimestamp(NOW - 60, UTC))
        .not_valid_after(datetime.fromtimestamp(NOW + 86_400, UTC))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(usage, critical=True)
    )
    if purposes is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=True)
    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM)
