"""SM2 keys and certificates (GB/T 32918), as far as the rules need them.

`cryptography` reads such a certificate but not its key, and verifies no SM2 signature: the key is
cut out here, and `gmssl-pyx` verifies. Where that library is missing (it has wheels for few
platforms), nothing is verified and everything is refused.
"""

from dataclasses import dataclass, field
from importlib import import_module
from typing import Final, Protocol, Self, cast

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

SIGNER_ID: Final = b"1234567812345678"
"""The signer's identifier where none was agreed on (GM/T 0009 section 10)."""
SM2_WITH_SM3: Final = x509.ObjectIdentifier("1.2.156.10197.1.501")
SPKI_PREFIX: Final = bytes.fromhex("3059301306072a8648ce3d020106082a811ccf5501822d03420004")
"""SubjectPublicKeyInfo of an uncompressed SM2 key, up to its coordinates."""
POINT_BYTES: Final = 64

# GB/T 32918.5 section 2: the recommended curve sm2p256v1
_P: Final = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
_A: Final = _P - 3
_B: Final = 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93
_HALF: Final = POINT_BYTES // 2
_CONTEXT_0: Final = 0xA0
_LONG: Final = 0x80
# serial number, signature algorithm, issuer, validity, subject; then the key
_BEFORE_KEY: Final = 5


class Sm2Unavailable(ValueError):
    """There is no SM2 on this machine: `gmssl-pyx` is not installed."""


class _Library(Protocol):
    def sm2_verify(
        self, public_key: bytes, message: bytes, signature: bytes, signer_id: bytes
    ) -> bool: ...


def _load() -> _Library | None:
    try:
        return cast(_Library, import_module("gmssl_pyx"))
    except ImportError:
        return None


_gmssl: _Library | None = _load()


@dataclass(frozen=True, slots=True)
class Sm2PublicKey:
    """A public key on sm2p256v1: `point` is x and y, 32 bytes each, and on the curve."""

    point: bytes = field(repr=False)

    def __post_init__(self) -> None:
        """Check the point.

        Raises:
            ValueError: if it has not 64 bytes or is not on the curve.
        """
        if len(self.point) != POINT_BYTES or not _on_curve(self.point):
            raise ValueError("not a point of sm2p256v1")

    @classmethod
    def of(cls, certificate: x509.Certificate) -> Self | None:
        """The key of a certificate; None if that is no uncompressed SM2 key.

        Raises:
            ValueError: if it is one and not on the curve.
        """
        spki = _parts(certificate)[_BEFORE_KEY]
        if len(spki) != len(SPKI_PREFIX) + POINT_BYTES or not spki.startswith(SPKI_PREFIX):
            return None
        return cls(spki[len(SPKI_PREFIX) :])

    @property
    def spki(self) -> bytes:
        """The key's SubjectPublicKeyInfo, DER."""
        return SPKI_PREFIX + self.point

    def verify(self, signature: bytes, message: bytes) -> None:
        """Pass only if this key signed the message: SM2 with SM3 and the default identifier.

        `signature` is SM2Signature in DER (GM/T 0009 section 7.3).

        Raises:
            InvalidSignature: if it did not.
            Sm2Unavailable: if nobody here can tell.
        """
        if _gmssl is None:
            raise Sm2Unavailable("SM2 needs gmssl-pyx, which is not installed here")
        # the library takes an empty signature for a fault of the caller's
        if not signature or not _gmssl.sm2_verify(self.point, message, signature, SIGNER_ID):
            raise InvalidSignature


def require_issued_by_sm2(certificate: x509.Certificate, issuer: x509.Certificate) -> None:
    """Pass only if the issuer's SM2 key signed the certificate, and the names agree.

    The counterpart of `Certificate.verify_directly_issued_by`, which knows no SM2.

    Raises:
        ValueError: if the names, the algorithms or the issuer's key do not fit.
        InvalidSignature: if another signed it.
        Sm2Unavailable: if nobody here can tell.
    """
    if certificate.issuer != issuer.subject:
        raise ValueError("another issuer's certificate")
    if certificate.signature_algorithm_oid != SM2_WITH_SM3 or not _says_once(certificate):
        raise ValueError("not signed by SM2 with SM3")
    key = Sm2PublicKey.of(issuer)
    if key is None:
        raise ValueError("the issuer has no SM2 key")
    key.verify(certificate.signature, certificate.tbs_certificate_bytes)


def _on_curve(point: bytes) -> bool:
    x, y = int.from_bytes(point[:_HALF], "big"), int.from_bytes(point[_HALF:], "big")
    return x < _P and y < _P and (y * y - (x * x + _A) * x - _B) % _P == 0


def _says_once(certificate: x509.Certificate) -> bool:
    """Whether the algorithm beside the signature is the one that was signed."""
    whole = certificate.public_bytes(Encoding.DER)
    at, _ = _bounds(whole, 0)
    _, at = _bounds(whole, at)
    _, end = _bounds(whole, at)
    return whole[at:end] == _parts(certificate)[1]


def _parts(certificate: x509.Certificate) -> list[bytes]:
    """What a certificate says before its extensions, each encoded, from the serial number on.

    The library has read the certificate, and so it is DER.
    """
    data = certificate.tbs_certificate_bytes
    at, _ = _bounds(data, 0)
    if data[at] == _CONTEXT_0:
        _, at = _bounds(data, at)
    found: list[bytes] = []
    while len(found) <= _BEFORE_KEY:
        _, end = _bounds(data, at)
        found.append(data[at:end])
        at = end
    return found


def _bounds(data: bytes, at: int) -> tuple[int, int]:
    """Where the body of the element at `at` begins, and where it ends."""
    body, length = at + 2, data[at + 1]
    if length >= _LONG:
        body += length - _LONG
        length = int.from_bytes(data[at + 2 : body], "big")
    return body, body + length
