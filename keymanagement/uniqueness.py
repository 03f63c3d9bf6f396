"""Whether a key was made before: a keyed, full-length digest of its value.

PCI PIN 20-1 asks for keys that are unique per terminal. Check values cannot show it: of five
thousand different keys, two share their three bytes more often than not. HMAC-SHA-256 (RFC 2104)
of the whole key under a subkey of the KEK can, and whoever reads the digest learns nothing: without
the KEK no guess of a key can be tried on it.
"""

import hmac
from typing import Final

from keymanagement.subkeys import derive

UNIQUENESS_BYTES: Final = 32


class KeyUniqueness:
    """Digests clear keys under one KEK; for key managers only."""

    __slots__ = ("_key",)

    def __init__(self, kek: bytes) -> None:
        """Take the KEK, 32 random bytes.

        Raises:
            KekInvalid: if it has another length.
        """
        self._key = derive(kek, "key-uniqueness")

    def of(self, key: bytes) -> bytes:
        """The 32 bytes that stand for a clear key: its value alone, not its algorithm or use."""
        return hmac.digest(self._key, key, "sha256")
