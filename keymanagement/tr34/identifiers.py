"""The object identifiers that TR-34 tokens are made of, encoded.

From RFC 5652 (CMS), RFC 8017 (PKCS#1), RFC 2985 (PKCS#9: randomNonce) and NIST's registry.
"""

from typing import Final

from keymanagement.tr34.der import NULL, oid, sequence

DATA: Final = oid("1.2.840.113549.1.7.1")
SIGNED_DATA: Final = oid("1.2.840.113549.1.7.2")
ENVELOPED_DATA: Final = oid("1.2.840.113549.1.7.3")
CONTENT_TYPE: Final = oid("1.2.840.113549.1.9.3")
MESSAGE_DIGEST: Final = oid("1.2.840.113549.1.9.4")
SIGNING_TIME: Final = oid("1.2.840.113549.1.9.5")
RANDOM_NONCE: Final = oid("1.2.840.113549.1.9.25.3")
KEY_BLOCK_HEADER: Final = DATA
"""TR-34 marks the header's attribute by the identifier of `data`."""

RSA_ENCRYPTION: Final = sequence(oid("1.2.840.113549.1.1.1"), NULL)
SHA256_WITH_RSA: Final = sequence(oid("1.2.840.113549.1.1.11"), NULL)
RSAES_OAEP: Final = oid("1.2.840.113549.1.1.7")
MGF1: Final = oid("1.2.840.113549.1.1.8")
P_SPECIFIED: Final = oid("1.2.840.113549.1.1.9")
SHA256: Final = oid("2.16.840.1.101.3.4.2.1")
AES_128_CBC: Final = oid("2.16.840.1.101.3.4.1.2")
DES_EDE3_CBC: Final = oid("1.2.840.113549.3.7")
