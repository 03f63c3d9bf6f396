"""The host's copy of a key: a key block under the KEK, bound to terminal, request and algorithm.

AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce, and not AES-KWP (RFC 5649), because KWP
authenticates the key but nothing beside it: a block moved to another terminal's row would open.
With an AEAD the binding is associated data, and a moved block is as wrong as a changed one. What
KWP would give in return, safety when a nonce repeats, is worth nothing here: the nonce comes from
the same generator as the key inside, and if that repeats, so does the key. One KEK serves at most
2**32 blocks, far beyond the ATMs of any bank.

Layout: "KFHC" | version 1 (1 byte) | algorithm (1) | KEK check (8) | nonce (12) | ciphertext | tag
(16). All before the nonce is associated data. The KEK check is derived one way from the KEK; it
only tells "another KEK" from "damaged" when an operator has to find out which.
"""

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keymanagement.port import HostCopyInvalid, KeyAlgorithm, KeyBinding
from keymanagement.subkeys import derive

_MAGIC: Final = b"KFHC\x01"
_KEK_CHECK_BYTES: Final = 8
_HEADER_BYTES: Final = len(_MAGIC) + 1 + _KEK_CHECK_BYTES
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16

_ALGORITHM_CODE: Final[Mapping[KeyAlgorithm, int]] = MappingProxyType(
    {
        KeyAlgorithm.AES_128: 1,
        KeyAlgorithm.AES_192: 2,
        KeyAlgorithm.AES_256: 3,
        KeyAlgorithm.TDES: 4,
    }
)


class HostCopies:
    """Seals and opens host's copies under one KEK; for key managers only."""

    __slots__ = ("_aead", "_kek_check")

    def __init__(self, kek: bytes) -> None:
        """Take the KEK, 32 random bytes.

        Raises:
            KekInvalid: if it has another length.
        """
        self._aead = AESGCM(derive(kek, "host-copy"))
        self._kek_check = derive(kek, "host-copy-check")[:_KEK_CHECK_BYTES]

    def seal(self, key: bytes, algorithm: KeyAlgorithm, binding: KeyBinding) -> bytes:
        """Make the block of a clear key.

        Raises:
            ValueError: if the key's length is not the algorithm's.
        """
        if len(key) != algorithm.key_bytes:
            raise ValueError("key length and algorithm do not agree")
        header = self._header(algorithm)
        nonce = os.urandom(_NONCE_BYTES)
        return header + nonce + self._aead.encrypt(nonce, key, _bound(header, binding, algorithm))

    def open(self, block: bytes, algorithm: KeyAlgorithm, binding: KeyBinding) -> bytes:
        """Return the clear key of a block.

        Raises:
            HostCopyInvalid: if a bit of the block, the binding or the algorithm differs from
                what was sealed.
        """
        expected = _HEADER_BYTES + _NONCE_BYTES + algorithm.key_bytes + _TAG_BYTES
        header = block[:_HEADER_BYTES]
        if len(block) != expected or not header.startswith(_MAGIC):
            raise HostCopyInvalid("not a host's copy of this algorithm")
        if header[-_KEK_CHECK_BYTES:] != self._kek_check:
            raise HostCopyInvalid("the host's copy is under another KEK")
        nonce = block[_HEADER_BYTES : _HEADER_BYTES + _NONCE_BYTES]
        sealed = block[_HEADER_BYTES + _NONCE_BYTES :]
        try:
            return self._aead.decrypt(nonce, sealed, _bound(header, binding, algorithm))
        except InvalidTag:
            # the cause says nothing more, and its frames hold the sealed bytes
            raise HostCopyInvalid("the host's copy is not what was sealed") from None

    def _header(self, algorithm: KeyAlgorithm) -> bytes:
        return _MAGIC + bytes([_ALGORITHM_CODE[algorithm]]) + self._kek_check


def _bound(header: bytes, binding: KeyBinding, algorithm: KeyAlgorithm) -> bytes:
    """The associated data: each part behind its length, so that no two bindings read alike."""
    parts = (header, binding.terminal_no.encode(), binding.request_id.encode(), algorithm.encode())
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)
