"""ANSI X9.143 key blocks, version D: a key and what it may be used for, under one AES-256 key.

A block is ASCII: a header in clear, the key encrypted (AES-CBC), and a MAC (AES-CMAC, 16 bytes)
over the header and the *clear* key data, which is also the CBC's initial vector. Encryption and
MAC keys are derived from the key block protection key (KBPK) by CMAC; the layout and derivation
are those of ANSI X9.143-2021 and TR-31:2018, checked against its example A.7.4 and other
published blocks (tests/keymanagement/vectors/key-blocks.json).

Strict, where other readers are not: one spelling for one block (hexadecimal in upper case, no
blanks, no long form of lengths, padding where it belongs and nowhere else), so that no character
can change unnoticed; the MAC is compared in constant time before anything of the key is looked
at. Version D with a KBPK of 32 bytes only (docs/adr/0017-x9143-host-copy.md).
"""

import os
import re
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.cmac import CMAC

from keymanagement.port import KeyManagementError

KBPK_BYTES: Final = 32
CHECK_BYTES: Final = 5
"""Of a KBPK's check value: the most that may be shown of an AES key (PCI PIN 15-1)."""

_VERSION: Final = "D"
_UNIT: Final = 16
_MAC_HEX: Final = 32
_HEADER: Final = re.compile(
    r"D(?P<length>[0-9]{4})(?P<usage>[A-Z0-9]{2})(?P<algorithm>[A-Z0-9])(?P<mode>[A-Z0-9])"
    r"(?P<key_version>[A-Za-z0-9]{2})(?P<exportability>[A-Z0-9])(?P<blocks>[0-9]{2})00"
)
_HEADER_LENGTH: Final = 16
_OPTIONAL_HEAD: Final = re.compile(r"(?P<id>[A-Z0-9]{2})(?P<length>[0-9A-F]{2})")
_OPTIONAL_HEAD_LENGTH: Final = 4
_MOST_OPTIONAL: Final = 0xFF
_PRINTABLE: Final = re.compile(r"[\x20-\x7e]*")
_HEX: Final = re.compile(r"[0-9A-F]+")
_PADDING: Final = "PB"
_FOR_ENCRYPTION: Final = b"\x00\x00"
_FOR_MAC: Final = b"\x00\x01"
_AES_256: Final = b"\x00\x00\x04\x01\x00"
"""Separator, algorithm 0004, 0100 bits: the tail of each derivation's input."""


class KeyBlockInvalid(KeyManagementError):
    """A key block is malformed, was changed, or is under another key; the message says which."""


@dataclass(frozen=True, slots=True)
class BlockHeader:
    """What a block says of its key, under the block's MAC.

    `usage` (two characters), `algorithm`, `mode` and `exportability` (one each) are X9.143's
    codes. `optional` are the optional blocks in their order, identifier and data (printable
    ASCII, 251 characters at most); padding blocks are not among them.
    """

    usage: str
    algorithm: str
    mode: str
    exportability: str
    optional: tuple[tuple[str, str], ...] = ()
    key_version: str = "00"

    def optional_data(self, name: str) -> str | None:
        """The data of an optional block, None if there is none of that identifier."""
        return dict(self.optional).get(name)


class BlockProtection:
    """Wraps keys into blocks under one KBPK, and unwraps them; for key managers only."""

    __slots__ = ("_encryption", "_mac", "check")

    def __init__(self, kbpk: bytes) -> None:
        """Take the KBPK, 32 random bytes; `check` becomes its check value, 10 upper-case digits.

        The check value is X9.24-1's for an AES key: CMAC of a zero block, here 5 bytes of it.

        Raises:
            ValueError: if the KBPK has another length.
        """
        if len(kbpk) != KBPK_BYTES:
            raise ValueError(f"a key block protection key has {KBPK_BYTES} bytes")
        self._encryption = AES256(_derived(kbpk, _FOR_ENCRYPTION))
        self._mac = AES256(_derived(kbpk, _FOR_MAC))
        self.check: Final = _cmac(kbpk, bytes(_UNIT))[:CHECK_BYTES].hex().upper()

    def wrap(self, header: BlockHeader, key: bytes, *, at_least: int) -> bytes:
        """Make the block of a clear key, padded at random to the length of `at_least` bytes.

        X9.143 asks for the padding: without it a block tells how long its key is.

        Raises:
            ValueError: if the header cannot be written, or the key is empty or too long.
        """
        if not 0 < len(key) <= at_least:
            raise ValueError("a key has at least one byte, and no more than its longest kind")
        unpadded = (len(key) * 8).to_bytes(2, "big") + key
        hidden = 2 + at_least
        clear = unpadded + os.urandom(hidden + -hidden % _UNIT - len(unpadded))
        text = _written(header, 2 * len(clear) + _MAC_HEX)
        mac = CMAC(self._mac)
        mac.update(text.encode("ascii") + clear)
        tag = mac.finalize()
        encryptor = Cipher(self._encryption, CBC(tag)).encryptor()
        sealed = encryptor.update(clear) + encryptor.finalize()
        return (text + sealed.hex().upper() + tag.hex().upper()).encode("ascii")

    def unwrap(self, block: bytes) -> tuple[BlockHeader, bytes]:
        """Verify a block, and give its header and clear key.

        Raises:
            KeyBlockInvalid: if it is no version D block in its one spelling, a character of it
                was changed, or it is under another KBPK.
        """
        text, header, start = _read(block)
        body = text[start:-_MAC_HEX]
        sealed, tag = _octets(body), _octets(text[-_MAC_HEX:])
        if not sealed or len(sealed) % _UNIT:
            raise KeyBlockInvalid("the key block's key has no whole number of blocks")
        decryptor = Cipher(self._encryption, CBC(tag)).decryptor()
        clear = decryptor.update(sealed) + decryptor.finalize()
        mac = CMAC(self._mac)
        mac.update(text[:start].encode("ascii") + clear)
        try:
            mac.verify(tag)
        except InvalidSignature:
            raise KeyBlockInvalid("the key block is not what was sealed") from None
        bits = int.from_bytes(clear[:2], "big")
        if not bits or bits % 8 or 2 + bits // 8 > len(clear):
            raise KeyBlockInvalid("the key block holds no key of whole bytes")
        return header, clear[2 : 2 + bits // 8]


def read_header(block: bytes) -> BlockHeader:
    """Read a block's header, which nothing has verified yet.

    Raises:
        KeyBlockInvalid: if it is no version D block in its one spelling.
    """
    return _read(block)[1]


def _written(header: BlockHeader, rest: int) -> str:
    """The header's text; `rest` is the number of characters that follow it."""
    optional = "".join(_optional(name, data) for name, data in header.optional)
    count = len(header.optional)
    if len(optional) % _UNIT:
        missing = -(len(optional) + _OPTIONAL_HEAD_LENGTH) % _UNIT
        optional += _optional(_PADDING, "0" * missing)
        count += 1
    length = _HEADER_LENGTH + len(optional) + rest
    text = (
        f"{_VERSION}{length:04}{header.usage}{header.algorithm}{header.mode}"
        f"{header.key_version}{header.exportability}{count:02}00"
    )
    if not _HEADER.fullmatch(text) or _names_repeat(header):
        raise ValueError("the header cannot be written")
    return text + optional


def _optional(name: str, data: str) -> str:
    length = _OPTIONAL_HEAD_LENGTH + len(data)
    text = f"{name}{length:02X}"
    if length > _MOST_OPTIONAL or not _OPTIONAL_HEAD.fullmatch(text):
        raise ValueError("an optional block has a name of two characters and up to 251 of data")
    if not _PRINTABLE.fullmatch(data):
        raise ValueError("an optional block holds printable ASCII")
    return text + data


def _read(block: bytes) -> tuple[str, BlockHeader, int]:
    """The block's text, its header, and where the header ends."""
    try:
        text = block.decode("ascii")
    except UnicodeDecodeError:
        raise KeyBlockInvalid("a key block is ASCII") from None
    head = _HEADER.match(text)
    if head is None:
        raise KeyBlockInvalid("not a key block of version D")
    optional, end = _optionals(text, int(head["blocks"]))
    names = ("usage", "algorithm", "mode", "exportability", "key_version")
    header = BlockHeader(optional=optional, **{name: head[name] for name in names})
    if _names_repeat(header):
        raise KeyBlockInvalid("the key block has an optional block twice")
    # What is written in one way only needs no rule for each way in which it could be written:
    # neither for the length that it names, nor for padding, nor for reserved places.
    if len(text) < end + _MAC_HEX or _spelling(header, len(text) - end) != text[:end]:
        raise KeyBlockInvalid("the key block's header is not in its one spelling")
    return text, header, end


def _optionals(text: str, count: int) -> tuple[tuple[tuple[str, str], ...], int]:
    found = []
    at = _HEADER_LENGTH
    for _ in range(count):
        head = _OPTIONAL_HEAD.match(text, at)
        end = at + int(head["length"], 16) if head else 0
        if head is None or end < at + _OPTIONAL_HEAD_LENGTH or end > len(text):
            raise KeyBlockInvalid("an optional block of the key block is malformed")
        if head["id"] != _PADDING:
            found.append((head["id"], text[at + _OPTIONAL_HEAD_LENGTH : end]))
        at = end
    return tuple(found), at


def _spelling(header: BlockHeader, rest: int) -> str | None:
    try:
        return _written(header, rest)
    except ValueError:
        return None


def _names_repeat(header: BlockHeader) -> bool:
    names = [name for name, _ in header.optional]
    return len(set(names)) != len(names) or _PADDING in names


def _octets(text: str) -> bytes:
    if not _HEX.fullmatch(text):
        raise KeyBlockInvalid("a key block's key and MAC are upper-case hexadecimal")
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise KeyBlockInvalid("half a byte is missing in the key block") from None


def _derived(kbpk: bytes, use: bytes) -> bytes:
    return b"".join(_cmac(kbpk, bytes([count]) + use + _AES_256) for count in (1, 2))


def _cmac(key: bytes, message: bytes) -> bytes:
    mac = CMAC(AES256(key))
    mac.update(message)
    return mac.finalize()
