"""Sealed SMS: a message as the outbox keeps it, readable only with the outbox key.

A row is sealed with AES-256-GCM (NIST SP 800-38D): a random 96 bit nonce, then ciphertext and
tag. The step is associated data, so that a row moved to another step does not open.
"""

import os
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ceremony.encoding import EncodingError, canonical_json, strict_json

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_LABEL: Final = b"keyfill.sms-outbox.1\x00"


class OutboxError(Exception):
    """A row does not open: another key, another step, or changed bytes."""

    def __init__(self) -> None:
        """Refuse, always in the same words."""
        super().__init__("outbox-row-refused")


@dataclass(frozen=True, slots=True)
class OutboxMessage:
    """An opened row; `sent_at` is Unix time in seconds. Its representation shows neither part."""

    to: str = field(repr=False)
    text: str = field(repr=False)
    sent_at: int


def seal_message(key: bytes, step: str, message: OutboxMessage) -> bytes:
    """Seal a message for its step; different bytes at every call.

    Raises:
        ValueError: the key has not 32 bytes.
    """
    members = {"to": message.to, "text": message.text, "sent_at": message.sent_at}
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + _cipher(key).encrypt(nonce, canonical_json(members), _associated(step))


def open_message(key: bytes, step: str, sealed: bytes) -> OutboxMessage:
    """Open a stored row, for `keyfill sms`.

    Raises:
        OutboxError: it was not sealed with this key under this step.
    """
    cipher = _cipher(key)
    message: OutboxMessage | None
    try:
        message = _message(
            cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _associated(step))
        )
    except (InvalidTag, EncodingError, ValueError, KeyError, TypeError):
        message = None
    # Raised out here: what a JSON reader complains of would carry the text with it.
    if message is None:
        raise OutboxError
    return message


def _message(opened: bytes) -> OutboxMessage:
    members = strict_json(opened)
    return OutboxMessage(
        to=str(members["to"]), text=str(members["text"]), sent_at=int(members["sent_at"])
    )


def _cipher(key: bytes) -> AESGCM:
    if len(key) != KEY_BYTES:
        raise ValueError("the outbox key must be 32 bytes")
    return AESGCM(key)


def _associated(step: str) -> bytes:
    return _LABEL + step.encode()
