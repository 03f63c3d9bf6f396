"""Enrolment links: the draft of a credential entry, sealed under the link's one-time token.

Whoever sends the link writes the draft; whoever opens it adds their own key and signs the entry.
The database holds the draft only under a key that is derived from the token, and of the token
only its digest: reading the database opens no link and shows no telephone number.
"""

import os
import secrets
from typing import Annotated, Final, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ceremony.encoding import EncodingError, b64url, from_b64url, sha256_hex, strict_json
from ceremony.statements import CredentialEntry, Name, Person, Seconds, StaffNo

TOKEN_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_LABEL: Final = b"keyfill/enrolment-draft/1"


class EnrolmentError(ValueError):
    """A link's token is malformed, or does not open the draft; the message says no more."""

    def __init__(self) -> None:
        """Refuse, always in the same words."""
        super().__init__("enrolment-refused")


class EnrolmentDraft(BaseModel):
    """A credential entry but for its key: what the person who enrols must sign as it stands.

    `number` is E.164; `valid_until` Unix seconds.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    person: Person
    staff_no: StaffNo
    name: Name
    roles: Annotated[tuple[Literal["administrator", "auditor"], ...], Field(max_length=2)]
    number: Annotated[str, Field(pattern=r"^\+[1-9][0-9]{6,14}$", repr=False)]
    seq: Annotated[int, Field(ge=0, le=2**53)]
    valid_until: Seconds

    def agrees_with(self, entry: CredentialEntry) -> bool:
        """Whether an entry says of the person exactly what the draft says."""
        return all(getattr(entry, name) == getattr(self, name) for name in type(self).model_fields)


def new_link_token() -> str:
    """Make a link's token: 32 random bytes as base64url, 43 characters."""
    return b64url(secrets.token_bytes(TOKEN_BYTES))


def link_token_digest(token: str) -> str:
    """How the database knows a link: SHA-256 over its token's 32 bytes, as hex.

    Raises:
        EnrolmentError: if the text is no token.
    """
    return sha256_hex(_token_bytes(token))


def seal_draft(token: str, draft: EnrolmentDraft) -> bytes:
    """Seal a draft under its link's token: nonce (12 bytes), then AES-256-GCM (SP 800-38D).

    Raises:
        EnrolmentError: if the text is no token.
    """
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + _cipher(token).encrypt(nonce, draft.model_dump_json().encode(), _LABEL)


def open_draft(token: str, sealed: bytes) -> EnrolmentDraft:
    """Open a sealed draft with its link's token.

    Raises:
        EnrolmentError: if the token is not the one it was sealed with.
    """
    draft: EnrolmentDraft | None
    try:
        plain = _cipher(token).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _LABEL)
        strict_json(plain)
        draft = EnrolmentDraft.model_validate_json(plain)
    except (InvalidTag, EncodingError, ValidationError, ValueError):
        draft = None
    # Raised out here: a validation error would carry the draft, number included, along with it.
    if draft is None:
        raise EnrolmentError
    return draft


def number_digest(number: str) -> str:
    """Stand-in for a telephone number in an indexed column: SHA-256 with a label, as hex.

    It finds two entries of one number and keeps numbers from a reader's eye. It is no secret:
    numbers are few enough to be tried one by one.
    """
    return sha256_hex(b"keyfill/number/1\x00" + number.encode())


def _cipher(token: str) -> AESGCM:
    key = HKDF(SHA256(), TOKEN_BYTES, salt=None, info=_LABEL).derive(_token_bytes(token))
    return AESGCM(key)


def _token_bytes(token: str) -> bytes:
    try:
        data = from_b64url(token)
    except EncodingError:
        raise EnrolmentError from None
    if len(data) != TOKEN_BYTES:
        raise EnrolmentError
    return data
