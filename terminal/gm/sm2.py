"""SM2 (GB/T 32918) inside the EPP: keys read from certificates and PKCS#8, verifying, opening.

Written apart from the server's. The arithmetic is `gmssl-pyx`'s; what it is given is checked here
first, because it overlooks what stands after a structure and how its numbers are written.
"""

from dataclasses import dataclass, field
from importlib import import_module
from typing import Final, Protocol, Self, cast

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from terminal.gm.refusal import GmRefused, Rule
from terminal.tr34.der import (
    BIT_STRING,
    CONTEXT_0,
    CONTEXT_1,
    INTEGER,
    OBJECT_ID,
    OCTETS,
    SEQUENCE,
    NotDer,
    Reader,
    whole,
    wrapped,
)

SIGNER_ID: Final = b"1234567812345678"
ALGORITHM: Final = wrapped(
    SEQUENCE,
    wrapped(OBJECT_ID, bytes.fromhex("2a8648ce3d0201")),
    wrapped(OBJECT_ID, bytes.fromhex("2a811ccf5501822d")),
)
"""The AlgorithmIdentifier of a key on sm2p256v1 (RFC 5480 section 2.1.1, GM/T 0006)."""
HASH_BYTES: Final = 32
SECRET_BYTES: Final = 32
_UNCOMPRESSED: Final = b"\x00\x04"
_POINT_BYTES: Final = 64
# GB/T 32918.5: y**2 = x**3 - 3x + B over the field of P
_P: Final = 2**256 - 2**224 - 2**96 + 2**64 - 1
_B: Final = 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93


class _Library(Protocol):
    GmsslInnerError: type[Exception]

    def sm2_verify(
        self, public_key: bytes, message: bytes, signature: bytes, signer_id: bytes
    ) -> bool: ...

    def sm2_decrypt(self, private_key: bytes, ciphertext: bytes) -> bytes: ...


def _load() -> _Library | None:
    try:
        return cast(_Library, import_module("gmssl_pyx"))
    except ImportError:
        return None


_gmssl: _Library | None = _load()


def certified_point(certificate: x509.Certificate) -> bytes:
    """The SM2 key of a certificate, x and y of 32 bytes each, cut out of its own bytes.

    Raises:
        NotDer: if the certificate is not DER, or its key is none on SM2's curve.
    """
    certified = whole(certificate.public_bytes(Encoding.DER)).members().take(SEQUENCE).members()
    certified.take_if(CONTEXT_0)
    certified.take(INTEGER)
    for _ in ("signature algorithm", "issuer", "validity", "subject"):
        certified.take(SEQUENCE)
    key = certified.take(SEQUENCE).members()
    if key.take(SEQUENCE).raw != ALGORITHM:
        raise NotDer("another kind of key")
    return _point(key.take(BIT_STRING).value)


@dataclass(frozen=True, slots=True)
class Sm2PrivateKey:
    """An EPP's private key, 32 bytes."""

    secret: bytes = field(repr=False)

    @classmethod
    def read(cls, pkcs8: bytes) -> Self:
        """Read a PKCS#8 PrivateKeyInfo around an ECPrivateKey, DER.

        Raises:
            GmRefused: NO_KEY if it is none on SM2's curve.
        """
        try:
            info = whole(pkcs8).members()
            info.take(INTEGER)
            right = info.take(SEQUENCE).raw == ALGORITHM
            inner = whole(info.take(OCTETS).value).members()
            inner.take(INTEGER)
            secret = inner.take(OCTETS).value
            inner.take_if(CONTEXT_0)
            inner.take_if(CONTEXT_1)
            inner.end()
        except NotDer:
            raise GmRefused(Rule.NO_KEY) from None
        if not right or len(secret) != SECRET_BYTES:
            raise GmRefused(Rule.NO_KEY)
        return cls(secret)

    def opened(self, cipher: bytes) -> bytes:
        """Decrypt an SM2Cipher (GM/T 0009 section 7.2): x, y, SM3 hash, ciphertext.

        Raises:
            GmRefused: UNOPENED if it does not open, NO_SM2.
            NotDer: if it is none.
        """
        library = _required()
        members = whole(cipher).members()
        x, y = _coordinate(members), _coordinate(members)
        hash_bytes = len(members.take(OCTETS).value)
        members.take(OCTETS)
        members.end()
        if hash_bytes != HASH_BYTES or not _on_curve(x, y):
            raise GmRefused(Rule.UNOPENED)
        try:
            return library.sm2_decrypt(self.secret, cipher)
        except library.GmsslInnerError:
            # its traceback shows the private key
            raise GmRefused(Rule.UNOPENED) from None


def require_signed(point: bytes, message: bytes, signature: bytes) -> None:
    """Pass only if the key signed the message: SM2 with SM3 and the default identifier.

    `signature` is SM2Signature in DER (GM/T 0009 section 7.3).

    Raises:
        GmRefused: SIGNATURE, or NO_SM2.
        NotDer: if the signature is not in its one encoding.
    """
    library = _required()
    members = whole(signature).members()
    for _ in ("r", "s"):
        members.take(INTEGER).integer()
    members.end()
    if not library.sm2_verify(point, message, signature, SIGNER_ID):
        raise GmRefused(Rule.SIGNATURE)


def _point(bits: bytes) -> bytes:
    point = bits[len(_UNCOMPRESSED) :]
    if not bits.startswith(_UNCOMPRESSED) or len(point) != _POINT_BYTES:
        raise NotDer("an SM2 key is an uncompressed point")
    half = _POINT_BYTES // 2
    if not _on_curve(int.from_bytes(point[:half], "big"), int.from_bytes(point[half:], "big")):
        raise NotDer("the point is off the curve")
    return point


def _coordinate(members: Reader) -> int:
    return members.take(INTEGER).integer()


def _on_curve(x: int, y: int) -> bool:
    return 0 <= x < _P and 0 <= y < _P and (y * y - x**3 + 3 * x - _B) % _P == 0


def _required() -> _Library:
    if _gmssl is None:
        raise GmRefused(Rule.NO_SM2)
    return _gmssl
