"""What a KRD sends to a KDH: its certificate (CT-KRD) and a nonce (RT-KRD).

ASC X9 TR 34-2019, annex B.7 and B.12.
"""

from cryptography.hazmat.primitives.serialization import Encoding

from terminal.tr34.binding import Krd
from terminal.tr34.der import CONTEXT_0, INTEGER, OBJECT_ID, OCTETS, SEQUENCE, SET, wrapped
from terminal.tr34.identifiers import DATA, RANDOM_NONCE, SIGNED_DATA


def krd_credential(krd: Krd) -> bytes:
    """CT-KRD: this KRD's certificate in an unsigned SignedData."""
    body = wrapped(
        SEQUENCE,
        wrapped(INTEGER, b"\x01"),
        wrapped(SET),
        wrapped(SEQUENCE, wrapped(OBJECT_ID, DATA)),
        wrapped(CONTEXT_0, krd.certificate.public_bytes(Encoding.DER)),
        wrapped(SET),
    )
    return wrapped(SEQUENCE, wrapped(OBJECT_ID, SIGNED_DATA), wrapped(CONTEXT_0, body))


def krd_random(nonce: bytes) -> bytes:
    """RT-KRD: a nonce that this KRD gives out, as the attribute that is to come back."""
    return wrapped(SEQUENCE, wrapped(OBJECT_ID, RANDOM_NONCE), wrapped(SET, wrapped(OCTETS, nonce)))
