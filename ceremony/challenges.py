"""Challenges: freshness for signers without a trusted clock, without storing anything.

A challenge is base64url over 8 bytes of Unix time, 16 random bytes, and the first 16 bytes of
HMAC-SHA-256 over both under a key of the API's. It is good for two minutes.
"""

import hmac
import secrets
from hashlib import sha256
from typing import Final

from ceremony.encoding import EncodingError, b64url, from_b64url
from ceremony.reasons import Reason
from ceremony.verification import StatementError

VALID_SECONDS: Final = 120
MIN_KEY_BYTES: Final = 32
_TIME_BYTES: Final = 8
_RANDOM_BYTES: Final = 16
_MAC_BYTES: Final = 16
_BYTES: Final = _TIME_BYTES + _RANDOM_BYTES + _MAC_BYTES


class Challenges:
    """Issues and checks challenges under one key (at least 32 bytes)."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        """Take the key.

        Raises:
            ValueError: if it is shorter than 32 bytes.
        """
        if len(key) < MIN_KEY_BYTES:
            raise ValueError("the challenge key has at least 32 bytes")
        self._key = key

    def issue(self, now: int) -> str:
        """Make a challenge at this Unix time: 54 characters of base64url."""
        body = now.to_bytes(_TIME_BYTES, "big") + secrets.token_bytes(_RANDOM_BYTES)
        return b64url(body + self._mac(body))

    def check(self, text: str, now: int) -> None:
        """Check that this is one of ours and at most two minutes old.

        Raises:
            StatementError: `challenge-refused`.
        """
        try:
            data = from_b64url(text)
        except EncodingError:
            raise StatementError(Reason.CHALLENGE_REFUSED) from None
        body, mac = data[:-_MAC_BYTES], data[-_MAC_BYTES:]
        genuine = len(data) == _BYTES and hmac.compare_digest(mac, self._mac(body))
        issued_at = int.from_bytes(body[:_TIME_BYTES], "big")
        if not genuine or not 0 <= now - issued_at <= VALID_SECONDS:
            raise StatementError(Reason.CHALLENGE_REFUSED)

    def _mac(self, body: bytes) -> bytes:
        return hmac.new(self._key, b"keyfill/challenge/1" + body, sha256).digest()[:_MAC_BYTES]
