"""QR codes: the loading request, sealed so that only Keyfill can make or read it.

The token seals request id, terminal number, ordinal and expiry with AES-SIV (RFC 5297), which
is deterministic: nothing is stored, and the same code comes back after any restart. A new code
is due every 60 seconds and each lives 120, so that exactly the newest two count.
"""

import struct
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from ceremony.encoding import EncodingError, b64url, from_b64url, sha256_hex
from ceremony.reasons import Reason
from ceremony.statements import REQUEST_ID_BYTES

KEY_BYTES: Final = 64
RENEWAL_SECONDS: Final = 60
VALID_SECONDS: Final = 120
MAX_TOKEN_CHARS: Final = 160
PATH: Final = "/a#"
_NUMBERS: Final = struct.Struct(">IQ")
_LABEL: Final = b"keyfill/qr/1"


class QrError(ValueError):
    """A QR text or token is not one that Keyfill made; the message holds nothing else."""

    def __init__(self) -> None:
        """Refuse without saying which part was wrong."""
        super().__init__(Reason.QR_REFUSED.value)
        self.reason = Reason.QR_REFUSED


@dataclass(frozen=True, slots=True)
class QrContents:
    """What a QR token seals: `n` counts from 0, `expires_at` is Unix time in seconds."""

    request_id: str
    terminal_no: str
    n: int
    expires_at: int


class QrSeal:
    """Seals and opens QR tokens with the QR key (64 bytes: AES-256-SIV)."""

    __slots__ = ("_associated", "_cipher")

    def __init__(self, key: bytes, audience: str) -> None:
        """Take the QR key and the deployment's name, to which every token is bound.

        Raises:
            ValueError: if the key has not 64 bytes.
        """
        if len(key) != KEY_BYTES:
            raise ValueError("the QR key has 64 bytes")
        self._cipher = AESSIV(key)
        self._associated = [_LABEL, audience.encode()]

    def token(self, contents: QrContents) -> str:
        """Seal; the same contents give the same token (base64url, under 160 characters).

        Raises:
            QrError: if the contents do not fit a token.
        """
        try:
            numbers = _NUMBERS.pack(contents.n, contents.expires_at)
            request_id = from_b64url(contents.request_id)
        except (EncodingError, struct.error) as error:
            raise QrError from error
        if len(request_id) != REQUEST_ID_BYTES:
            raise QrError
        plain = request_id + numbers + contents.terminal_no.encode()
        return b64url(self._cipher.encrypt(plain, self._associated))

    def open(self, token: str) -> QrContents:
        """Open a token; its expiry is the caller's to judge.

        Raises:
            QrError: if any bit of it is not as sealed.
        """
        if len(token) > MAX_TOKEN_CHARS:
            raise QrError
        try:
            plain = self._cipher.decrypt(from_b64url(token), self._associated)
            fixed = REQUEST_ID_BYTES + _NUMBERS.size
            n, expires_at = _NUMBERS.unpack(plain[REQUEST_ID_BYTES:fixed])
            terminal_no = plain[fixed:].decode()
        except (EncodingError, InvalidTag, ValueError, struct.error) as error:
            raise QrError from error
        return QrContents(b64url(plain[:REQUEST_ID_BYTES]), terminal_no, n, expires_at)


def current(request_id: str, terminal_no: str, *, opened_at: int, now: int) -> QrContents:
    """The QR code that the terminal should show now, for a request opened at `opened_at`."""
    n = max(0, now - opened_at) // RENEWAL_SECONDS
    return QrContents(request_id, terminal_no, n, opened_at + n * RENEWAL_SECONDS + VALID_SECONDS)


def qr_text(origin: str, token: str) -> str:
    """The text in the QR code: a URL whose fragment, the token, never reaches a log."""
    return f"{origin}{PATH}{token}"


def token_of(text: str, origin: str) -> str:
    """Take the token out of a scanned QR text.

    Raises:
        QrError: if the text is not a URL of this deployment's origin and path.
    """
    prefix = f"{origin}{PATH}"
    if not text.startswith(prefix) or len(text) > len(prefix) + MAX_TOKEN_CHARS:
        raise QrError
    return text[len(prefix) :]


def qr_digest(token: str) -> str:
    """SHA-256 over the token's ASCII as hex: how statements name a QR code."""
    return sha256_hex(token.encode("ascii", "replace"))
