"""A KCV at rest: sealed, because before the receipt it must not leave the server.

The journal keeps it under AES-256-GCM bound to its request. The release record commits to it by a
keyed digest: a plain SHA-256 of three bytes is undone by 2**24 guesses, and the record is read by
people and systems that may not know the KCV yet.
"""

import hmac
import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keymanagement.port import KeyManagementError
from keymanagement.subkeys import derive

_NONCE_BYTES: Final = 12


class SealedKcvInvalid(KeyManagementError):
    """A sealed KCV was changed, moved to another request, or is under another KEK."""


class KcvSeal:
    """Seals, opens and commits to KCVs (six lower-case hex digits) under one KEK."""

    __slots__ = ("_aead", "_digest_key")

    def __init__(self, kek: bytes) -> None:
        """Take the KEK, 32 random bytes.

        Raises:
            KekInvalid: if it has another length.
        """
        self._aead = AESGCM(derive(kek, "kcv-seal"))
        self._digest_key = derive(kek, "kcv-digest")

    def seal(self, request_id: str, kcv: str) -> bytes:
        """Seal a KCV for one request."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, kcv.encode("ascii"), request_id.encode())

    def open(self, request_id: str, sealed: bytes) -> str:
        """Return the KCV.

        Raises:
            SealedKcvInvalid: if it was not sealed for this request under this KEK.
        """
        try:
            clear = self._aead.decrypt(
                sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], request_id.encode()
            )
        except (InvalidTag, ValueError):
            raise SealedKcvInvalid("the KCV is not what was sealed") from None
        return clear.decode("ascii")

    def digest(self, request_id: str, kcv: str) -> str:
        """Commit to a KCV for the release record: HMAC-SHA256 as lower-case hex."""
        message = f"{request_id}.{kcv}".encode("ascii")
        return hmac.digest(self._digest_key, message, "sha256").hex()
