"""Every limit of a payload, from both sides: the largest value passes, the next one does not.

The limits are part of the contract (docs/statements.md): a terminal that stays within them is
understood by every version, and nobody can make a verifier read more.
"""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from ceremony.statements import (
    CancellationPayload,
    CredentialEntry,
    DecisionPayload,
    KeyOrderPayload,
    LoginPayload,
    Payload,
    PublicJwk,
    ReceiptPayload,
    ReleaseRecordPayload,
    RemovalOrderPayload,
    RequestPayload,
    TerminalEntry,
)
from ceremony.trust import Officer, Trust

END_OF_TIME = 253_402_300_799  # 9999-12-31T23:59:59Z
LONGEST_TEXTS: list[tuple[type[BaseModel], str, int]] = [
    (Payload, "aud", 100),
    (RequestPayload, "challenge", 200),
    (LoginPayload, "challenge", 200),
    (CancellationPayload, "reason", 200),
    (KeyOrderPayload, "reason", 200),
    (ReceiptPayload, "epp_proof", 8192),
    (ReceiptPayload, "error", 40),
    (ReleaseRecordPayload, "key_algorithm", 16),
    (PublicJwk, "kty", 8),
    (PublicJwk, "alg", 8),
    (PublicJwk, "crv", 16),
    (PublicJwk, "x", 100),
    (PublicJwk, "y", 100),
    (PublicJwk, "n", 1400),
    (PublicJwk, "e", 16),
    (TerminalEntry, "model", 80),
    (TerminalEntry, "branch", 80),
    (TerminalEntry, "epp_certificate", 8192),
    (CredentialEntry, "name", 80),
    (CredentialEntry, "credential_id", 1400),
    (Trust, "audience", 100),
    (Trust, "rp_id", 253),
]
LARGEST_NUMBERS: list[tuple[type[BaseModel], str, int]] = [
    (Payload, "iat", END_OF_TIME),
    (TerminalEntry, "seq", 2**53),
    (TerminalEntry, "valid_until", END_OF_TIME),
    (CredentialEntry, "seq", 2**53),
    (RemovalOrderPayload, "most", 1_000_000),
]
SMALLEST_NUMBERS: list[tuple[type[BaseModel], str, int]] = [
    (Payload, "iat", 0),
    (TerminalEntry, "seq", 0),
    (CredentialEntry, "seq", 0),
    (RemovalOrderPayload, "most", 1),
    (Trust, "officer_threshold", 2),
    (Trust, "lowest_seq", 0),
]
LEAST_ONE: list[tuple[type[BaseModel], str]] = [
    (Payload, "aud"),
    (TerminalEntry, "model"),
    (CredentialEntry, "name"),
    (Trust, "audience"),
    (Trust, "rp_id"),
]


def passes(model: type[BaseModel], name: str, value: Any) -> bool:
    """Whether this value of this member is not what the model complains of."""
    try:
        model.model_validate({name: value})
    except ValidationError as error:
        return all(one["loc"][0] != name for one in error.errors())
    return True


@pytest.mark.parametrize(("model", "name", "longest"), LONGEST_TEXTS)
def test_a_text_has_a_longest_form(model: type[BaseModel], name: str, longest: int) -> None:
    """As many characters as the contract says, and not one more."""
    assert passes(model, name, "x" * longest)
    assert not passes(model, name, "x" * (longest + 1))


@pytest.mark.parametrize(("model", "name", "largest"), LARGEST_NUMBERS)
def test_a_number_has_a_largest_value(model: type[BaseModel], name: str, largest: int) -> None:
    """Times end with the year 9999, sequence numbers at 2**53, the last exact JSON number."""
    assert passes(model, name, largest)
    assert not passes(model, name, largest + 1)


@pytest.mark.parametrize(("model", "name", "smallest"), SMALLEST_NUMBERS)
def test_a_number_has_a_smallest_value(model: type[BaseModel], name: str, smallest: int) -> None:
    """No time or sequence number is negative, and an order removes at least one."""
    assert passes(model, name, smallest)
    assert not passes(model, name, smallest - 1)


@pytest.mark.parametrize(("model", "name"), LEAST_ONE)
def test_a_name_is_not_empty(model: type[BaseModel], name: str) -> None:
    """One character will do, none will not."""
    assert passes(model, name, "x")
    assert not passes(model, name, "")


def test_a_request_names_one_to_eight_formats() -> None:
    """Best first; none at all would be a request for nothing."""
    assert passes(RequestPayload, "formats", ("x",))
    assert passes(RequestPayload, "formats", ("x",) * 8)
    assert not passes(RequestPayload, "formats", ())
    assert not passes(RequestPayload, "formats", ("x",) * 9)


def test_a_person_has_at_most_two_roles() -> None:
    """Administrator and auditor, each at most once in spirit, and no third."""
    assert passes(CredentialEntry, "roles", ("administrator", "auditor"))
    assert passes(CredentialEntry, "roles", ())
    assert not passes(CredentialEntry, "roles", ("administrator", "auditor", "auditor"))
    assert not passes(CredentialEntry, "roles", ("officer",))


@pytest.mark.parametrize("bent", ["a\nb", "\x00", "a\x1f", "\x7fb"])
def test_no_text_for_people_holds_a_control_character(bent: str) -> None:
    """It could move a cursor or end a line where people read the records."""
    assert passes(CancellationPayload, "reason", "")
    assert not passes(CancellationPayload, "reason", bent)
    assert not passes(TerminalEntry, "branch", bent)


def test_a_decision_approves_or_rejects() -> None:
    """There is no third decision."""
    assert passes(DecisionPayload, "decision", "approve")
    assert passes(DecisionPayload, "decision", "reject")
    assert not passes(DecisionPayload, "decision", "defer")


def test_a_public_keys_members_are_texts() -> None:
    """Bytes are not taken for the text that they spell."""
    assert passes(PublicJwk, "kty", "OKP")
    assert not passes(PublicJwk, "kty", b"OKP")


def test_a_receipt_says_loaded_or_refused() -> None:
    """There is no third outcome."""
    assert passes(ReceiptPayload, "outcome", "loaded")
    assert passes(ReceiptPayload, "outcome", "refused")
    assert not passes(ReceiptPayload, "outcome", "unsure")


def test_a_public_key_says_nothing_that_it_has_not() -> None:
    """A member that the key's type lacks is absent, never null."""
    key = PublicJwk(kty="OKP", alg="EdDSA", crv="Ed25519", x="AAAA")
    assert key.members() == {"kty": "OKP", "alg": "EdDSA", "crv": "Ed25519", "x": "AAAA"}


@pytest.mark.parametrize(
    ("name", "one"), [("feed_keys", {"kty": "OKP", "alg": "EdDSA"}), ("epp_roots", "PEM")]
)
def test_a_trust_file_names_at_least_one(name: str, one: Any) -> None:
    """One feed key and one root will do; without any, nothing could be believed."""
    assert passes(Trust, name, (one,))
    assert not passes(Trust, name, ())


def test_a_trust_file_is_read_strictly() -> None:
    """A number is no text and a text no bytes; the origin is one, without a path."""
    assert not passes(Trust, "officer_threshold", "2")
    assert not passes(Officer, "name", b"Ada")
    assert Trust.model_fields["lowest_seq"].default == 0
    for origin in ("https://bank.example", "http://localhost:8000", "http://[::1]:80"):
        assert passes(Trust, "origin", origin)
        assert not passes(Trust, "origin", f"x{origin}")
        assert not passes(Trust, "origin", f"{origin}/")
