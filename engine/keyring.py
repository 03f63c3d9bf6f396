"""The payload keys: one seals, several open, and some ids are refused for good.

The secret `payload_keys` is words parted by white space, the newest first: `<id>:<64 hex digits>`
is a key, `<id>:refused` an id under which nothing is opened any more. The first key seals. A
payload names its key by id and by a check value, so that two different keys of one id are never
mistaken for each other.

A payload under an id that the ring does not know is one of two things: under a key that this
process was not given yet, or a forgery. Nobody can tell, so the process that meets it waits for
an operator (see `engine.payloadcodec`), who adds the key, or `<id>:refused`, or `*:refused` for
every unknown id.
"""

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
CHECK_BYTES: Final = 4
REFUSED: Final = "refused"
ANY: Final = "*"

_KEY_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}\Z")
_CHECK_LABEL: Final = b"keyfill/payload-key-check/1"


class KeyRingError(ValueError):
    """The secret `payload_keys` cannot be used; the message says what to do and quotes no key."""


class KeyIdRefused(Exception):
    """Nothing is opened under this id any more: the ring says so."""


class KeyIdUnknown(Exception):
    """The ring has no such key; another process may have been given it."""


@dataclass(frozen=True, slots=True)
class PayloadKey:
    """An AES-256 key with its id: 1 to 32 of `a-z`, `0-9` and `-`."""

    key_id: str
    key: bytes = field(repr=False)

    @property
    def check(self) -> bytes:
        """The first 4 bytes of a MAC under the key: it tells two keys of one id apart."""
        return hmac.new(self.key, _CHECK_LABEL, sha256).digest()[:CHECK_BYTES]


@dataclass(frozen=True)
class KeyRing:
    """What a process seals and opens with. Make it with `read`.

    Attributes:
        keys: All that open, the one that seals first.
        refused: Ids under which nothing is opened; `*` stands for every id that has no key here.
    """

    keys: tuple[PayloadKey, ...]
    refused: frozenset[str] = frozenset()

    @classmethod
    def read(cls, text: str) -> "KeyRing":
        """Read the secret `payload_keys`.

        Raises:
            KeyRingError: if it holds no key, or a word that is neither, or an id or key twice.
        """
        keys: list[PayloadKey] = []
        refused: list[str] = []
        for word in text.split():
            key_id, _, value = word.partition(":")
            if value == REFUSED and (key_id == ANY or _KEY_ID.match(key_id)):
                refused.append(key_id)
            else:
                keys.append(_key(key_id, value))
        if not keys:
            raise KeyRingError(
                "Put a key into the secret keyfill_payload_keys: <id>:<64 hex digits>."
            )
        ids = [one.key_id for one in keys] + refused
        if len(set(ids)) < len(ids) or len({one.key for one in keys}) < len(keys):
            raise KeyRingError("Take what is twice out of the secret keyfill_payload_keys.")
        return cls(tuple(keys), frozenset(refused))

    @property
    def sealing(self) -> PayloadKey:
        """The key that seals."""
        return self.keys[0]

    @cached_property
    def ciphers(self) -> Mapping[tuple[str, bytes], AESGCM]:
        """Every key's cipher by its id and check value."""
        return {(one.key_id, one.check): AESGCM(one.key) for one in self.keys}

    def opener(self, key_id: str, check: bytes) -> AESGCM:
        """The cipher of the key that a payload names.

        Raises:
            KeyIdRefused: nothing is opened under that id.
            KeyIdUnknown: the ring has no such key.
        """
        cipher = self.ciphers.get((key_id, check))
        if cipher is not None:
            return cipher
        if ANY in self.refused or key_id in self.refused:
            raise KeyIdRefused(key_id)
        raise KeyIdUnknown(key_id)


def _key(key_id: str, value: str) -> PayloadKey:
    if not _KEY_ID.match(key_id):
        raise KeyRingError(
            "Write each word of the secret keyfill_payload_keys as <id>:<64 hex digits>."
        )
    try:
        key = bytes.fromhex(value)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise KeyRingError(f"Give the payload key {key_id} 64 hex digits, or say {key_id}:refused.")
    if len(set(key)) == 1:
        raise KeyRingError(f"Make the payload key {key_id} of random bytes.")
    return PayloadKey(key_id, key)
