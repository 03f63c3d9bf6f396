"""The object identifiers that `gm-envelope` tokens are made of, encoded.

GM/T 0006 (algorithms: SM2, SM3, SM4), GB/T 35275 (content types), RFC 2985 (PKCS#9 attributes).
"""

from typing import Final

from keymanagement.tr34.der import oid, sequence

DATA: Final = oid("1.2.156.10197.6.1.4.2.1")
SIGNED_DATA: Final = oid("1.2.156.10197.6.1.4.2.2")
ENVELOPED_DATA: Final = oid("1.2.156.10197.6.1.4.2.3")
CONTENT_TYPE: Final = oid("1.2.840.113549.1.9.3")
MESSAGE_DIGEST: Final = oid("1.2.840.113549.1.9.4")
KEY_TERMS: Final = oid("2.25.119589597409290980121874722824758596049.2")
"""The attribute that says what a key is for: under the arc of `kdh.KDH_PURPOSE`."""

SM4: Final = oid("1.2.156.10197.1.104")
SM4_CBC: Final = oid("1.2.156.10197.1.104.2")
SM3: Final = sequence(oid("1.2.156.10197.1.401"))
SM2_SIGNATURE: Final = sequence(oid("1.2.156.10197.1.301.1"))
SM2_ENCRYPTION: Final = sequence(oid("1.2.156.10197.1.301.3"))
