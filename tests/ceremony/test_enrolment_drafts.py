"""Claims about enrolment links: what opens a draft, what it may hold, and how it lies at rest."""

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import ValidationError

from ceremony.enrolment import (
    EnrolmentDraft,
    EnrolmentError,
    link_token_digest,
    new_link_token,
    number_digest,
    open_draft,
    seal_draft,
)
from ceremony.statements import CredentialEntry, PublicJwk

TOKEN = base64.urlsafe_b64encode(bytes(range(32))).decode().rstrip("=")
LABEL = b"keyfill/enrolment-draft/1"
MEMBERS: dict[str, Any] = {
    "person": "p-1",
    "staff_no": "E1",
    "name": "Ada",
    "roles": ("administrator",),
    "number": "+8613800138000",
    "seq": 3,
    "valid_until": 1_900_000_000,
}
DRAFT = EnrolmentDraft(**MEMBERS)


def link_key() -> bytes:
    """HKDF (RFC 5869, SHA-256, no salt) over the token's 32 bytes, one block."""
    extracted = hmac.digest(bytes(32), bytes(range(32)), "sha256")
    return hmac.digest(extracted, LABEL + b"\x01", "sha256")


def sealed_as(plain: bytes) -> bytes:
    """What a writer of rows who knew the token could put in place of a draft."""
    nonce = bytes(12)
    return nonce + AESGCM(link_key()).encrypt(nonce, plain, LABEL)


def entry(**changed: Any) -> CredentialEntry:
    """A credential entry that says what the draft says, but for what is changed."""
    key = PublicJwk(kty="OKP", alg="EdDSA", crv="Ed25519", x="x")
    said = {**MEMBERS, "aud": "bank", "iat": 0, "nonce": "0" * 32, "public_key": key}
    return CredentialEntry(**{**said, "credential_id": None, **changed})


def test_a_token_is_32_random_bytes() -> None:
    """43 characters of base64url, and never the same ones."""
    tokens = {new_link_token() for _ in range(8)}
    assert len(tokens) == 8
    assert all(len(base64.urlsafe_b64decode(token + "=")) == 32 for token in tokens)


def test_the_database_knows_a_link_by_the_digest_of_its_bytes() -> None:
    """SHA-256 over the token's 32 bytes."""
    assert link_token_digest(TOKEN) == hashlib.sha256(bytes(range(32))).hexdigest()


@pytest.mark.parametrize(
    "token",
    [
        "",
        "!",
        TOKEN + "=",
        base64.urlsafe_b64encode(bytes(31)).decode().rstrip("="),
        base64.urlsafe_b64encode(bytes(33)).decode().rstrip("="),
    ],
)
def test_a_text_that_is_no_token_is_refused(token: str) -> None:
    """Always in the same words, whatever it was asked for."""
    with pytest.raises(EnrolmentError, match=r"\Aenrolment-refused\Z"):
        link_token_digest(token)
    with pytest.raises(EnrolmentError, match=r"\Aenrolment-refused\Z"):
        seal_draft(token, DRAFT)
    with pytest.raises(EnrolmentError, match=r"\Aenrolment-refused\Z"):
        open_draft(token, seal_draft(TOKEN, DRAFT))


def test_a_draft_has_the_documented_layout() -> None:
    """A nonce of 12 bytes, never the same, then AES-256-GCM under the token's key and a label."""
    sealed = seal_draft(TOKEN, DRAFT)
    opened = AESGCM(link_key()).decrypt(sealed[:12], sealed[12:], LABEL)
    assert json.loads(opened) == {**MEMBERS, "roles": ["administrator"]}
    assert seal_draft(TOKEN, DRAFT)[:12] != sealed[:12]
    assert open_draft(TOKEN, sealed) == DRAFT
    assert open_draft(TOKEN, sealed_as(opened)) == DRAFT


def test_another_token_does_not_open_it() -> None:
    """Nor does a row that was cut or changed at any place open with the right one."""
    sealed = seal_draft(TOKEN, DRAFT)
    with pytest.raises(EnrolmentError):
        open_draft(new_link_token(), sealed)
    for length in (0, 1, 11, 12, 27, len(sealed) - 1):
        with pytest.raises(EnrolmentError):
            open_draft(TOKEN, sealed[:length])
    for at in range(len(sealed)):
        with pytest.raises(EnrolmentError):
            open_draft(TOKEN, sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :])


@pytest.mark.parametrize(
    "plain",
    [
        b"",
        b"[]",
        b"{}",
        b'"\xff"',
        json.dumps({**MEMBERS, "surprise": 1}).encode(),
        DRAFT.model_dump_json().encode().replace(b"{", b'{"seq":4,', 1),
    ],
)
def test_a_draft_that_is_none_is_refused_unseen(plain: bytes) -> None:
    """What is under the right token but no draft: one error, which carries nothing along."""
    with pytest.raises(EnrolmentError) as refusal:
        open_draft(TOKEN, sealed_as(plain))
    assert refusal.value.__cause__ is refusal.value.__context__ is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("person", "p-2"),
        ("staff_no", "E2"),
        ("name", "Eve"),
        ("roles", ("administrator", "auditor")),
        ("number", "+8613800138001"),
        ("seq", 4),
        ("valid_until", 1_900_000_001),
    ],
)
def test_an_entry_agrees_in_every_member_or_not_at_all(name: str, value: Any) -> None:
    """Whoever enrols adds a key, and may change nothing else."""
    assert DRAFT.agrees_with(entry())
    assert not DRAFT.agrees_with(entry(**{name: value}))


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("roles", ("administrator", "auditor"), ("administrator", "auditor", "auditor")),
        ("roles", (), ("officer",)),
        ("number", "+" + "1" * 15, "+" + "1" * 16),
        ("number", "+" + "1" * 7, "+" + "1" * 6),
        ("number", "+9999999", "+0999999"),
        ("number", "+1234567", "1234567"),
        ("number", "+1234567", "x+1234567"),
        ("seq", 0, -1),
        ("seq", 2**53, 2**53 + 1),
        ("seq", 1, "1"),
    ],
)
def test_a_draft_holds_what_an_entry_may_hold(name: str, good: Any, bad: Any) -> None:
    """Its limits are the entry's, from both sides: no draft is made that nobody could sign."""
    for model, made in ((EnrolmentDraft, MEMBERS), (CredentialEntry, dict(entry()))):
        model.model_validate({**made, name: good})
        with pytest.raises(ValidationError):
            model.model_validate({**made, name: bad})


def test_a_number_is_not_printed() -> None:
    """The representation of a draft may reach a log."""
    assert "138001" not in repr(DRAFT)


def test_a_number_is_found_by_a_labelled_digest() -> None:
    """SHA-256 over the label `keyfill/number/1`, a zero byte, and the number."""
    plain = b"keyfill/number/1\x00+8613800138000"
    assert number_digest("+8613800138000") == hashlib.sha256(plain).hexdigest()
