"""The object identifiers of `gm-envelope` tokens: the octets inside the OBJECT IDENTIFIER.

GM/T 0006, GB/T 35275 and RFC 2985, written as octets, so that the server's table and this one do
not come from one encoder.
"""

from typing import Final

_GM: Final = bytes.fromhex("2a811ccf55")

DATA: Final = _GM + bytes.fromhex("0601040201")
SIGNED_DATA: Final = _GM + bytes.fromhex("0601040202")
ENVELOPED_DATA: Final = _GM + bytes.fromhex("0601040203")
SM4: Final = _GM + bytes.fromhex("0168")
SM4_CBC: Final = _GM + bytes.fromhex("016802")
SM3: Final = _GM + bytes.fromhex("018311")
SM2_SIGNATURE: Final = _GM + bytes.fromhex("01822d01")
SM2_ENCRYPTION: Final = _GM + bytes.fromhex("01822d03")
CONTENT_TYPE: Final = bytes.fromhex("2a864886f70d010903")
MESSAGE_DIGEST: Final = bytes.fromhex("2a864886f70d010904")
# 2.25.119589597409290980121874722824758596049.2
KEY_TERMS: Final = bytes.fromhex("6981b3f88f98a2bb9aa39f93be9e8c8f9bb6a35102")
