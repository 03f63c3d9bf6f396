"""A sign-in that was begun: what the browser brings back to the callback, sealed.

The state ties the callback to the browser that began (RFC 6749 section 10.12), the nonce the ID
token to this sign-in, the verifier the code to whoever asked for it (RFC 7636). Nothing is stored
until the browser comes back; then its state is spent (`records.spentstates`).
"""

import hmac
import json
import secrets
from dataclasses import asdict, dataclass, field
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ceremony.encoding import EncodingError, b64url, canonical_json, from_b64url, sha256_hex

BEGUN_SECONDS: Final = 600
"""How long somebody may take at the provider."""
MAX_COOKIE_CHARS: Final = 2_048
_LABEL: Final = b"keyfill/openid-sign-in/1"
_NONCE_BYTES: Final = 12
_RANDOM_BYTES: Final = 32


class SignInStale(Exception):
    """No sign-in that this browser began, and just now; the message is a reason code."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A sign-in under way: random texts of 43 characters, the page wanted, and when (seconds)."""

    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    wanted: str
    at: int

    @classmethod
    def new(cls, wanted: str, now: int) -> "Begun":
        """Begin one now that leads on to an own path."""
        state, nonce, verifier = (b64url(secrets.token_bytes(_RANDOM_BYTES)) for _ in range(3))
        return cls(state, nonce, verifier, wanted, now)

    @property
    def expires_at(self) -> int:
        """When it no longer counts."""
        return self.at + BEGUN_SECONDS

    @property
    def state_digest(self) -> str:
        """How the database knows a state that came back."""
        return sha256_hex(self.state.encode())


class BegunSeal:
    """Seals sign-ins under way for the browser that began them (AES-256-GCM)."""

    __slots__ = ("_cipher",)

    def __init__(self, session_key: bytes) -> None:
        """Derive from the session key (HKDF, RFC 5869)."""
        key = HKDF(SHA256(), 32, salt=None, info=_LABEL).derive(session_key)
        self._cipher = AESGCM(key)

    def seal(self, begun: Begun) -> str:
        """As a cookie's value: base64url."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return b64url(nonce + self._cipher.encrypt(nonce, canonical_json(asdict(begun)), _LABEL))

    def open(self, cookie: str | None, state: str | None, now: int) -> Begun:
        """The sign-in of this browser, if it began with this state and at most ten minutes ago.

        Raises:
            SignInStale: `no-sign-in`, `foreign-state` or `sign-in-expired`.
        """
        if cookie is None or len(cookie) > MAX_COOKIE_CHARS:
            raise SignInStale("no-sign-in")
        try:
            data = from_b64url(cookie)
            text = self._cipher.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], _LABEL)
        except (EncodingError, InvalidTag, ValueError):
            raise SignInStale("no-sign-in") from None
        begun = Begun(**json.loads(text))
        if not hmac.compare_digest(begun.state.encode(), (state or "").encode()):
            raise SignInStale("foreign-state")
        if not begun.at <= now < begun.expires_at:
            raise SignInStale("sign-in-expired")
        return begun
