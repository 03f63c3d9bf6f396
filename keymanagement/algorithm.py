"""What a terminal master key (TMK) is for: the algorithms, and the length of their keys."""

from enum import StrEnum


class KeyAlgorithm(StrEnum):
    """What a TMK is for. TDES is the three-key form (NIST SP 800-67 rev. 2 keying option 1)."""

    AES_128 = "AES-128"
    AES_192 = "AES-192"
    AES_256 = "AES-256"
    TDES = "TDES"
    SM4 = "SM4"

    @property
    def key_bytes(self) -> int:
        """Length of the key in bytes; for TDES with its parity bits."""
        match self:
            case KeyAlgorithm.AES_128 | KeyAlgorithm.SM4:
                return 16
            case KeyAlgorithm.AES_192 | KeyAlgorithm.TDES:
                return 24
            case KeyAlgorithm.AES_256:
                return 32
