"""The session seal: a MAC over all that a session grants, so that a row by itself is none.

API and codec server hold the payload keys, so the seal's keys are derived from these (HKDF, RFC
5869): every process that opens sessions can check it, and one that only writes to the database
cannot make it. The workers hold the payload keys too: a session that one of them made would count,
and show no more than they can read themselves. The newest key seals, all of the ring check, as with
payloads. In development without payload keys the session key stands in.
"""

import hmac
import json
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ceremony.encoding import canonical_json
from engine.keyring import KeyRing
from records.tables.session import SessionRow

_LABEL: Final = b"keyfill/session-seal/1"
_KEY_BYTES: Final = 32
_SEALED: Final = tuple(sorted(SessionRow.model_fields.keys() - {"seal", "ended_at"}))


class SessionForged(Exception):
    """The row of a session was made or changed by somebody who does not hold the key."""


class SessionSeal:
    """Seals the rows of sessions, and checks them."""

    __slots__ = ("_keys",)

    def __init__(self, keys: Sequence[bytes]) -> None:
        """Derive from these keys, the newest first; one at least, of 32 bytes at least.

        Raises:
            ValueError: if there is none, or a shorter one.
        """
        if not keys or min(map(len, keys)) < _KEY_BYTES:
            raise ValueError("a session seal needs keys of at least 32 bytes")
        self._keys = tuple(_derived(key) for key in keys)

    @classmethod
    def of(cls, ring: KeyRing | None, session_key: bytes) -> "SessionSeal":
        """The API's: of the payload keys, or of the session key where there are none."""
        return cls.of_ring(ring) if ring is not None else cls((session_key,))

    @classmethod
    def of_ring(cls, ring: KeyRing) -> "SessionSeal":
        """Of the payload keys."""
        return cls([one.key for one in ring.keys])

    def seal(self, row: SessionRow) -> str:
        """The seal for a row: 64 hexadecimal digits. What ends a session is not under it."""
        return _mac(self._keys[0], row)

    def check(self, row: SessionRow) -> None:
        """Check a row's seal in constant time.

        Raises:
            SessionForged: if no key made it.
        """
        seal = str(row.seal).encode()
        if not any(hmac.compare_digest(_mac(key, row).encode(), seal) for key in self._keys):
            raise SessionForged


def _derived(key: bytes) -> bytes:
    return HKDF(SHA256(), _KEY_BYTES, salt=None, info=_LABEL).derive(key)


def _mac(key: bytes, row: SessionRow) -> str:
    said = (getattr(row, name) for name in _SEALED)
    # SQLite keeps whatever somebody else writes, bytes in a column of texts too.
    texts = [None if value is None else str(value) for value in said]
    return hmac.new(key, canonical_json(texts), sha256).hexdigest()


def roles_of(row: SessionRow) -> frozenset[str]:
    """The roles that a sealed row names."""
    return frozenset(json.loads(row.roles))
