"""The key block header of a TMK: the 16 characters that say what the key is for.

ANSI X9.143 (TR-31) header, without optional blocks; in TR-34 its length field says nothing and is
zero. A TMK is not exportable, and a terminal only decrypts with it (mode D).
"""

from dataclasses import dataclass

from keymanagement.port import KeyAlgorithm, KeyUsage


@dataclass(frozen=True, slots=True)
class KeyBlockHeader:
    """What a TMK is for: `K1` protects key blocks; `K0`, by policy, wraps keys without one."""

    algorithm: KeyAlgorithm
    usage: KeyUsage = "K1"

    def __bytes__(self) -> bytes:
        """The header in ASCII: `D0000K1AD00N0000`, or `B0000K1TD00N0000` for TDES."""
        version, letter = "BT" if self.algorithm is KeyAlgorithm.TDES else "DA"
        return f"{version}0000{self.usage}{letter}D00N0000".encode("ascii")
