"""Codes: what a phone receives and a person types. Derived, never stored.

The SMS code n is RFC 4226 HOTP with counter n under a key that HKDF (RFC 5869) derives from the
SMS secret for this request, person, number and EPP. The approval code is its like under another
label. A retried activity sends the same code, and the key worker recomputes it by itself.
"""

import hmac
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Literal

from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.twofactor.hotp import HOTP

SMS_CODE_DIGITS: Final = 6
APPROVAL_CODE_DIGITS: Final = 4
MAX_CODES: Final = 3
MIN_SECRET_BYTES: Final = 32
_HOTP_KEY_BYTES: Final = 20

Purpose = Literal["sms", "approval"]


@dataclass(frozen=True, slots=True)
class CodeScope:
    """Whose codes: one request, one person at one number (E.164), one EPP (SHA-256 hex)."""

    request_id: str
    person: str
    number: str
    epp_fingerprint: str

    def __repr__(self) -> str:
        """Leave the number out."""
        return f"CodeScope({self.request_id}, {self.person})"


class CodeBook:
    """Derives the codes of a loading request from the SMS secret (at least 32 bytes)."""

    __slots__ = ("_secret",)

    def __init__(self, sms_secret: bytes) -> None:
        """Take the SMS secret.

        Raises:
            ValueError: if it is shorter than 32 bytes.
        """
        if len(sms_secret) < MIN_SECRET_BYTES:
            raise ValueError("the SMS secret has at least 32 bytes")
        self._secret = sms_secret

    def sms_code(self, scope: CodeScope, n: int) -> str:
        """SMS code n (1 to 3) of a request: 6 decimal digits.

        Raises:
            ValueError: if n is out of range.
        """
        if not 1 <= n <= MAX_CODES:
            raise ValueError("n is 1 to 3")
        return self._hotp("sms", scope).generate(n).decode()

    def approval_code(self, scope: CodeScope) -> str:
        """The approval code of a request: 4 decimal digits.

        RFC 4226 asks for 6 digits of an only factor; this one comes after a signature, is tried
        three times at most, and counts only together with the terminal's device key.
        """
        six = self._hotp("approval", scope).generate(0).decode()
        return six[-APPROVAL_CODE_DIGITS:]

    def _hotp(self, purpose: Purpose, scope: CodeScope) -> HOTP:
        info = b"".join(
            len(part).to_bytes(2, "big") + part
            for part in (
                b"keyfill/code/1",
                purpose.encode(),
                scope.request_id.encode(),
                scope.person.encode(),
                scope.number.encode(),
                scope.epp_fingerprint.encode(),
            )
        )
        key = HKDF(SHA256(), _HOTP_KEY_BYTES, salt=None, info=info).derive(self._secret)
        return HOTP(key, SMS_CODE_DIGITS, SHA1())  # noqa: S303 - RFC 4226 fixes HMAC-SHA-1


@dataclass(frozen=True, slots=True)
class TypedCode:
    """A code that a person typed, as it travels: only its MAC, for code number n."""

    n: int
    mac: str


class EdgeSeal:
    """Turns typed codes into MACs at the API's edge, and compares them where they are checked.

    The MAC is HMAC-SHA-256 under the edge key (at least 32 bytes) over purpose, request, n, the
    digest of the statement that the code came with, and the code: it is worth nothing elsewhere.
    """

    __slots__ = ("_key",)

    def __init__(self, edge_key: bytes) -> None:
        """Take the edge key.

        Raises:
            ValueError: if it is shorter than 32 bytes.
        """
        if len(edge_key) < MIN_SECRET_BYTES:
            raise ValueError("the edge key has at least 32 bytes")
        self._key = edge_key

    def seal(self, purpose: Purpose, request_id: str, n: int, digest: str, code: str) -> TypedCode:
        """Seal a typed code for the statement of this digest."""
        return TypedCode(n, self._mac(purpose, request_id, n, digest, code))

    def matches(
        self, typed: TypedCode, purpose: Purpose, request_id: str, digest: str, code: str
    ) -> bool:
        """Compare, in constant time, a typed code with the code that was issued."""
        return hmac.compare_digest(
            self._mac(purpose, request_id, typed.n, digest, code).encode(),
            typed.mac.encode("ascii", "replace"),
        )

    def _mac(self, purpose: Purpose, request_id: str, n: int, digest: str, code: str) -> str:
        message = "\x00".join(("keyfill/typed/1", purpose, request_id, str(n), digest, code))
        return hmac.new(self._key, message.encode(), sha256).hexdigest()
