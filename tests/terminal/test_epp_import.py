"""ImportKeyToken: what the EPP loads, and everything that it refuses without changing."""

import os
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.hashes import SHA1
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ceremony.encoding import b64url, canonical_json
from keymanagement.checkvalue import key_check_value
from keymanagement.port import KeyAlgorithm, KeyBinding
from keymanagement.software import SoftwareKeyManager
from keymanagement.tdeskey import with_odd_parity
from terminal.epp import Epp, ImportedKey, KeyCheck
from terminal.epperrors import EppCode, EppError
from tests.support.certificates import sample_epp
from tests.support.eppbench import CAPACITY, REQUEST, TERMINAL_NO, Bench
from tests.support.keytokens import NOW, TokenForge, encrypted_to, sample_kdh, terms_for

TDES_KEY = with_odd_parity(bytes(range(0, 48, 2)))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A new EPP."""
    return Bench.make(tmp_path / "epp")


def refused(bench: Bench, token: bytes, code: EppCode, *, request_id: str = REQUEST) -> None:
    """The EPP refuses the token with this code, and its memory is the same to the byte."""
    before = bench.sealed()
    with pytest.raises(EppError) as caught:
        bench.epp.import_key_token(token, request_id=request_id)
    assert caught.value.code is code
    assert bench.sealed() == before


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [("AES-128", bytes(range(16))), ("AES-192", bytes(range(24))), ("TDES", TDES_KEY)],
    ids=lambda part: part if isinstance(part, str) else "key",
)
def test_a_right_token_is_loaded(bench: Bench, algorithm: str, key: bytes) -> None:
    """The key is in under its name; the answer holds its length in bits and its KCV."""
    kcv = key_check_value(KeyAlgorithm(algorithm), key)
    imported = bench.epp.import_key_token(
        bench.token(key, key_algorithm=algorithm), request_id=REQUEST
    )
    assert imported == ImportedKey("TMK", 8 * len(key), "kcvZero", kcv)
    assert bench.epp.generate_kcv() == KeyCheck("kcvZero", kcv)
    (detail,) = bench.epp.get_key_detail()
    assert (detail.key, detail.key_usage, detail.algorithm) == ("TMK", "K1", algorithm)
    assert (detail.request_id, detail.loaded_at) == (REQUEST, NOW)


@pytest.mark.parametrize("algorithm", [KeyAlgorithm.AES_128, KeyAlgorithm.TDES])
def test_what_the_key_manager_makes_is_loaded(bench: Bench, algorithm: KeyAlgorithm) -> None:
    """The server's key manager and the terminal's EPP agree on the token and on the KCV."""
    manager = SoftwareKeyManager(bytes(32), sample_kdh())
    binding = KeyBinding(TERMINAL_NO, REQUEST)
    created = manager.create(algorithm, binding)
    nonce = bench.epp.start_key_exchange().hex()
    terms = terms_for(bench.keys, terminal_no=TERMINAL_NO, request_id=REQUEST, krd_nonce=nonce)
    token = manager.make_token(created.block, algorithm, binding, terms, "oaep-jws")
    imported = bench.epp.import_key_token(token.value, request_id=REQUEST)
    assert imported.key_check_value == created.kcv


def test_the_nonce_is_16_fresh_bytes(bench: Bench) -> None:
    """StartKeyExchange never gives the same randomItem twice."""
    nonces = {bench.epp.start_key_exchange() for _ in range(50)}
    assert len(nonces) == 50
    assert {len(nonce) for nonce in nonces} == {16}


def test_a_token_without_a_nonce_given_out_is_refused(bench: Bench) -> None:
    """An EPP that was not asked for a nonce takes no token, not even for a nonce of zeros."""
    token = bench.token(krd_nonce="00" * 16)
    bench.restart()
    refused(bench, token, EppCode.RANDOM_INVALID)


def test_another_nonce_is_refused(bench: Bench) -> None:
    """A token for a nonce that this EPP did not give out is refused."""
    refused(bench, bench.token(krd_nonce="0f" * 16), EppCode.RANDOM_INVALID)


def test_a_newer_nonce_voids_the_older(bench: Bench) -> None:
    """One nonce is outstanding: the last."""
    token = bench.token()
    bench.epp.start_key_exchange()
    refused(bench, token, EppCode.RANDOM_INVALID)


def test_a_nonce_answers_once(bench: Bench) -> None:
    """The same token again, or another for the same nonce, is refused after the import."""
    payload = bench.payload()
    token = bench.forge.token(payload)
    bench.epp.import_key_token(token, request_id=REQUEST)
    refused(bench, token, EppCode.RANDOM_INVALID)
    other = encrypted_to(bench.keys.private_key.public_key(), os.urandom(16))
    second = bench.forge.token({**payload, "encrypted_key": other, "request_id": "B" * 24})
    refused(bench, second, EppCode.RANDOM_INVALID, request_id="B" * 24)


def test_a_restart_loses_the_nonce(bench: Bench) -> None:
    """A token for the nonce from before a power cut is refused; one for a new nonce is not."""
    token = bench.token()
    bench.restart()
    refused(bench, token, EppCode.RANDOM_INVALID)
    bench.epp.import_key_token(bench.token(), request_id=REQUEST)


def test_a_refused_token_does_not_use_the_nonce_up(bench: Bench) -> None:
    """Rubbish sent to an EPP does not cost the terminal its load."""
    payload = bench.payload()
    refused(bench, bench.forge.token({**payload, "exp": NOW}), EppCode.CONTENT_INVALID)
    bench.epp.import_key_token(bench.forge.token(payload), request_id=REQUEST)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"terminal_no": "ATM-0002"}, EppCode.CONTENT_INVALID),
        ({"epp_fingerprint": "00" * 32}, EppCode.CONTENT_INVALID),
        ({"request_id": "B" * 24}, EppCode.CONTENT_INVALID),
        ({"exp": NOW}, EppCode.CONTENT_INVALID),
        ({"iat": NOW - 9, "exp": NOW}, EppCode.CONTENT_INVALID),
        ({"iat": NOW - 9, "exp": NOW - 1}, EppCode.CONTENT_INVALID),
        ({"iat": NOW + 200_000}, EppCode.CONTENT_INVALID),
        ({"key_usage": "K0"}, EppCode.USE_VIOLATION),
        ({"key_usage": "P0"}, EppCode.USE_VIOLATION),
        ({"key_algorithm": "DES"}, EppCode.USE_VIOLATION),
        ({"key_algorithm": "AES-256"}, EppCode.INVALID_KEY_LENGTH),
        ({"key_algorithm": "TDES"}, EppCode.INVALID_KEY_LENGTH),
        ({"encrypted_key": b64url(bytes(256))}, EppCode.CONTENT_INVALID),
        ({"encrypted_key": b64url(bytes(255))}, EppCode.CONTENT_INVALID),
        ({"encrypted_key": ""}, EppCode.CONTENT_INVALID),
        ({"encrypted_key": "="}, EppCode.CONTENT_INVALID),
        ({"key_usage": "k1"}, EppCode.FORMAT_INVALID),
        ({"krd_nonce": "0F" * 16}, EppCode.FORMAT_INVALID),
        ({"exp": "later"}, EppCode.FORMAT_INVALID),
        ({"iat": 1.5}, EppCode.FORMAT_INVALID),
        ({"kcv": "08793e"}, EppCode.FORMAT_INVALID),
        ({"key_encryption": "RSA-OAEP"}, EppCode.CONTENT_INVALID),
        ({"key_encryption": "RSA-OAEP-512"}, EppCode.FORMAT_INVALID),
        ({"key_encryption": "RSA1_5"}, EppCode.FORMAT_INVALID),
        ({"key_encryption": ""}, EppCode.FORMAT_INVALID),
    ],
)
def test_a_signed_token_with_wrong_contents_is_refused(
    bench: Bench, changes: dict[str, Any], code: EppCode
) -> None:
    """Even the KDH's own signature does not load a key for another terminal, EPP, request, use."""
    refused(bench, bench.token(**changes), code)


def test_a_key_under_sha1_opens_if_the_token_says_so(bench: Bench) -> None:
    """Some HSMs know no other OAEP: the KDH signs that it is theirs, so that nobody lowers it."""
    clear = os.urandom(16)
    oaep = OAEP(mgf=MGF1(SHA1()), algorithm=SHA1(), label=None)  # noqa: S303 - what such an HSM does
    encrypted = b64url(bench.keys.private_key.public_key().encrypt(clear, oaep))
    refused(bench, bench.token(encrypted_key=encrypted), EppCode.CONTENT_INVALID)
    token = bench.token(encrypted_key=encrypted, key_encryption="RSA-OAEP")
    imported = bench.epp.import_key_token(token, request_id=REQUEST)
    assert imported.key_check_value == key_check_value(KeyAlgorithm.AES_128, clear)


@pytest.mark.parametrize(
    "name",
    ["request_id", "krd_nonce", "exp", "key_usage", "epp_fingerprint", "key_encryption"],
)
def test_a_token_that_leaves_something_out_is_refused(bench: Bench, name: str) -> None:
    """A token has to say everything that binds it."""
    payload = bench.payload()
    del payload[name]
    refused(bench, bench.forge.token(payload), EppCode.FORMAT_INVALID)


def test_another_epps_token_does_not_open(bench: Bench) -> None:
    """A token with this EPP's fingerprint over a key encrypted to another EPP does not open."""
    other = sample_epp("another", 2048).private_key.public_key()
    token = bench.token(encrypted_key=encrypted_to(other, bytes(16)))
    refused(bench, token, EppCode.CONTENT_INVALID)


@pytest.mark.parametrize(
    "key",
    [
        bytes([TDES_KEY[0] ^ 1]) + TDES_KEY[1:],
        TDES_KEY[:16] + TDES_KEY[:8],
        TDES_KEY[:8] * 3,
    ],
    ids=["parity", "double-length", "single-length"],
)
def test_a_malformed_tdes_key_is_refused(bench: Bench, key: bytes) -> None:
    """A TDES TMK has odd parity and three distinct parts, or is not loaded."""
    refused(bench, bench.token(key, key_algorithm="TDES"), EppCode.CONTENT_INVALID)


def test_another_kdhs_signature_is_refused(bench: Bench) -> None:
    """A whole token of a KDH that is not the pinned one is refused, however right otherwise."""
    rogue = TokenForge(sample_kdh("rogue"))
    refused(bench, rogue.token(bench.payload()), EppCode.SIGNATURE_INVALID)


def test_the_pinned_certificate_over_anothers_signature_is_refused(bench: Bench) -> None:
    """Naming the pinned KDH in kid and x5c does not help a signature by another key."""
    rogue = TokenForge(sample_kdh("rogue"))
    token = rogue.token(bench.payload(), header=bench.forge.header())
    refused(bench, token, EppCode.SIGNATURE_INVALID)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"alg": "RS256"}, EppCode.FORMAT_INVALID),
        ({"alg": "none"}, EppCode.FORMAT_INVALID),
        ({"alg": "HS256"}, EppCode.FORMAT_INVALID),
        ({"typ": "keyfill.confirmation+jws"}, EppCode.FORMAT_INVALID),
        ({"jwk": {}}, EppCode.FORMAT_INVALID),
        ({"crit": ["exp"]}, EppCode.FORMAT_INVALID),
        ({"b64": False}, EppCode.FORMAT_INVALID),
        ({"x5c": []}, EppCode.FORMAT_INVALID),
        ({"x5c": ["?"]}, EppCode.FORMAT_INVALID),
        ({"x5c": "?"}, EppCode.FORMAT_INVALID),
        ({"kid": "A" * 43}, EppCode.SIGNATURE_INVALID),
    ],
)
def test_another_header_is_refused(bench: Bench, change: dict[str, Any], code: EppCode) -> None:
    """The header holds alg, typ, kid and x5c as documented, and nothing else."""
    header = {**bench.forge.header(), **change}
    refused(bench, bench.forge.token(bench.payload(), header=header), code)


def test_a_second_certificate_is_refused(bench: Bench) -> None:
    """The x5c is the KDH's certificate alone."""
    header = bench.forge.header()
    header["x5c"] = header["x5c"] * 2
    refused(bench, bench.forge.token(bench.payload(), header=header), EppCode.FORMAT_INVALID)


def test_a_payload_with_duplicate_members_is_refused(bench: Bench) -> None:
    """A payload that says two things under one name says nothing, even signed."""
    payload = canonical_json(bench.payload())
    doubled = payload[:-1] + b',"key_usage":"K1"}'
    token = bench.forge.raw(canonical_json(bench.forge.header()), doubled)
    refused(bench, token, EppCode.FORMAT_INVALID)


@pytest.mark.parametrize("token", [b"", b"..", b"a.b", b"a.b.c.d", b"\xff.a.b", b"x" * 20_000])
def test_what_is_no_token_is_refused(bench: Bench, token: bytes) -> None:
    """Anything else than a compact JWS is formatInvalid."""
    bench.epp.start_key_exchange()
    refused(bench, token, EppCode.FORMAT_INVALID)


@pytest.mark.parametrize("ending", [b"=", b"==", b"\n", b" ", b".", b"A"])
def test_a_token_has_one_spelling(bench: Bench, ending: bytes) -> None:
    """Padding, space or anything after the signature is refused: its digest would be another."""
    token = bench.token()
    with pytest.raises(EppError):
        bench.epp.import_key_token(token + ending, request_id=REQUEST)
    bench.epp.import_key_token(token, request_id=REQUEST)


def test_any_bit_flipped_in_a_token_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No bit of a token, signature and certificate included, can change."""
    bench = Bench.make(tmp_path_factory.mktemp("flip") / "epp")
    token = bench.token()
    before = bench.sealed()

    @settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
    @given(st.integers(0, 8 * len(token) - 1))
    def flip(bit: int) -> None:
        flipped = bytearray(token)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(EppError):
            bench.epp.import_key_token(bytes(flipped), request_id=REQUEST)
        assert bench.sealed() == before

    flip()
    bench.epp.import_key_token(token, request_id=REQUEST)


def test_the_same_key_is_a_duplicate(bench: Bench) -> None:
    """A key that is in is not loaded again: not for its request, not as another's, by any name."""
    key = os.urandom(16)
    bench.epp.import_key_token(bench.token(key), request_id=REQUEST)
    refused(bench, bench.token(key), EppCode.DUPLICATE_KEY)
    token = bench.token(key, request_id="B" * 24)
    refused(bench, token, EppCode.DUPLICATE_KEY, request_id="B" * 24)
    before = bench.sealed()
    with pytest.raises(EppError) as caught:
        bench.epp.import_key_token(bench.token(key), request_id=REQUEST, key="OTHER")
    assert caught.value.code is EppCode.DUPLICATE_KEY
    assert bench.sealed() == before


def test_a_second_key_of_one_request_is_a_duplicate(bench: Bench) -> None:
    """One request brings one key: a token with another key under its id is refused."""
    bench.epp.import_key_token(bench.token(), request_id=REQUEST)
    refused(bench, bench.token(), EppCode.DUPLICATE_KEY)


def test_a_full_epp_refuses_another_name_only(bench: Bench) -> None:
    """With the key RAM full a new name is noKeyRam; replacing a key or deleting one makes room."""
    for number in range(CAPACITY):
        request = f"{number}" * 24
        token = bench.token(request_id=request)
        bench.epp.import_key_token(token, request_id=request, key=f"KEY-{number}")
    payload = bench.payload()
    token = bench.forge.token(payload)
    before = bench.sealed()
    with pytest.raises(EppError) as caught:
        bench.epp.import_key_token(token, request_id=REQUEST, key="ONE-MORE")
    assert caught.value.code is EppCode.NO_KEY_RAM
    assert bench.sealed() == before
    bench.epp.delete_key("KEY-0")
    bench.epp.import_key_token(token, request_id=REQUEST, key="ONE-MORE")
    other = bench.token(request_id="C" * 24)
    bench.epp.import_key_token(other, request_id="C" * 24, key="KEY-1")
    assert len(bench.epp.get_key_detail()) == CAPACITY


def test_the_previous_key_stays_until_the_new_one_is_in(bench: Bench) -> None:
    """A refused load leaves the TMK in use; an accepted one replaces it under its name."""
    bench.epp.import_key_token(bench.token(), request_id=REQUEST)
    old = bench.epp.generate_kcv()
    expired = bench.token(request_id="B" * 24, exp=NOW)
    refused(bench, expired, EppCode.CONTENT_INVALID, request_id="B" * 24)
    assert bench.epp.generate_kcv() == old
    key = os.urandom(16)
    token = bench.token(key, request_id="B" * 24)
    imported = bench.epp.import_key_token(token, request_id="B" * 24)
    assert imported.key_check_value == key_check_value(KeyAlgorithm.AES_128, key)
    assert [detail.request_id for detail in bench.epp.get_key_detail()] == ["B" * 24]


def test_an_epp_without_a_pinned_kdh_takes_nothing(tmp_path: Path) -> None:
    """No host certificate, no import."""
    bench = Bench.make(tmp_path / "epp", kdh_thumbprint=None)
    refused(bench, bench.token(), EppCode.INVALID_CERT_STATE)


def test_an_expired_kdh_certificate_is_refused(bench: Bench) -> None:
    """The pin does not outlive the certificate that it pins."""
    bench.clock.now = sample_kdh().not_after + 1
    token = bench.token(exp=bench.clock.now + 1)
    refused(bench, token, EppCode.INVALID_CERT_STATE)


def test_a_loaded_key_survives_the_power_cut(bench: Bench) -> None:
    """After a restart the key is there, with the same KCV."""
    bench.epp.import_key_token(bench.token(), request_id=REQUEST)
    before = bench.epp.generate_kcv()
    restarted: Epp = bench.restart()
    assert restarted.generate_kcv() == before
    assert restarted.get_key_detail("TMK")[0].request_id == REQUEST


def test_nothing_secret_is_printed(bench: Bench) -> None:
    """Neither reprs nor errors hold the key."""
    key = os.urandom(16)
    token = bench.token(key)
    imported = bench.epp.import_key_token(token, request_id=REQUEST)
    with pytest.raises(EppError) as caught:
        bench.epp.import_key_token(bench.token(key), request_id=REQUEST)
    said = f"{imported!r} {bench.epp.get_key_detail()!r} {bench.epp!r} {caught.value!r}"
    assert key.hex() not in said
    assert repr(key) not in said
