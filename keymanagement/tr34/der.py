"""Writing DER (ITU-T X.690) by hand, for tokens whose order of members is part of their dialect.

The library writes the leaves; what holds them is put together here, because TR-34 signs a SET in
an order that no DER encoder would give it (docs/adr/0012).
"""

from datetime import UTC, datetime
from typing import Final

from cryptography.hazmat.asn1 import UTCTime, encode_der
from cryptography.x509 import ObjectIdentifier

NULL: Final = b"\x05\x00"
_SEQUENCE: Final = 0x30
_SET: Final = 0x31
_BITS: Final = 0x03
_OCTETS: Final = 0x04
_UTF8: Final = 0x0C
_CONSTRUCTED: Final = 0xA0
_PRIMITIVE: Final = 0x80
_SHORT: Final = 0x80


def _tlv(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    if len(body) < _SHORT:
        return bytes((tag, len(body))) + body
    length = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes((tag, _SHORT | len(length))) + length + body


def sequence(*members: bytes) -> bytes:
    """A SEQUENCE of encoded members."""
    return _tlv(_SEQUENCE, *members)


def set_of(*members: bytes) -> bytes:
    """A SET OF encoded members, in DER's order (X.690 section 11.6)."""
    return _tlv(_SET, *sorted(members))


def set_as_listed(*members: bytes) -> bytes:
    """A SET OF encoded members in the order given: not DER unless that order is."""
    return _tlv(_SET, *members)


def octets(value: bytes) -> bytes:
    """An OCTET STRING."""
    return _tlv(_OCTETS, value)


def bits(value: bytes) -> bytes:
    """A BIT STRING of whole octets."""
    return _tlv(_BITS, b"\x00", value)


def utf8(text: str) -> bytes:
    """A UTF8String."""
    return _tlv(_UTF8, text.encode())


def integer(value: int) -> bytes:
    """An INTEGER."""
    return encode_der(value)


def oid(dotted: str) -> bytes:
    """An OBJECT IDENTIFIER."""
    return encode_der(ObjectIdentifier(dotted))


def utc_time(seconds: int) -> bytes:
    """A UTCTime of Unix seconds, good for the years 1950 to 2049 (RFC 5652 section 11.3)."""
    return encode_der(UTCTime(datetime.fromtimestamp(seconds, UTC)))


def context(number: int, *members: bytes) -> bytes:
    """A constructed, context-specific [number]: explicit, or in place of a SET's tag."""
    return _tlv(_CONSTRUCTED | number, *members)


def context_octets(number: int, value: bytes) -> bytes:
    """An OCTET STRING under an implicit [number]."""
    return _tlv(_PRIMITIVE | number, value)
