"""The host's copy of a key: an X9.143 key block under the KEK, bound to terminal and request.

The block (`keymanagement.keyblock`, version D) is under a key derived from the KEK for this use
alone. Its header, which the block's MAC covers, says:

- usage K1 (the key protects key blocks), or K0 where a site's terminals have none; mode E: the
  host wraps working keys under it, the terminal unwraps them; exportability E: it may leave under
  another trusted key (`keymanagement.exporter`), and in no other way;
- algorithm A or T; SM4 has no letter in X9.143, and takes the digit 4 of those left to private use;
- optional block LB (label): the request id, a space and the terminal's number. A block moved to
  another row is as wrong as a changed one;
- optional block KP: 01 and the check value of the key that the block is under. It chooses the KEK
  while two are in use, and tells "another KEK" from "damaged" when an operator has to find out.

AES keys are padded to 32 bytes and TDES keys to 24, so that a block tells no length. The length is
checked against the algorithm asked for, which tells AES-128 from AES-256.

A KEK is replaced by holding two: the newest seals, the others still open, until `resealed` has
been asked of every block (`keyfill keys rewrap`).
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from keymanagement.keyblock import (
    BlockHeader,
    BlockProtection,
    KeyBlockInvalid,
    read_header,
)
from keymanagement.port import HostCopyForeign, HostCopyInvalid, KeyAlgorithm, KeyBinding, KeyUsage
from keymanagement.subkeys import derive

LABEL: Final = "LB"
CHECK: Final = "KP"
CHECK_METHOD: Final = "01"
"""In KP: the check value is by CMAC (X9.24-1), not by encryption of a zero block."""
ALGORITHM_CODES: Final[Mapping[str, str]] = MappingProxyType(
    {"AES-128": "A", "AES-192": "A", "AES-256": "A", "TDES": "T", "SM4": "4"}
)
LONGEST: Final[Mapping[str, int]] = MappingProxyType({"A": 32, "T": 24, "4": 16})
"""Bytes of the longest key of a code, to whose length all of the code are padded."""

_USAGES: Final[tuple[KeyUsage, ...]] = ("K1", "K0")
_MODE: Final = "E"
_EXPORTABILITY: Final = "E"
_FORMER: Final = b"KFHC"
_VERSION: Final = b"D"
_REQUEST: Final = re.compile(r"[\x21-\x7e]{1,64}")
_TERMINAL: Final = re.compile(r"[\x20-\x7e]{1,64}")


class HostCopies:
    """Seals host's copies under the newest KEK, and opens those under any; for key managers."""

    __slots__ = ("_newest", "_ring")

    def __init__(self, kek: bytes, *previous: bytes) -> None:
        """Take the KEK that seals, and those before it that may still open; 32 random bytes each.

        Raises:
            KekInvalid: if one has another length.
        """
        keys = [BlockProtection(derive(one, "host-copy-block")) for one in (kek, *previous)]
        self._newest = keys[0]
        self._ring = {key.check: key for key in reversed(keys)}

    def seal(
        self, key: bytes, algorithm: KeyAlgorithm, binding: KeyBinding, usage: KeyUsage = "K1"
    ) -> bytes:
        """Make the block of a clear key.

        Raises:
            ValueError: if the key's length is not the algorithm's, or a name of the binding is
                not 1 to 64 printable ASCII characters (a request id without spaces).
        """
        if len(key) != algorithm.key_bytes:
            raise ValueError("key length and algorithm do not agree")
        label = label_of(binding)
        if label is None:
            raise ValueError("the binding's names cannot be written in a label")
        header = _header(algorithm, label, self._newest.check, usage)
        return self._newest.wrap(header, key, at_least=LONGEST[header.algorithm])

    def open(self, block: bytes, algorithm: KeyAlgorithm, binding: KeyBinding) -> bytes:
        """Return the clear key of a block.

        Raises:
            HostCopyInvalid: if a character of the block, the binding or the algorithm differs
                from what was sealed.
        """
        return self.unwrapped(block, algorithm, binding)[1]

    def resealed(self, block: bytes, algorithm: KeyAlgorithm, binding: KeyBinding) -> bytes:
        """The same key under the newest KEK; the very block if it is under that already.

        Raises:
            HostCopyForeign: if it is no X9.143 block of version D: an HSM's name for a key, say.
            HostCopyInvalid: as `open` does.
        """
        header, key = self.unwrapped(block, algorithm, binding)
        if header.optional_data(CHECK) == CHECK_METHOD + self._newest.check:
            return block
        return self.seal(key, algorithm, binding, "K0" if header.usage == "K0" else "K1")

    def unwrapped(
        self, block: bytes, algorithm: KeyAlgorithm, binding: KeyBinding
    ) -> tuple[BlockHeader, bytes]:
        """Return what a block says of its key, and the clear key.

        Raises:
            HostCopyInvalid: as `open` does.
        """
        protection = self._ring.get(_check_in(block))
        if protection is None:
            raise HostCopyInvalid("the host's copy is under another KEK")
        try:
            header, key = protection.unwrap(block)
        except KeyBlockInvalid:
            # the cause says nothing more, and its frames hold the sealed bytes
            raise HostCopyInvalid("the host's copy is not what was sealed") from None
        label = label_of(binding)
        if label is None or header not in [
            _header(algorithm, label, protection.check, usage) for usage in _USAGES
        ]:
            raise HostCopyInvalid("the host's copy is of another binding, algorithm or use")
        if len(key) != algorithm.key_bytes:
            raise HostCopyInvalid("the host's copy is of another algorithm")
        return header, key


def label_of(binding: KeyBinding) -> str | None:
    """The text that names a binding in a block; None if it has names that no label can hold.

    No two bindings have the same: a request id has no space.
    """
    named = _REQUEST.fullmatch(binding.request_id) and _TERMINAL.fullmatch(binding.terminal_no)
    return f"{binding.request_id} {binding.terminal_no}" if named else None


def _header(algorithm: KeyAlgorithm, label: str, check: str, usage: KeyUsage) -> BlockHeader:
    return BlockHeader(
        usage=usage,
        algorithm=ALGORITHM_CODES[algorithm],
        mode=_MODE,
        exportability=_EXPORTABILITY,
        optional=((LABEL, label), (CHECK, CHECK_METHOD + check)),
    )


def _check_in(block: bytes) -> str:
    if block.startswith(_FORMER):
        raise HostCopyForeign("the host's copy was made before Keyfill wrote X9.143 key blocks")
    if not block.startswith(_VERSION):
        raise HostCopyForeign("not a host's copy: no key block of version D")
    try:
        named = read_header(block).optional_data(CHECK) or ""
    except KeyBlockInvalid as error:
        raise HostCopyInvalid(f"not a host's copy: {error}") from None
    return named.removeprefix(CHECK_METHOD)
