"""What an EPP does with a clear key: its length, its form and its check value.

Written apart from the server's: the AES check value is computed from the definition of CMAC (NIST
SP 800-38B section 6.2) over AES itself, so that an error of one side is not repeated by the other.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES, SM4
from cryptography.hazmat.primitives.ciphers.modes import ECB

TDES: Final = "TDES"
SM4_KEY: Final = "SM4"
KEY_BYTES: Final[Mapping[str, int]] = MappingProxyType(
    {"AES-128": 16, "AES-192": 24, "AES-256": 32, TDES: 24, SM4_KEY: 16}
)
_KCV_BYTES: Final = 3
_DES_PART: Final = 8
_AES_BLOCK: Final = 16
_SM4_BLOCK: Final = 16
_POLYNOMIAL: Final = 0x87  # of GF(2**128), SP 800-38B section 5.3


def is_well_formed(algorithm: str, key: bytes) -> bool:
    """Tell whether a TDES key has odd parity and three distinct parts; other keys need no form."""
    if algorithm != TDES:
        return True
    parts = {key[start : start + _DES_PART] for start in range(0, len(key), _DES_PART)}
    return len(parts) * _DES_PART == len(key) and all(byte.bit_count() % 2 for byte in key)


def check_value(algorithm: str, key: bytes) -> str:
    """Compute the KCV, six lower-case hex digits, of zeros: AES by CMAC, others by encryption."""
    if algorithm == TDES:
        # one block, as the check value is defined
        encryptor = Cipher(TripleDES(key), ECB()).encryptor()  # noqa: S305
        return encryptor.update(bytes(_DES_PART))[:_KCV_BYTES].hex()
    if algorithm == SM4_KEY:
        encryptor = Cipher(SM4(key), ECB()).encryptor()  # noqa: S305 - likewise one block
        return encryptor.update(bytes(_SM4_BLOCK))[:_KCV_BYTES].hex()
    return _aes_block(key, cmac_subkey(key))[:_KCV_BYTES].hex()


def cmac_subkey(key: bytes) -> bytes:
    """Compute CMAC's subkey K1 of an AES key (SP 800-38B section 6.1), 16 bytes.

    One whole zero block is masked by it alone, so that its encryption is the MAC.
    """
    value = int.from_bytes(_aes_block(key, bytes(_AES_BLOCK)), "big") << 1
    if value >> (8 * _AES_BLOCK):
        value = (value ^ _POLYNOMIAL) & ((1 << (8 * _AES_BLOCK)) - 1)
    return value.to_bytes(_AES_BLOCK, "big")


def _aes_block(key: bytes, block: bytes) -> bytes:
    return Cipher(AES(key), ECB()).encryptor().update(block)  # noqa: S305 - one block, no mode
