"""The key distribution host's SM2 identity: the key and certificate that sign `gm-envelope` tokens.

A second identity beside the RSA one (`keymanagement.kdh`), with the same profile: it signs tokens,
has that one purpose, and terminals with SM2 EPPs pin it by its SHA-256 thumbprint.
"""

from hashlib import sha256
from typing import Final, Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

from ceremony.encoding import b64url
from ceremony.sm2 import Sm2PublicKey, Sm2Unavailable
from keymanagement.gm import sm2
from keymanagement.gm.privatekey import Sm2KeyInvalid, private_from_pem, private_to_pem
from keymanagement.gm.selfsigned import self_signed
from keymanagement.kdh import (
    DEVELOPMENT_DAYS,
    DevelopmentKdh,
    KdhInvalid,
    days_until,
    require_profile,
    require_valid,
)

_PROBE: Final = b"keyfill: the KDH checks itself"
_DEVELOPMENT_NAME: Final = "Keyfill KDH, SM2 (development)"


class GmIdentity:
    """The KDH's SM2 key and certificate; answers `keymanagement.gm.keytoken.Sm2Signer`."""

    __slots__ = ("_private", "_public", "certificate_der", "not_after", "thumbprint")

    def __init__(self, private: bytes, certificate: x509.Certificate, *, now: int) -> None:
        """Take a private key (32 bytes) and its certificate, and check them at `now`.

        Raises:
            KdhInvalid: if they do not belong together, the certificate is not for an SM2 key, has
                another purpose beside or instead, or is not valid at `now` (Unix seconds);
                `KdhExpired` if its end has passed.
            Sm2Missing: if there is no SM2 here.
        """
        require_profile(certificate)
        require_valid(certificate, now)
        self._public = _certified(certificate)
        self._private = private
        self._require_pair()
        self.certificate_der = certificate.public_bytes(Encoding.DER)
        self.thumbprint = b64url(sha256(self.certificate_der).digest())
        self.not_after = int(certificate.not_valid_after_utc.timestamp())

    @classmethod
    def from_pem(cls, key_pem: bytes, certificate_pem: bytes, *, now: int) -> Self:
        """Read a PKCS#8 private key (not under a password) and one certificate, both PEM.

        Raises:
            KdhInvalid: if either cannot be read, and as the constructor.
            Sm2Missing: if there is no SM2 here.
        """
        try:
            private = private_from_pem(key_pem)
            certificate = x509.load_pem_x509_certificate(certificate_pem)
        except (Sm2KeyInvalid, ValueError):
            # the cause may quote what it failed to read, and that is a private key
            raise KdhInvalid("the KDH's SM2 key or certificate cannot be read") from None
        return cls(private, certificate, now=now)

    def days_left(self, now: int) -> int:
        """Whole days from `now` (Unix seconds) until the certificate expires."""
        return days_until(self.not_after, now)

    def sign_sm2(self, message: bytes) -> bytes:
        """Sign by SM2 with SM3 and the default identifier; returns SM2Signature, DER."""
        return sm2.sign(self._private, self._public, message)

    def _require_pair(self) -> None:
        try:
            self._public.verify(self.sign_sm2(_PROBE), _PROBE)
        except (InvalidSignature, Sm2Unavailable, ValueError):
            raise KdhInvalid("the KDH's SM2 key is not the one in its certificate") from None

    def __repr__(self) -> str:
        """Name the identity by its thumbprint only."""
        return f"GmIdentity({self.thumbprint})"


def make_development_gm_kdh(*, now: int, days: int = DEVELOPMENT_DAYS) -> DevelopmentKdh:
    """Make an SM2 key with a self-signed certificate of the KDH profile.

    For development only; a site has its own made in its HSM. `now` is Unix time in seconds.

    Raises:
        Sm2Missing: if there is no SM2 here.
    """
    private, public = sm2.generate()
    certificate = self_signed(_DEVELOPMENT_NAME, private, public, now=now, days=days)
    return DevelopmentKdh(private_to_pem(private, public), certificate.public_bytes(Encoding.PEM))


def _certified(certificate: x509.Certificate) -> Sm2PublicKey:
    try:
        public = Sm2PublicKey.of(certificate)
    except ValueError:
        public = None
    if public is None:
        raise KdhInvalid("the KDH's certificate is not for an SM2 key")
    return public
