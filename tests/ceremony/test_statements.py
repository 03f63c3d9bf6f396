"""Payloads are strict: an unknown, missing or loosely typed field is no statement."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ceremony.encoding import canonical_json, from_b64url
from ceremony.reasons import Reason
from ceremony.signing import new_nonce, payload_bytes
from ceremony.statements import (
    KIND_OF,
    PAYLOADS,
    CredentialEntry,
    KeyOrderPayload,
    Kind,
    Payload,
    ReleaseRecordPayload,
    RemovalOrderPayload,
    RevocationPayload,
    TerminalEntry,
    request_id_of,
)
from ceremony.verification import StatementError, peek
from tests.support.forging import raw_jws
from tests.support.identities import AUDIENCE, signing_key
from tests.support.world import SAMPLE_DIGEST, World

WORLD = World.make()
KEY = signing_key("payloads")


def _samples() -> dict[Kind, Payload]:
    request = WORLD.request()
    application = WORLD.application(request)
    confirmation = WORLD.confirmation(application)
    standing = WORLD.standing()
    return {
        Kind.REQUEST: request.payload,
        Kind.APPLICATION: application.payload,
        Kind.DECISION: WORLD.decision(application).payload,
        Kind.CONFIRMATION: confirmation.payload,
        Kind.RECEIPT: WORLD.receipt(confirmation).payload,
        Kind.CANCELLATION: WORLD.cancellation(request).payload,
        Kind.LOGIN: WORLD.login().payload,
        Kind.TERMINAL_ENTRY: standing.terminal.entry,
        Kind.CREDENTIAL_ENTRY: standing.first.entry,
        Kind.REMOVAL_ORDER: RemovalOrderPayload(
            aud=AUDIENCE,
            iat=WORLD.now,
            nonce=WORLD.nonce(),
            most=3,
            expires_at=WORLD.now + 3_600,
        ),
        Kind.REVOCATION: RevocationPayload(
            aud=AUDIENCE,
            iat=WORLD.now,
            nonce=WORLD.nonce(),
            person=None,
            terminal_no=WORLD.terminal.terminal_no,
            seq=1,
            reason_code="stolen",
        ),
        Kind.KEY_ORDER: KeyOrderPayload(
            aud=AUDIENCE,
            iat=WORLD.now,
            nonce=WORLD.nonce(),
            request_id=application.payload.request_id,
            terminal_no=WORLD.terminal.terminal_no,
            order="destroy",
            reason_code="replaced",
            reason=None,
        ),
        Kind.RELEASE_RECORD: ReleaseRecordPayload(
            aud=AUDIENCE,
            iat=WORLD.now,
            nonce=WORLD.nonce(),
            request_id=application.payload.request_id,
            terminal_no="ATM-0001",
            request=request.digest,
            application=application.digest,
            decision=SAMPLE_DIGEST,
            confirmation=confirmation.digest,
            terminal_entry=standing.terminal.digest,
            first_entry=standing.first.digest,
            second_entry=standing.second.digest,
            checks=("signatures",),
            key_algorithm="AES-128",
            token_digest=SAMPLE_DIGEST,
            kcv_digest=SAMPLE_DIGEST,
        ),
    }


SAMPLES = _samples()
DOCUMENTS: dict[Kind, dict[str, Any]] = {
    kind: json.loads(payload_bytes(payload)) for kind, payload in SAMPLES.items()
}


def _peek(kind: Kind, document: dict[str, Any] | bytes) -> Payload:
    header = {"alg": KEY.alg, "kid": KEY.kid, "typ": kind.typ}
    return peek(raw_jws(header, document, KEY)).payload


def _refused(kind: Kind, document: dict[str, Any] | bytes) -> None:
    with pytest.raises(StatementError) as refusal:
        _peek(kind, document)
    assert refusal.value.reason is Reason.MALFORMED


def test_every_kind_has_its_own_payload_and_typ() -> None:
    """Kinds, payload classes and `typ` are in one-to-one relation, and every kind is tested."""
    assert set(PAYLOADS) == set(Kind) == set(SAMPLES)
    assert {KIND_OF[PAYLOADS[kind]] for kind in Kind} == set(Kind)
    assert [Kind.of_typ(kind.typ) for kind in Kind] == list(Kind)
    for other in ("keyfill.request+jwt", "Keyfill.request+jws", "request", "keyfill.+jws", ""):
        with pytest.raises(ValueError):
            Kind.of_typ(other)
    assert Kind.TERMINAL_ENTRY.typ == "keyfill.terminal-entry+jws"


@pytest.mark.parametrize("kind", list(Kind))
def test_a_payload_reads_back(kind: Kind) -> None:
    """What our own signers write is what every verifier reads."""
    assert _peek(kind, DOCUMENTS[kind]) == SAMPLES[kind]


@pytest.mark.parametrize("kind", list(Kind))
def test_an_unknown_field_is_refused(kind: Kind) -> None:
    """A field that the contract does not know could mean something to somebody else."""
    _refused(kind, {**DOCUMENTS[kind], "extra": 1})
    _refused(kind, {**DOCUMENTS[kind], "Aud": AUDIENCE})


@pytest.mark.parametrize("kind", list(Kind))
def test_every_field_is_required(kind: Kind) -> None:
    """No field has a default: leaving one out is not the same as saying null."""
    for name in DOCUMENTS[kind]:
        _refused(kind, {key: value for key, value in DOCUMENTS[kind].items() if key != name})


@pytest.mark.parametrize("kind", list(Kind))
def test_no_field_takes_another_type(kind: Kind) -> None:
    """Numbers are not strings, strings are not numbers, and nothing is converted."""
    for name, value in DOCUMENTS[kind].items():
        others: list[Any] = [True, 1.0, [1], {}, str(value) if isinstance(value, int) else 7]
        for other in others:
            _refused(kind, {**DOCUMENTS[kind], name: other})


TWISTED = [
    ("iat", -1),
    ("iat", 253_402_300_800),
    ("iat", 1e3),
    ("nonce", "A" * 32),
    ("nonce", "a" * 31),
    ("nonce", "a" * 32 + "\n"),
    ("aud", ""),
    ("aud", "x" * 101),
    ("request_id", "A" * 23),
    ("request_id", "A" * 23 + "="),
    ("request_id", "A" * 24 + "\n"),
    ("terminal_no", "atm-1"),
    ("terminal_no", "-ATM"),
    ("terminal_no", "A" * 33),
    ("terminal_no", "ATM 1"),
    ("terminal_no", "ATM-1\n"),
    ("terminal_no", "ATM-\uff11"),
    ("terminal_no", "ATM-1\x00"),
    ("administrator", "../1"),
    ("administrator", ""),
    ("administrator", "A\u202e1"),
    ("epp_fingerprint", "5A" * 32),
    ("epp_fingerprint", "5a" * 31),
    ("registry_digest", "5a" * 33),
    ("qr_digest", "zz" * 32),
    ("expires_at", 10**20),
]


@pytest.mark.parametrize(("name", "value"), TWISTED)
def test_a_twisted_field_is_refused(name: str, value: Any) -> None:
    """Lengths, alphabets and ranges hold to the last character."""
    _refused(Kind.APPLICATION, {**DOCUMENTS[Kind.APPLICATION], name: value})


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (Kind.REQUEST, "formats", []),
        (Kind.REQUEST, "formats", ["x"] * 9),
        (Kind.REQUEST, "formats", ["OAEP"]),
        (Kind.REQUEST, "formats", "oaep-jws"),
        (Kind.REQUEST, "current_kcv", "ABCDEF"),
        (Kind.REQUEST, "current_kcv", ""),
        (Kind.DECISION, "decision", "Approve"),
        (Kind.DECISION, "decision", "approved"),
        (Kind.DECISION, "reason", "x" * 201),
        (Kind.DECISION, "reason_code", "Not Kebab"),
        (Kind.KEY_ORDER, "order", "activate"),
        (Kind.KEY_ORDER, "order", "Destroy"),
        (Kind.RECEIPT, "outcome", "ok"),
        (Kind.RECEIPT, "kcv", "a1b2c3d4"),
        (Kind.RECEIPT, "error", "a b"),
        (Kind.RECEIPT, "epp_proof", "x" * 8193),
        (Kind.CREDENTIAL_ENTRY, "number", "004915112345678"),
        (Kind.CREDENTIAL_ENTRY, "number", "+0915112345678"),
        (Kind.CREDENTIAL_ENTRY, "number", "+4915112345678\n"),
        (Kind.CREDENTIAL_ENTRY, "roles", ["officer"]),
        (Kind.CREDENTIAL_ENTRY, "roles", ["auditor"] * 3),
        (Kind.CREDENTIAL_ENTRY, "seq", -1),
        (Kind.CREDENTIAL_ENTRY, "seq", 2**53 + 1),
        (Kind.CREDENTIAL_ENTRY, "public_key", {"kty": "EC"}),
        (Kind.CREDENTIAL_ENTRY, "credential_id", ""),
        (Kind.CREDENTIAL_ENTRY, "credential_id", "a+b"),
        (Kind.TERMINAL_ENTRY, "device_key", {**KEY.public.jwk, "d": "AAAA"}),
        (Kind.TERMINAL_ENTRY, "first", "person 1"),
        (Kind.TERMINAL_ENTRY, "model", ""),
    ],
)
def test_a_kinds_own_fields_are_checked(kind: Kind, name: str, value: Any) -> None:
    """Every kind's own fields have their alphabets and limits too."""
    _refused(kind, {**DOCUMENTS[kind], name: value})


def test_unicode_is_kept_exactly() -> None:
    """Free text is neither normalised nor escaped: the bytes signed are the bytes read."""
    for text in ("Grüße", "Gru\u0308\u00dfe", "\u202ereversed", "\U0001f511", "  "):
        document = {**DOCUMENTS[Kind.CANCELLATION], "reason": text}
        payload = _peek(Kind.CANCELLATION, document)
        assert json.loads(payload_bytes(payload)) == document


def test_a_lone_surrogate_is_no_text() -> None:
    """Half a character has no UTF-8 and would break whoever stores or prints it."""
    written = canonical_json({**DOCUMENTS[Kind.CANCELLATION], "reason": "HERE"})
    _refused(Kind.CANCELLATION, written.replace(b"HERE", b"\\ud800"))


@given(st.binary(max_size=60))
def test_random_payload_bytes_are_no_statement(data: bytes) -> None:
    """Bytes that are not the kind's payload are refused, with that reason."""
    _refused(Kind.LOGIN, data)


def test_payloads_cannot_be_changed() -> None:
    """What was verified stays as it was."""
    with pytest.raises(ValidationError):
        SAMPLES[Kind.DECISION].iat = 0  # type: ignore[misc]


def test_a_telephone_number_is_not_printed() -> None:
    """The entry's representation leaves the number out."""
    entry = SAMPLES[Kind.CREDENTIAL_ENTRY]
    assert isinstance(entry, CredentialEntry)
    assert entry.number not in repr(entry)
    assert isinstance(SAMPLES[Kind.TERMINAL_ENTRY], TerminalEntry)


def test_the_request_id_is_the_digests_first_18_bytes() -> None:
    """24 characters of base64url, whoever derives it."""
    digest = "00112233445566778899aabbccddeeff0011" + "ff" * 14
    assert request_id_of(digest) == "ABEiM0RVZneImaq7zN3u_wAR"
    assert from_b64url(request_id_of(digest)).hex() == digest[:36]


def test_nonces_do_not_repeat() -> None:
    """16 random bytes as hex."""
    nonces = {new_nonce() for _ in range(100)}
    assert len(nonces) == 100
    assert all(len(bytes.fromhex(nonce)) == 16 for nonce in nonces)
