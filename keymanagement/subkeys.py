"""One key for one use: everything that the KEK protects is under a key derived from it.

HKDF (RFC 5869) with SHA-256 and a label for each use, so that a block, a sealed KCV and a row's
MAC never share a key although the key worker is given only one secret.
"""

from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from keymanagement.port import KeyManagementError

KEK_BYTES: Final = 32


class KekInvalid(KeyManagementError):
    """The KEK is not 32 bytes long."""


def derive(kek: bytes, purpose: str) -> bytes:
    """Derive the 32-byte key for one purpose from the KEK (32 random bytes).

    Raises:
        KekInvalid: if the KEK has another length.
    """
    if len(kek) != KEK_BYTES:
        raise KekInvalid(f"the KEK has {KEK_BYTES} bytes")
    info = b"keyfill/kek/1/" + purpose.encode()
    return HKDF(SHA256(), length=32, salt=None, info=info).derive(kek)
