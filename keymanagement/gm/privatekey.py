"""SM2 private keys in PEM: PKCS#8 (RFC 5208) around ECPrivateKey (RFC 5915), as openssl writes it.

`cryptography` reads no key on SM2's curve. There is one spelling, with the public key inside: what
`openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:SM2` makes, and `openssl pkcs8 -topk8` of
older files.
"""

import base64
import binascii
from typing import Final

from ceremony.sm2 import POINT_BYTES, Sm2PublicKey
from keymanagement.gm.sm2 import PRIVATE_BYTES

_BEGIN: Final = b"-----BEGIN PRIVATE KEY-----"
_END: Final = b"-----END PRIVATE KEY-----"
_LINE: Final = 64
_HEAD: Final = bytes.fromhex(
    "308187020100301306072a8648ce3d020106082a811ccf5501822d046d306b0201010420"
)
_BETWEEN: Final = bytes.fromhex("a14403420004")


class Sm2KeyInvalid(ValueError):
    """A text is no SM2 private key in PKCS#8; the message holds none of it."""


def private_from_pem(pem: bytes) -> bytes:
    """Read the private key, 32 bytes.

    Raises:
        Sm2KeyInvalid: if it is none.
    """
    body = pem.strip()
    if not (body.startswith(_BEGIN) and body.endswith(_END)):
        raise Sm2KeyInvalid("not a private key in PEM")
    try:
        der = base64.b64decode(b"".join(body[len(_BEGIN) : -len(_END)].split()), validate=True)
    except binascii.Error:
        raise Sm2KeyInvalid("not a private key in PEM") from None
    private, rest = der[len(_HEAD) :][:PRIVATE_BYTES], der[len(_HEAD) + PRIVATE_BYTES :]
    whole = len(rest) == len(_BETWEEN) + POINT_BYTES
    if not (whole and der.startswith(_HEAD) and rest.startswith(_BETWEEN)):
        raise Sm2KeyInvalid("not an SM2 private key in PKCS#8")
    return private


def private_to_pem(private: bytes, public: Sm2PublicKey) -> bytes:
    """Write a private key of 32 bytes and its public one."""
    text = base64.b64encode(_HEAD + private + _BETWEEN + public.point)
    lines = (text[at : at + _LINE] for at in range(0, len(text), _LINE))
    return b"\n".join((_BEGIN, *lines, _END)) + b"\n"
