"""Tokens that the API gives out, all under or beside the session key.

A session token is random and known to the database by its digest only. A status token is a MAC
of its loading request, so that nothing is stored for it.
"""

import hmac
import secrets
from hashlib import sha256
from typing import Final

from ceremony.challenges import Challenges
from ceremony.encoding import b64url, sha256_hex

SESSION_SECONDS: Final = 1_800
"""A session lives half an hour, however it is used; both acts of the ceremony take minutes."""

MIN_KEY_BYTES: Final = 32
_SESSION_BYTES: Final = 32


class Tokens:
    """Makes and checks tokens under the session key (at least 32 bytes)."""

    __slots__ = ("_key", "challenges")

    def __init__(self, session_key: bytes) -> None:
        """Take the session key.

        Raises:
            ValueError: if it is shorter than 32 bytes.
        """
        if len(session_key) < MIN_KEY_BYTES:
            raise ValueError("the session key has at least 32 bytes")
        self._key = session_key
        self.challenges = Challenges(self._mac(b"keyfill/challenge-key/1"))

    def status_token(self, request_id: str) -> str:
        """The token with which a terminal reads one loading request: base64url, 43 characters."""
        return b64url(self._mac(b"keyfill/status/1\x00" + request_id.encode()))

    def is_status_token(self, token: str, request_id: str) -> bool:
        """Compare in constant time."""
        return hmac.compare_digest(self.status_token(request_id).encode(), token.encode())

    def _mac(self, message: bytes) -> bytes:
        return hmac.new(self._key, message, sha256).digest()


def new_session_token() -> str:
    """Make a session token: 32 random bytes as base64url."""
    return b64url(secrets.token_bytes(_SESSION_BYTES))


def session_digest(token: str) -> str:
    """How the database knows a session: SHA-256 of its token, as hex."""
    return sha256_hex(token.encode())
