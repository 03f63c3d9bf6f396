"""Reading DER (ITU-T X.690) strictly, without a schema: the tokens' dialects have none in common.

One-byte tags, definite lengths in their shortest form, nothing after the last member. Written
apart from the server's encoder, so that an error of one side is not repeated by the other.
"""

from dataclasses import dataclass, field
from typing import Final

SEQUENCE: Final = 0x30
SET: Final = 0x31
INTEGER: Final = 0x02
BIT_STRING: Final = 0x03
OCTETS: Final = 0x04
NULL: Final = 0x05
OBJECT_ID: Final = 0x06
UTC_TIME: Final = 0x17
CONTEXT_0: Final = 0xA0
CONTEXT_1: Final = 0xA1
CONTEXT_0_PRIMITIVE: Final = 0x80
_MULTIBYTE_TAG: Final = 0x1F
_LONG: Final = 0x80
_MOST_LENGTH_BYTES: Final = 3


class NotDer(ValueError):
    """The bytes are not DER, or not what was expected at their place."""


@dataclass(frozen=True, slots=True)
class Element:
    """One tag-length-value: `raw` is all of it, `value` what is inside."""

    tag: int
    value: bytes = field(repr=False)
    raw: bytes = field(repr=False)

    def members(self) -> "Reader":
        """Read what is inside."""
        return Reader(self.value)

    def only(self, tag: int) -> "Element":
        """The one member, of this tag.

        Raises:
            NotDer: if there is none, another or a second.
        """
        reader = self.members()
        member = reader.take(tag)
        reader.end()
        return member

    def integer(self) -> int:
        """The value of an INTEGER in its shortest form.

        Raises:
            NotDer: if it is not one.
        """
        if self.tag != INTEGER or not self.value:
            raise NotDer("no INTEGER")
        number = int.from_bytes(self.value, "big", signed=True)
        if number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True) != self.value:
            raise NotDer("an INTEGER is not in its shortest form")
        return number


class Reader:
    """A cursor over consecutive elements."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        """Stand before the first element."""
        self._data = data
        self._at = 0

    def sees(self, tag: int) -> bool:
        """Tell whether the next element has this tag."""
        return self._at < len(self._data) and self._data[self._at] == tag

    def take(self, tag: int) -> Element:
        """Read the next element, of this tag.

        Raises:
            NotDer: if there is none, it has another tag, or its length is wrong.
        """
        if not self.sees(tag) or tag & _MULTIBYTE_TAG == _MULTIBYTE_TAG:
            raise NotDer("another element was expected")
        start = self._at
        body, length = self._length(start + 1)
        end = body + length
        if end > len(self._data):
            raise NotDer("an element is cut short")
        self._at = end
        return Element(tag, self._data[body:end], self._data[start:end])

    def take_if(self, tag: int) -> Element | None:
        """Read the next element if it has this tag.

        Raises:
            NotDer: if its length is wrong.
        """
        return self.take(tag) if self.sees(tag) else None

    def all(self, tag: int) -> tuple[Element, ...]:
        """Read all elements to the end, each of this tag.

        Raises:
            NotDer: if one is of another tag, or malformed.
        """
        found = []
        while self._at < len(self._data):
            found.append(self.take(tag))
        return tuple(found)

    def end(self) -> None:
        """Pass only if nothing is left.

        Raises:
            NotDer: if something is.
        """
        if self._at != len(self._data):
            raise NotDer("something follows the last element")

    def _length(self, at: int) -> tuple[int, int]:
        """Where the body begins and how long it is."""
        if at >= len(self._data):
            raise NotDer("an element is cut short")
        first = self._data[at]
        if first < _LONG:
            return at + 1, first
        count = first - _LONG
        digits = self._data[at + 1 : at + 1 + count]
        length = int.from_bytes(digits, "big")
        if not 1 <= count <= _MOST_LENGTH_BYTES or len(digits) != count:
            raise NotDer("a length is indefinite, cut short or too long")
        if length < _LONG or not digits[0]:
            raise NotDer("a length is not in its shortest form")
        return at + 1 + count, length


def whole(data: bytes, tag: int = SEQUENCE) -> Element:
    """Read bytes that are one element of this tag and nothing after it.

    Raises:
        NotDer: if they are not.
    """
    reader = Reader(data)
    element = reader.take(tag)
    reader.end()
    return element


def wrapped(tag: int, *parts: bytes) -> bytes:
    """Write one element around encoded members, or around a leaf's value."""
    body = b"".join(parts)
    if len(body) < _LONG:
        return bytes((tag, len(body))) + body
    length = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes((tag, _LONG | len(length))) + length + body
