"""A statement is verified by the key that is enrolled for it, or refused with its reason."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ceremony.encoding import b64url, canonical_json, from_b64url
from ceremony.keys import KeyRefused, SigningKey
from ceremony.reasons import Reason
from ceremony.signing import digest_of, payload_bytes, sign, statement_digest
from ceremony.statements import ApplicationPayload, DecisionPayload, Kind, RequestPayload
from ceremony.verification import (
    MAX_STATEMENT_CHARS,
    EnrolledKey,
    StatementError,
    Verified,
    peek,
    verify,
)
from tests.support.forging import hs256_with_public_key, malleated, parts_of, raw_jws
from tests.support.identities import AUDIENCE, jwk_signer, passkey_signer, signing_key
from tests.support.world import World

WORLD = World.make()
REQUEST = WORLD.request()
APPLICATION = WORLD.application(REQUEST)
KEY = signing_key("first")
HEADER, PAYLOAD = parts_of(APPLICATION.text)


def _verify(text: str, key: SigningKey = KEY) -> Verified[ApplicationPayload]:
    keys = [EnrolledKey(key.public)]
    return verify(text, ApplicationPayload, keys, audience=AUDIENCE, passkeys=WORLD.trust.passkeys)


def _refused(text: str, key: SigningKey = KEY) -> Reason:
    with pytest.raises(StatementError) as refusal:
        _verify(text, key)
    assert str(refusal.value) == refusal.value.reason.value
    return refusal.value.reason


@pytest.mark.parametrize("alg", ["ES256", "EdDSA", "PS256"])
def test_each_algorithm_verifies(alg: str) -> None:
    """A statement holds under the enrolled key's algorithm and names that key."""
    key = signing_key("each", alg)
    verified = _verify(sign(APPLICATION.payload, key), key)
    assert (verified.kid, verified.kind, verified.payload) == (
        key.kid,
        Kind.APPLICATION,
        APPLICATION.payload,
    )
    assert verified.sign_count is None


def test_the_digest_is_over_typ_and_payload_only() -> None:
    """SHA-256 of `typ "." payload`: whoever signs, and whatever the signature's bytes."""
    expected = statement_digest(
        "keyfill.application+jws", from_b64url(APPLICATION.text.split(".")[1])
    )
    assert APPLICATION.digest == expected == digest_of(APPLICATION.payload)
    assert _verify(sign(APPLICATION.payload, KEY)).digest == expected


def test_a_malleated_signature_names_the_same_statement() -> None:
    """ECDSA's second signature of the same message is no second statement."""
    other = malleated(APPLICATION.text)
    assert other != APPLICATION.text
    assert _verify(other).digest == APPLICATION.digest


def test_a_passkey_names_the_same_statement_as_a_jws() -> None:
    """Both forms of one payload have one digest."""
    passkey = passkey_signer("both forms")
    assert peek(passkey.sign(APPLICATION.payload)).digest == APPLICATION.digest


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"alg": "none"}, Reason.WRONG_ALGORITHM),
        ({"alg": "HS256"}, Reason.WRONG_ALGORITHM),
        ({"alg": "RS256"}, Reason.WRONG_ALGORITHM),
        ({"alg": "ES384"}, Reason.WRONG_ALGORITHM),
        ({"alg": "es256"}, Reason.WRONG_ALGORITHM),
        ({"alg": "ES256K"}, Reason.WRONG_ALGORITHM),
        ({"alg": "EdDSA"}, Reason.WRONG_ALGORITHM),
        ({"alg": "PS256"}, Reason.WRONG_ALGORITHM),
        ({"alg": None}, Reason.HEADER_REFUSED),
        ({"alg": ["ES256"]}, Reason.HEADER_REFUSED),
        ({"kid": "foreign"}, Reason.UNKNOWN_KEY),
        ({"kid": ""}, Reason.UNKNOWN_KEY),
        ({"kid": signing_key("third", "EdDSA").kid}, Reason.UNKNOWN_KEY),
        ({"kid": None}, Reason.HEADER_REFUSED),
        ({"typ": "keyfill.decision+jws"}, Reason.MALFORMED),
        ({"typ": "keyfill.Application+jws"}, Reason.WRONG_TYPE),
        ({"typ": "KEYFILL.APPLICATION+JWS"}, Reason.WRONG_TYPE),
        ({"typ": "application/keyfill.application+jws"}, Reason.WRONG_TYPE),
        ({"typ": "keyfill.application"}, Reason.WRONG_TYPE),
        ({"typ": "keyfill.application+jws "}, Reason.WRONG_TYPE),
        ({"typ": "JWT"}, Reason.WRONG_TYPE),
        ({"typ": ""}, Reason.WRONG_TYPE),
        ({"typ": "\ud800"}, Reason.WRONG_TYPE),
        ({"jwk": KEY.public.jwk}, Reason.HEADER_REFUSED),
        ({"jku": "https://keyfill.test/keys"}, Reason.HEADER_REFUSED),
        ({"x5c": ["AAAA"]}, Reason.HEADER_REFUSED),
        ({"x5u": "https://keyfill.test/certificate"}, Reason.HEADER_REFUSED),
        ({"x5t": "AAAA"}, Reason.HEADER_REFUSED),
        ({"x5t#S256": "AAAA"}, Reason.HEADER_REFUSED),
        ({"crit": ["exp"], "exp": 0}, Reason.HEADER_REFUSED),
        ({"crit": []}, Reason.HEADER_REFUSED),
        ({"b64": True}, Reason.HEADER_REFUSED),
        ({"b64": False, "crit": ["b64"]}, Reason.HEADER_REFUSED),
        ({"cty": "json"}, Reason.HEADER_REFUSED),
        ({"zip": "DEF"}, Reason.HEADER_REFUSED),
        ({"Alg": "ES256"}, Reason.HEADER_REFUSED),
    ],
)
def test_a_header_that_steers_its_own_verification_is_refused(
    changes: dict[str, Any], reason: Reason
) -> None:
    """The header says which enrolled key signed, and nothing more; all of these are signed."""
    header = json.dumps({**HEADER, **changes}).encode()
    assert _refused(raw_jws(header, PAYLOAD, KEY)) is reason


@pytest.mark.parametrize("name", ["alg", "kid", "typ"])
def test_an_incomplete_header_is_refused(name: str) -> None:
    """All three header members are required."""
    header = {key: value for key, value in HEADER.items() if key != name}
    assert _refused(raw_jws(header, PAYLOAD, KEY)) is Reason.HEADER_REFUSED


def test_duplicate_members_are_refused_in_header_and_payload() -> None:
    """Two readers could take either value, so neither is taken."""
    twice = canonical_json(HEADER)[:-1] + b',"alg":"ES256"}'
    assert _refused(raw_jws(twice, PAYLOAD, KEY)) is Reason.MALFORMED
    said = canonical_json(PAYLOAD)[:-1] + b',"terminal_no":"ATM-0001"}'
    assert _refused(raw_jws(HEADER, said, KEY)) is Reason.MALFORMED


def test_the_enrolled_public_key_is_no_hmac_secret() -> None:
    """An HS256 statement under the public key as its secret proves nothing."""
    payload = APPLICATION.text.split(".")[1]
    for alg in ("ES256", "PS256", "EdDSA"):
        key = signing_key("each", alg)
        forged = hs256_with_public_key({**HEADER, "kid": key.kid}, payload, key)
        assert _refused(forged, key) is Reason.WRONG_ALGORITHM


def test_an_unsigned_statement_is_refused() -> None:
    """`none`, an empty signature, a truncated one and another statement's: all refused."""
    head, payload, signature = APPLICATION.text.split(".")
    unsecured = b64url(canonical_json({**HEADER, "alg": "none"}))
    assert _refused(f"{unsecured}.{payload}.") is Reason.WRONG_ALGORITHM
    foreign = REQUEST.text.split(".")[2]
    zeros = b64url(bytes(64))
    for bad in ("", b64url(from_b64url(signature)[:-1]), foreign, zeros):
        assert _refused(f"{head}.{payload}.{bad}") is Reason.BAD_SIGNATURE


def test_another_key_under_the_right_name_is_refused() -> None:
    """The key id is only a name: the signature must hold under the enrolled key."""
    assert _refused(raw_jws(HEADER, PAYLOAD, signing_key("third other"))) is Reason.BAD_SIGNATURE


def test_an_rs256_jws_is_refused_and_never_made() -> None:
    """RS256 is for passkeys only, even for a key that is enrolled with it."""
    key = signing_key("rs", "RS256")
    forged = raw_jws({**HEADER, "alg": "RS256", "kid": key.kid}, PAYLOAD, key)
    assert _refused(forged, key) is Reason.WRONG_ALGORITHM
    with pytest.raises(KeyRefused):
        sign(APPLICATION.payload, key)


def test_a_passkeys_key_does_not_verify_a_jws() -> None:
    """A credential signs in its own form only, in either direction."""
    passkey = passkey_signer("one form")
    as_jwk = EnrolledKey(passkey.key.public)
    jws = sign(APPLICATION.payload, passkey.key)
    for text, key in ((jws, passkey.enrolled), (passkey.sign(APPLICATION.payload), as_jwk)):
        with pytest.raises(StatementError) as refusal:
            verify(
                text,
                ApplicationPayload,
                [key],
                audience=AUDIENCE,
                passkeys=WORLD.trust.passkeys,
            )
        assert refusal.value.reason is Reason.UNKNOWN_KEY


def test_one_kind_never_passes_for_another() -> None:
    """A decision is no application, and a `typ` swapped under the signature does not help."""
    decision = WORLD.decision(APPLICATION, signer=WORLD.first.signer)
    assert _refused(decision.text) is Reason.WRONG_TYPE
    payload = decision.text.split(".")[1]
    header = b64url(canonical_json(HEADER))
    assert _refused(f"{header}.{payload}.{decision.text.split('.')[2]}") is Reason.MALFORMED


def test_another_deployment_is_refused() -> None:
    """`aud` must be this deployment."""
    other = WORLD.application(REQUEST, aud="keyfill-elsewhere")
    assert _refused(other.text) is Reason.WRONG_AUDIENCE


def test_only_the_allowed_keys_are_looked_at() -> None:
    """With no key allowed nothing verifies, however good its signature."""
    with pytest.raises(StatementError) as refusal:
        verify(APPLICATION.text, ApplicationPayload, [], audience=AUDIENCE)
    assert refusal.value.reason is Reason.UNKNOWN_KEY


def _other_bits(part: str) -> str:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return part[:-1] + alphabet[alphabet.index(part[-1]) ^ 1]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda h, p, s: f"{h}.{p}.{s}=",
        lambda h, p, s: f"{h}=.{p}.{s}",
        lambda h, p, s: f"{h}.{p}.{s}\n",
        lambda h, p, s: f" {h}.{p}.{s}",
        lambda h, p, s: f"{h}.{p}",
        lambda h, p, s: f"{h}.{p}.{s}.",
        lambda h, p, s: f"{h}..{s}",
        lambda h, p, s: f".{p}.{s}",
        lambda h, p, s: f"{h}.{p}.{_other_bits(s)}",
        lambda h, p, s: f"{h}.{p}.{s[:-1]}é",
        lambda h, p, s: json.dumps({"protected": h, "payload": p, "signature": s}),
        lambda h, p, s: json.dumps(
            {"payload": p, "signatures": [{"protected": h, "signature": s}]}
        ),
        lambda h, p, s: "",
        lambda h, p, s: "{",
        lambda h, p, s: "\x00",
        lambda h, p, s: "\ud800.\ud800.\ud800",
    ],
)
def test_another_spelling_of_a_jws_is_refused(spoil: Callable[[str, str, str], str]) -> None:
    """Padding, white space, unused bits, JSON serialisation: malformed, whatever is signed."""
    assert _refused(spoil(*APPLICATION.text.split("."))) is Reason.MALFORMED


def test_sizes_and_depths_are_bounded() -> None:
    """An oversize statement and a deep one are refused before anything is verified."""
    assert _refused("a" * (MAX_STATEMENT_CHARS + 1)) is Reason.TOO_LARGE
    assert _refused("{" + " " * MAX_STATEMENT_CHARS) is Reason.TOO_LARGE
    deep = b'{"aud":' + b"[" * 5000 + b"]" * 5000 + b"}"
    assert _refused(raw_jws(HEADER, deep, KEY)) is Reason.MALFORMED
    assert _refused("{" * 20_000) is Reason.MALFORMED


def test_the_payload_bytes_are_what_was_signed() -> None:
    """White space changes the bytes and so the digest: still one statement, another digest."""
    loose = json.dumps(PAYLOAD, indent=1).encode()
    verified = _verify(raw_jws(HEADER, loose, KEY))
    assert verified.payload == APPLICATION.payload
    assert verified.digest == statement_digest("keyfill.application+jws", loose)
    assert verified.digest != APPLICATION.digest


def test_a_refusal_repeats_nothing_of_the_statement() -> None:
    """Neither message nor cause holds what was sent: inputs hold secrets."""
    secret = "s3cret-number"
    text = raw_jws(HEADER, {**PAYLOAD, "iat": secret}, KEY)
    with pytest.raises(StatementError) as refusal:
        _verify(text)
    seen: BaseException | None = refusal.value
    while seen is not None:
        assert secret not in str(seen)
        seen = seen.__cause__


def test_peek_claims_without_proving() -> None:
    """`peek` reads kind, payload, digest and key id of a statement whose signature is broken."""
    head, payload, _ = APPLICATION.text.split(".")
    claimed = peek(f"{head}.{payload}.AAAA")
    assert (claimed.kind, claimed.digest, claimed.kid) == (
        Kind.APPLICATION,
        APPLICATION.digest,
        KEY.kid,
    )
    assert claimed.credential_id is None


@given(st.text(max_size=200) | st.text(alphabet="{}.\"':,eyJ09-_", max_size=80))
def test_junk_is_refused_with_a_reason(text: str) -> None:
    """Whatever arrives, the answer is `StatementError`."""
    assert _refused(text) in {Reason.MALFORMED, Reason.HEADER_REFUSED}


@given(st.integers(0, 10_000), st.integers(1, 127))
def test_no_changed_character_verifies(position: int, shift: int) -> None:
    """A statement with any one character changed is refused."""
    text = APPLICATION.text
    at = position % len(text)
    changed = text[:at] + chr((ord(text[at]) + shift) % 128) + text[at + 1 :]
    if changed != text:
        with pytest.raises(StatementError):
            _verify(changed)


def test_a_request_and_a_decision_verify_by_their_own_kind() -> None:
    """`verify` gives the payload class that was asked for."""
    request = verify(
        REQUEST.text, RequestPayload, [WORLD.terminal.device.enrolled], audience=AUDIENCE
    )
    assert payload_bytes(request.payload) == payload_bytes(REQUEST.payload)
    decision = WORLD.decision(APPLICATION, signer=jwk_signer("second, by JWK"))
    assert isinstance(decision.payload, DecisionPayload)


@pytest.mark.parametrize(
    "text", [APPLICATION.text, passkey_signer("decoy").sign(APPLICATION.payload)]
)
def test_a_decoy_accepts_nothing(text: str) -> None:
    """The key on which a stranger's check spends its time accepts not even its own signature."""
    signers = (jwk_signer("first"), passkey_signer("decoy"))
    for decoy in (signer.enrolled for signer in signers):
        with pytest.raises(StatementError) as refusal:
            verify(
                text,
                ApplicationPayload,
                [],
                audience=AUDIENCE,
                passkeys=WORLD.trust.passkeys,
                decoy=decoy,
            )
        assert refusal.value.reason is Reason.UNKNOWN_KEY
