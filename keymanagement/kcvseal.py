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
    """Seals and commits to KCVs (six lower-case hex digits) under the newest KEK, opens any."""

    __slots__ = ("_aead", "_digest_key", "_previous")

    def __init__(self, kek: bytes, *previous: bytes) -> None:
        """Take the KEK that seals, and those before it that still open; 32 random bytes each.

        Raises:
            KekInvalid: if one has another length.
        """
        self._aead = AESGCM(derive(kek, "kcv-seal"))
        self._previous = tuple(AESGCM(derive(one, "kcv-seal")) for one in previous)
        self._digest_key = derive(kek, "kcv-digest")

    def seal(self, request_id: str, kcv: str) -> bytes:
        """Seal a KCV for one request."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, kcv.encode("ascii"), request_id.encode())

    def open(self, request_id: str, sealed: bytes) -> str:
        """Return the KCV.

        Raises:
            SealedKcvInvalid: if it was not sealed for this request under one of the KEKs.
        """
        for aead in (self._aead, *self._previous):
            clear = _opened(aead, request_id, sealed)
            if clear is not None:
                return clear.decode("ascii")
        raise SealedKcvInvalid("the KCV is not what was sealed")

    def resealed(self, request_id: str, sealed: bytes) -> bytes:
        """The same KCV under the newest KEK; the very bytes if they are under that already.

        Raises:
            SealedKcvInvalid: as `open` does.
        """
        if _opened(self._aead, request_id, sealed) is not None:
            return sealed
        return self.seal(request_id, self.open(request_id, sealed))

    def digest(self, request_id: str, kcv: str) -> str:
        """Commit to a KCV for the release record: HMAC-SHA256 as lower-case hex."""
        message = f"{request_id}.{kcv}".encode("ascii")
        return hmac.digest(self._digest_key, message, "sha256").hex()


def _opened(aead: AESGCM, request_id: str, sealed: bytes) -> bytes | None:
    try:
        return aead.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], request_id.encode())
    except (InvalidTag, ValueError):
        return None
