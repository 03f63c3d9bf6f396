"""The key check value (KCV): what a terminal shows to prove that it holds the key.

AES: CMAC (NIST SP 800-38B) of one zero block; TDES and SM4: encryption of one zero block; the first
three bytes, six lower-case hex digits. The AES form by ECB is another value and must never be given
(KEY_TOKENS 2c: the same key has 08793e by CMAC and e5e07c by ECB). No more than three bytes ever
leave this module, PCI PIN 15-1.
"""

from typing import Final

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES, SM4
from cryptography.hazmat.primitives.ciphers.modes import ECB
from cryptography.hazmat.primitives.cmac import CMAC

from keymanagement.port import KeyAlgorithm

KCV_BYTES: Final = 3
_TDES_PART: Final = 8
_TDES_DOUBLE: Final = 16


def key_check_value(algorithm: KeyAlgorithm, key: bytes) -> str:
    """Compute the KCV of a clear key, six lower-case hex digits.

    Only a key manager has a clear key to give. A double-length TDES key (16 bytes) counts as
    K1 K2 K1, the form in which older systems print check values.

    Raises:
        ValueError: if the key's length is not one of the algorithm's.
    """
    if algorithm is KeyAlgorithm.TDES:
        return _zero_block_tdes(key)[:KCV_BYTES].hex()
    if len(key) != algorithm.key_bytes:
        raise ValueError("key length and algorithm do not agree")
    if algorithm is KeyAlgorithm.SM4:
        encryptor = Cipher(SM4(key), ECB()).encryptor()  # noqa: S305 - one block, as below
        return encryptor.update(bytes(SM4.block_size // 8))[:KCV_BYTES].hex()
    mac = CMAC(AES(key))
    mac.update(bytes(AES.block_size // 8))
    return mac.finalize()[:KCV_BYTES].hex()


def _zero_block_tdes(key: bytes) -> bytes:
    if len(key) == _TDES_DOUBLE:
        key = key + key[:_TDES_PART]
    if len(key) != KeyAlgorithm.TDES.key_bytes:
        raise ValueError("key length and algorithm do not agree")
    # a check value is one block by definition: there is no mode that could leak structure
    encryptor = Cipher(TripleDES(key), ECB()).encryptor()  # noqa: S305
    return encryptor.update(bytes(_TDES_PART)) + encryptor.finalize()
