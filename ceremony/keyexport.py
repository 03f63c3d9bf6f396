"""The export of a key to the ATM back office: what is said, what is answered, what goes wrong.

Pure types, shared by the activity that delivers and the gateway that speaks HTTP
(docs/backoffice-export.md).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Self

_KCV: Final = re.compile(r"[0-9a-f]{6}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class ExportState(StrEnum):
    """Where an export stands.

    `pending`: the key worker made the block; `sent`: it was sent at least once, and no answer
    has settled it; `confirmed`: the back office named the right digest and the right KCV;
    `refused`: it answered for good that it does not take it, or took something else.
    """

    PENDING = "pending"
    SENT = "sent"
    CONFIRMED = "confirmed"
    REFUSED = "refused"


class ExportProblem(StrEnum):
    """Why a key is not exported, or an export is not confirmed."""

    KEY_NOT_ACTIVE = "key-not-active"
    """The key worker's journal has no receipt of this key, or it is active no more."""
    EXPORT_OFF = "export-off"
    """The key worker holds no export key, or its key manager cannot export."""
    HOST_COPY_INVALID = "host-copy-invalid"
    """The host's copy of this key does not open: the key worker's log says why."""
    WRONG_DIGEST = "wrong-digest"
    WRONG_KCV = "wrong-kcv"
    WRONG_REQUEST = "wrong-request"


@dataclass(frozen=True, slots=True)
class ExportMessage:
    """What the back office is sent: a key block under the key that both share, and whose it is.

    `key_block` is ASCII; `key_block_digest` its SHA-256 as lower-case hex; `exported_at` is Unix
    seconds. No KCV: the back office finds it by opening the block, and proves so that it did.
    """

    request_id: str
    terminal_no: str
    algorithm: str
    key_block: str
    key_block_digest: str
    exported_at: int


@dataclass(frozen=True, slots=True)
class ExportAnswer:
    """What the back office says it stored: the KCV is 6 lower-case hex digits."""

    request_id: str
    key_block_digest: str
    kcv: str

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Self:
        """Read an answer's members, from HTTP or a file; those that it does not know are left out.

        Raises:
            ValueError: if one is missing, or is not of its form.
        """
        request_id, digest, kcv = (
            said.get(one) for one in ("request_id", "key_block_digest", "kcv")
        )
        if not isinstance(request_id, str):
            raise ValueError("request_id")
        if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            raise ValueError("key_block_digest")
        if not isinstance(kcv, str) or not _KCV.fullmatch(kcv):
            raise ValueError("kcv")
        return cls(request_id, digest, kcv)


class ExportRefused(Exception):
    """The back office refuses this export for good; the message is its code, kebab-case."""


class ExportUnavailable(Exception):
    """Nothing is known of this export: the same one again, later. The message is a code."""
