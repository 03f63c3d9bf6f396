"""The encodings of statements: strict in what they accept, one form for one value.

Digests, check values and nonces travel as lower-case hexadecimal, other binary as unpadded
base64url (RFC 4648 section 5). A second spelling of the same bytes would be a second digest, so
every reader here refuses what it would not itself write.
"""

import base64
import binascii
import hashlib
import json
import re
from typing import Any, NoReturn

_HEX = re.compile(r"(?:[0-9a-f]{2})*\Z")
_B64URL = re.compile(r"[A-Za-z0-9_-]*\Z")
MAX_NESTING = 8
MAX_JSON_BYTES = 65_536


class EncodingError(ValueError):
    """The text is not the one permitted encoding of anything."""


def b64url(data: bytes) -> str:
    """Encode bytes as base64url without padding (RFC 4648 section 5)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def from_b64url(text: str) -> bytes:
    """Decode unpadded base64url.

    Raises:
        EncodingError: on padding, foreign characters, or unused bits that are not zero.
    """
    if not _B64URL.match(text):
        raise EncodingError("not base64url")
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as error:
        raise EncodingError("not base64url") from error
    if b64url(data) != text:
        raise EncodingError("not canonical base64url")
    return data


def b64(data: bytes) -> str:
    """Encode bytes as padded standard base64 (RFC 4648 section 4), the form for DER."""
    return base64.b64encode(data).decode("ascii")


def from_b64(text: str) -> bytes:
    """Decode padded standard base64.

    Raises:
        EncodingError: on anything but the canonical form.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise EncodingError("not base64") from error
    if b64(data) != text:
        raise EncodingError("not canonical base64")
    return data


def from_hex(text: str) -> bytes:
    """Decode lower-case hexadecimal without separators.

    Raises:
        EncodingError: on upper case, odd length or foreign characters.
    """
    if not _HEX.match(text):
        raise EncodingError("not lower-case hexadecimal")
    return bytes.fromhex(text)


def sha256_hex(data: bytes) -> str:
    """SHA-256 (FIPS 180-4) as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def canonical_json(value: object) -> bytes:
    """Write JSON with sorted members and no spaces, UTF-8: what Keyfill's own signers sign."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def strict_json(data: bytes | str) -> dict[str, Any]:
    """Read a JSON object; anything ambiguous is refused (RFC 7515 section 4, RFC 8259 section 4).

    Raises:
        EncodingError: on invalid UTF-8 or JSON, duplicate members, NaN or Infinity, nesting
            deeper than 8, more than 64 KiB, or a value that is not an object.
    """
    if len(data) > MAX_JSON_BYTES:
        raise EncodingError("JSON is too large")
    try:
        text = data.decode("utf-8") if isinstance(data, bytes) else data
        _refuse_deep_nesting(text)
        value = json.loads(text, object_pairs_hook=_unique_members, parse_constant=_refuse_constant)
    except EncodingError:
        raise
    except (ValueError, RecursionError) as error:
        raise EncodingError("not JSON") from error
    if not isinstance(value, dict):
        raise EncodingError("not a JSON object")
    return value


def _refuse_deep_nesting(text: str) -> None:
    depth = 0
    in_string = escaped = False
    for character in text:
        if in_string:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                in_string = False
        elif character == '"':
            in_string = True
        elif character in "[{":
            depth += 1
            if depth > MAX_NESTING:
                raise EncodingError("JSON is nested too deeply")
        elif character in "]}":
            depth -= 1


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise EncodingError("duplicate members")
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise EncodingError(f"{name} is not JSON")
