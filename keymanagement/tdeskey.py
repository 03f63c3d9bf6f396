"""Three-key TDES keys (NIST SP 800-67 rev. 2, keying option 1)."""

import os
from typing import Final

KEY_BYTES: Final = 24
_PART: Final = 8


def random_tdes_key() -> bytes:
    """Make a key from the operating system's generator: odd parity, three distinct parts."""
    while True:
        key = with_odd_parity(os.urandom(KEY_BYTES))
        parts = {key[start : start + _PART] for start in range(0, KEY_BYTES, _PART)}
        # equal parts would make it double- or single-length TDES (NIST SP 800-67 section 3.3.2)
        if len(parts) * _PART == KEY_BYTES:
            return key


def with_odd_parity(key: bytes) -> bytes:
    """Set the lowest bit of every byte so that the byte has odd parity (FIPS 46-3)."""
    return bytes((byte & 0xFE) | (1 - (byte >> 1).bit_count() % 2) for byte in key)
