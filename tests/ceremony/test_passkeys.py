"""A passkey's assertion proves one statement, by a verified person, on our origin alone."""

import json
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ceremony.approvalkeys import ApprovalKeys
from ceremony.encoding import b64url
from ceremony.passkeys import (
    Assertion,
    PasskeyError,
    PasskeyPolicy,
    counter_advances,
    verify_assertion,
)
from ceremony.reasons import Reason
from ceremony.signing import digest_of, payload_bytes
from ceremony.statements import DecisionPayload, Kind
from ceremony.verification import EnrolledKey, StatementError, Verified, peek, verify
from tests.support.authenticator import (
    ATTESTED,
    USER_PRESENT,
    USER_VERIFIED,
    Passkey,
    raw_signature,
)
from tests.support.identities import AUDIENCE, ORIGIN, RP_ID, passkey_signer
from tests.support.world import World

WORLD = World.make()
DECISION = WORLD.decision(WORLD.application(WORLD.request())).payload
DIGEST = digest_of(DECISION)
POLICY = PasskeyPolicy(rp_id=RP_ID, origins=(ORIGIN,), approvals=ApprovalKeys.ANY)


def _verify(
    text: str, key: EnrolledKey, policy: PasskeyPolicy | None = POLICY
) -> Verified[DecisionPayload]:
    return verify(text, DecisionPayload, [key], audience=AUDIENCE, passkeys=policy)


def _reason(text: str, key: EnrolledKey, policy: PasskeyPolicy | None = POLICY) -> Reason:
    with pytest.raises(StatementError) as refusal:
        _verify(text, key, policy)
    return refusal.value.reason


def _passkey() -> Passkey:
    return passkey_signer("passkey under test")


@pytest.mark.parametrize("alg", ["ES256", "EdDSA", "PS256", "RS256"])
def test_each_algorithm_of_authenticators_verifies(alg: str) -> None:
    """RS256 is accepted here and nowhere else: common authenticators offer nothing better."""
    passkey = passkey_signer("of each algorithm", alg)
    verified = _verify(passkey.sign(DECISION), passkey.enrolled)
    assert (verified.kid, verified.digest, verified.kind) == (
        passkey.key.kid,
        DIGEST,
        Kind.DECISION,
    )
    assert verified.sign_count == 1


@pytest.mark.parametrize(
    "bent",
    [
        {"flags": USER_PRESENT},
        {"flags": USER_VERIFIED},
        {"flags": 0},
        {"flags": USER_PRESENT | USER_VERIFIED | ATTESTED},
        {"origin": "https://keyfill.test.evil.example"},
        {"origin": "https://sub.keyfill.test"},
        {"origin": "http://keyfill.test"},
        {"origin": "https://keyfill.test:8443"},
        {"origin": "https://keyfill.test/"},
        {"origin": "https://KEYFILL.test"},
        {"origin": "null"},
        {"rp_id": "keyfill.example"},
        {"rp_id": "test"},
        {"cross_origin": True},
        {"further": {"crossOrigin": "false"}},
        {"further": {"crossOrigin": None}},
        {"further": {"crossOrigin": 0}},
        {"further": {"topOrigin": "https://keyfill.test"}},
        {"further": {"topOrigin": None}},
        {"further": {"tokenBinding": {"status": "unheard-of"}}},
        {"challenge": b64url(bytes(32))},
        {"challenge": b64url(bytes.fromhex(DIGEST)[:31])},
        {"challenge": ""},
        {"challenge": DIGEST},
        {"type": "webauthn.create"},
        {"type": "payment.get"},
        {"type": ""},
    ],
)
def test_a_bent_assertion_is_refused(bent: dict[str, Any]) -> None:
    """User verification, exact origin, relying party, frame, challenge and type: all checked."""
    passkey = _passkey()
    assert _reason(passkey.sign(DECISION, **bent), passkey.enrolled) is Reason.PASSKEY_REFUSED


def test_a_browser_that_leaves_cross_origin_out_is_heard() -> None:
    """`crossOrigin` is optional in WebAuthn level 2; absent means false."""
    passkey = _passkey()
    assert _verify(passkey.sign(DECISION, cross_origin=None), passkey.enrolled).digest == DIGEST


def test_an_assertion_is_about_its_own_payload_only() -> None:
    """Another payload under the same assertion is another digest, so another challenge."""
    passkey = _passkey()
    document = json.loads(passkey.sign(DECISION))
    other = DECISION.model_copy(update={"decision": "reject"})
    document["payload"] = b64url(payload_bytes(other))
    assert _reason(json.dumps(document), passkey.enrolled) is Reason.PASSKEY_REFUSED


def test_the_kind_is_signed_too() -> None:
    """A `typ` exchanged beside a payload that fits it changes the digest."""
    passkey = _passkey()
    login = WORLD.login().payload
    document = json.loads(passkey.sign(login))
    document["typ"] = Kind.DECISION.typ
    assert _reason(json.dumps(document), passkey.enrolled) is Reason.MALFORMED


def test_only_the_enrolled_credential_verifies() -> None:
    """Another credential id, or another key under the same id, is refused."""
    passkey, other = _passkey(), passkey_signer("another passkey")
    text = passkey.sign(DECISION)
    assert _reason(text, other.enrolled) is Reason.UNKNOWN_KEY
    swapped = EnrolledKey(other.key.public, passkey.credential_id)
    assert _reason(text, swapped) is Reason.PASSKEY_REFUSED


def test_without_a_policy_no_passkey_verifies() -> None:
    """A verifier that was given no relying party refuses the form."""
    passkey = _passkey()
    assert _reason(passkey.sign(DECISION), passkey.enrolled, None) is Reason.PASSKEY_REFUSED


def _spoilt(**changes: Any) -> str:
    document: dict[str, Any] = json.loads(_passkey().sign(DECISION))
    document |= changes
    return json.dumps({name: value for name, value in document.items() if value != "absent"})


@pytest.mark.parametrize(
    "text",
    [
        _spoilt(signature="absent"),
        _spoilt(client_data_json="absent"),
        _spoilt(credential_id="absent"),
        _spoilt(extra="x"),
        _spoilt(kid="x"),
        _spoilt(payload=None),
        _spoilt(payload="e30="),
        _spoilt(payload="e30"),
        _spoilt(signature="AB"),
        _spoilt(credential_id="!"),
        _spoilt(authenticator_data=[]),
        _spoilt(client_data_json={}),
        _spoilt(typ=5),
        '{"typ":"keyfill.decision+jws","typ":"keyfill.decision+jws"}',
    ],
    ids=lambda text: text[:60],
)
def test_a_malformed_form_is_refused(text: str) -> None:
    """Missing, foreign, loosely typed or loosely encoded members: malformed."""
    assert _reason(text, _passkey().enrolled) is Reason.MALFORMED


def test_another_typ_is_refused() -> None:
    """The WebAuthn form names its kind exactly."""
    for typ in ("keyfill.decision", "KEYFILL.decision+jws", "\ud800"):
        assert _reason(_spoilt(typ=typ), _passkey().enrolled) is Reason.WRONG_TYPE


@pytest.mark.parametrize(
    ("last", "new", "advances"),
    [(0, 0, True), (0, 1, True), (5, 6, True), (5, 900, True), (5, 5, False), (5, 4, False)],
)
def test_a_counter_must_rise_once_it_counts(last: int, new: int, advances: bool) -> None:
    """WebAuthn section 6.1.1: zero for ever is an authenticator without one, else it must rise."""
    assert counter_advances(last=last, new=new) is advances


def test_a_counter_that_falls_back_to_zero_is_a_clone() -> None:
    """An authenticator that once counted cannot stop counting."""
    assert not counter_advances(last=5, new=0)


def test_verifying_again_gives_the_same_counter() -> None:
    """The key worker verifies the same assertion later: no memory of counters is in the way."""
    passkey = _passkey()
    passkey.count = 41
    text = passkey.sign(DECISION)
    assert [_verify(text, passkey.enrolled).sign_count for _ in range(2)] == [42, 42]
    assert peek(text).credential_id == passkey.credential_id


def _check(client_data: bytes, authenticator_data: bytes) -> None:
    passkey = _passkey()
    message = authenticator_data + sha256(client_data).digest()
    assertion = Assertion(
        passkey.credential_id, authenticator_data, client_data, raw_signature(passkey.key, message)
    )
    verify_assertion(assertion, digest=DIGEST, key=passkey.key.public, policy=POLICY)


@given(st.binary(max_size=120), st.integers(0, 255))
def test_no_authenticator_data_breaks_the_verifier(tail: bytes, flags: int) -> None:
    """Whatever an authenticator signs, it verifies with a user or it is refused: no other error."""
    data = sha256(RP_ID.encode()).digest() + bytes([flags]) + tail
    honest = _passkey().assertion(DIGEST)
    try:
        _check(honest.client_data_json, data)
    except PasskeyError:
        return
    assert flags & USER_PRESENT
    assert flags & USER_VERIFIED


JSON_VALUES: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=10) | st.just([])
)


@given(
    st.sampled_from(["type", "challenge", "origin", "crossOrigin"]),
    JSON_VALUES | st.dictionaries(st.text(max_size=8), JSON_VALUES, max_size=2),
)
def test_no_client_data_breaks_the_verifier(name: str, value: Any) -> None:
    """Whatever stands in the client data's members, the answer is a refusal."""
    honest = _passkey().assertion(DIGEST)
    bent = {**json.loads(honest.client_data_json), name: value}
    if bent == json.loads(honest.client_data_json):
        return
    with pytest.raises(PasskeyError):
        _check(json.dumps(bent).encode(), honest.authenticator_data)


@given(st.binary(max_size=80))
def test_no_signature_or_client_data_bytes_break_the_verifier(data: bytes) -> None:
    """Random signatures and random client data are refused."""
    honest = _passkey().assertion(DIGEST)
    for assertion in (
        Assertion(honest.credential_id, honest.authenticator_data, honest.client_data_json, data),
        Assertion(honest.credential_id, honest.authenticator_data, data, honest.signature),
    ):
        with pytest.raises(PasskeyError):
            verify_assertion(assertion, digest=DIGEST, key=_passkey().key.public, policy=POLICY)
