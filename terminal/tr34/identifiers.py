"""The object identifiers that TR-34 tokens are made of: the octets inside the OBJECT IDENTIFIER.

From RFC 5652 (CMS), RFC 8017 (PKCS#1), RFC 2985 (PKCS#9: randomNonce) and NIST's registry; written
as octets, so that the server's table and this one do not come from one encoder.
"""

from typing import Final

_PKCS: Final = bytes.fromhex("2a864886f70d01")

DATA: Final = _PKCS + b"\x07\x01"
SIGNED_DATA: Final = _PKCS + b"\x07\x02"
ENVELOPED_DATA: Final = _PKCS + b"\x07\x03"
CONTENT_TYPE: Final = _PKCS + b"\x09\x03"
MESSAGE_DIGEST: Final = _PKCS + b"\x09\x04"
SIGNING_TIME: Final = _PKCS + b"\x09\x05"
RANDOM_NONCE: Final = _PKCS + b"\x09\x19\x03"
ALGORITHM_PROTECTION: Final = _PKCS + b"\x09\x34"  # RFC 6211
KEY_BLOCK_HEADER: Final = DATA
RSA_ENCRYPTION: Final = _PKCS + b"\x01\x01"
SHA256_WITH_RSA: Final = _PKCS + b"\x01\x0b"
RSAES_OAEP: Final = _PKCS + b"\x01\x07"
MGF1: Final = _PKCS + b"\x01\x08"
P_SPECIFIED: Final = _PKCS + b"\x01\x09"
DES_EDE3_CBC: Final = bytes.fromhex("2a864886f70d0307")
SHA256: Final = bytes.fromhex("608648016503040201")
AES_128_CBC: Final = bytes.fromhex("608648016503040102")
