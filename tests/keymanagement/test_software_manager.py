"""The software key manager: the keys that it makes, and whom it wraps them for."""

import logging
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from ceremony.encoding import from_b64url, sha256_hex, strict_json
from keymanagement.checkvalue import key_check_value
from keymanagement.hostcopy import HostCopies
from keymanagement.kdh import KdhIdentity
from keymanagement.port import (
    FormatUnsupported,
    HostCopyInvalid,
    KeyAlgorithm,
    KeyBinding,
    KeyManager,
    TermsRefused,
    TokenTerms,
    TransportTooWeak,
)
from keymanagement.software import SoftwareKeyManager
from keymanagement.tdeskey import with_odd_parity
from tests.support.certificates import Epp, sample_authority, sample_epp
from tests.support.keytokens import OAEP_SHA256, terms_for


def terms_of(binding: KeyBinding, epp: Epp) -> TokenTerms:
    """The terms of a token for this binding."""
    return terms_for(epp, terminal_no=binding.terminal_no, request_id=binding.request_id)


def opened(token: bytes, epp: Epp) -> bytes:
    """The clear key in a token, by the EPP's private key."""
    payload = strict_json(from_b64url(token.decode().split(".")[1]))
    return epp.private_key.decrypt(from_b64url(payload["encrypted_key"]), OAEP_SHA256)


def test_it_answers_the_port(manager: SoftwareKeyManager) -> None:
    """The software manager makes tr34 where its envelope is strong enough, and oaep-jws."""
    port: KeyManager = manager
    for algorithm in (KeyAlgorithm.AES_128, KeyAlgorithm.TDES):
        assert port.formats_for(algorithm) == ("tr34", "oaep-jws")
    for algorithm in (KeyAlgorithm.AES_192, KeyAlgorithm.AES_256):
        assert port.formats_for(algorithm) == ("oaep-jws",)


@pytest.mark.parametrize("algorithm", list(KeyAlgorithm))
def test_every_key_is_new_and_bound(
    algorithm: KeyAlgorithm, manager: SoftwareKeyManager, binding: KeyBinding, kek: bytes
) -> None:
    """Keys of one request differ, open under the KEK for this binding, and have their KCV."""
    created = [manager.create(algorithm, binding) for _ in range(20)]
    clear = [HostCopies(kek).open(one.block, algorithm, binding) for one in created]
    assert len(set(clear)) == len(clear)
    assert [one.kcv for one in created] == [key_check_value(algorithm, key) for key in clear]
    assert [manager.kcv(one.block, algorithm, binding) for one in created] == [
        one.kcv for one in created
    ]


def test_tdes_keys_have_odd_parity_and_three_parts(
    manager: SoftwareKeyManager, binding: KeyBinding, kek: bytes
) -> None:
    """A TDES TMK is no double-length key in disguise, and every byte has odd parity."""
    for _ in range(50):
        block = manager.create(KeyAlgorithm.TDES, binding).block
        key = HostCopies(kek).open(block, KeyAlgorithm.TDES, binding)
        assert all(byte.bit_count() % 2 == 1 for byte in key)
        assert len({key[:8], key[8:16], key[16:]}) == 3


def test_a_tdes_key_with_equal_parts_is_made_again(
    monkeypatch: pytest.MonkeyPatch, manager: SoftwareKeyManager, binding: KeyBinding, kek: bytes
) -> None:
    """Parts that differ in parity bits alone are equal, and a second draw replaces them."""
    draws = iter([bytes(8) + bytes([1] * 8) + bytes([2] * 8), bytes(range(0, 48, 2))])
    with monkeypatch.context() as patch:
        patch.setattr(
            "keymanagement.software.os.urandom",
            lambda length: next(draws) if length == 24 else bytes(length),
        )
        block = manager.create(KeyAlgorithm.TDES, binding).block
    key = HostCopies(kek).open(block, KeyAlgorithm.TDES, binding)
    assert key == with_odd_parity(bytes(range(0, 48, 2)))


def test_parity_changes_only_the_lowest_bits() -> None:
    """All 256 bytes get odd parity and keep their upper seven bits."""
    every = bytes(range(256))
    fixed = with_odd_parity(every)
    assert all(byte.bit_count() % 2 == 1 for byte in fixed)
    assert [byte >> 1 for byte in fixed] == [byte >> 1 for byte in every]


@pytest.mark.parametrize(
    ("algorithm", "bits"),
    [
        (KeyAlgorithm.TDES, 2048),
        (KeyAlgorithm.AES_128, 2048),
        (KeyAlgorithm.AES_192, 3072),
        (KeyAlgorithm.AES_256, 4096),
    ],
)
def test_the_token_opens_with_the_epps_key_only(
    algorithm: KeyAlgorithm,
    bits: int,
    manager: SoftwareKeyManager,
    binding: KeyBinding,
) -> None:
    """The key that the EPP takes out of a token has the KCV that the host has on record."""
    epp = sample_epp("strength", bits)
    created = manager.create(algorithm, binding)
    token = manager.make_token(
        created.block, algorithm, binding, terms_of(binding, epp), "oaep-jws"
    )
    key = opened(token.value, epp)
    assert len(key) == algorithm.key_bytes
    assert key_check_value(algorithm, key) == created.kcv
    assert (token.format, token.key_algorithm) == ("oaep-jws", algorithm)
    assert token.digest == sha256_hex(token.value)
    assert created.kcv.encode() not in token.value
    with pytest.raises(ValueError, match=r"."):
        opened(token.value, sample_epp("another", bits))


@pytest.mark.parametrize(
    ("algorithm", "bits"),
    [
        (KeyAlgorithm.AES_192, 2048),
        (KeyAlgorithm.AES_256, 2048),
        (KeyAlgorithm.AES_256, 3072),
        (KeyAlgorithm.TDES, 1024),
    ],
)
def test_a_weaker_transport_is_refused(
    algorithm: KeyAlgorithm, bits: int, manager: SoftwareKeyManager, binding: KeyBinding
) -> None:
    """No token is made for an EPP whose key is weaker than the rule asks."""
    block = manager.create(algorithm, binding).block
    terms = terms_of(binding, sample_epp("strength", bits))
    with pytest.raises(TransportTooWeak):
        manager.make_token(block, algorithm, binding, terms, "oaep-jws")


def test_terms_that_contradict_are_refused(
    manager: SoftwareKeyManager, binding: KeyBinding, kdh: KdhIdentity
) -> None:
    """Another binding's, another certificate's or self-contradicting terms make no token."""
    block = manager.create(KeyAlgorithm.AES_128, binding).block
    right = terms_of(binding, sample_epp("strength"))
    elliptic = sample_authority().issue(_elliptic_key())
    for wrong in (
        replace(right, terminal_no="ATM-0002"),
        replace(right, request_id="B" * 24),
        replace(right, epp_fingerprint="00" * 32),
        replace(right, epp_certificate_der=sample_epp("another").certificate),
        replace(right, epp_certificate_der=b"x", epp_fingerprint=sha256_hex(b"x")),
        replace(right, epp_certificate_der=elliptic, epp_fingerprint=sha256_hex(elliptic)),
        replace(right, krd_nonce="0f" * 15),
        replace(right, krd_nonce="0F" * 16),
        replace(right, expires_at=right.issued_at),
        replace(right, expires_at=kdh.not_after + 1),
    ):
        with pytest.raises(TermsRefused):
            manager.make_token(block, KeyAlgorithm.AES_128, binding, wrong, "oaep-jws")
    last = replace(right, expires_at=kdh.not_after)
    token = manager.make_token(block, KeyAlgorithm.AES_128, binding, last, "oaep-jws")
    assert token.format == "oaep-jws"


def test_a_block_of_another_binding_makes_no_token(
    manager: SoftwareKeyManager, binding: KeyBinding
) -> None:
    """A host's copy that was moved to this request is not wrapped for it."""
    block = manager.create(KeyAlgorithm.AES_128, KeyBinding("ATM-0002", "A" * 24)).block
    terms = terms_of(binding, sample_epp("strength"))
    with pytest.raises(HostCopyInvalid):
        manager.make_token(block, KeyAlgorithm.AES_128, binding, terms, "oaep-jws")


def test_another_format_is_refused(manager: SoftwareKeyManager, binding: KeyBinding) -> None:
    """The software manager makes no format that it does not list."""
    block = manager.create(KeyAlgorithm.AES_128, binding).block
    terms = terms_of(binding, sample_epp("strength"))
    with pytest.raises(FormatUnsupported):
        manager.make_token(block, KeyAlgorithm.AES_128, binding, terms, "gm-envelope")


def test_nothing_secret_is_printed(
    manager: SoftwareKeyManager,
    binding: KeyBinding,
    kek: bytes,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Neither reprs, nor logs, nor errors hold the key, the KCV or the KEK."""
    caplog.set_level(logging.DEBUG)
    created = manager.create(KeyAlgorithm.AES_128, binding)
    key = HostCopies(kek).open(created.block, KeyAlgorithm.AES_128, binding)
    with pytest.raises(HostCopyInvalid) as caught:
        manager.kcv(created.block, KeyAlgorithm.AES_128, KeyBinding("ATM-0002", "A" * 24))
    said = f"{created!r} {manager!r} {caught.value!r} {caught.value.__cause__!r} {caplog.text}"
    for secret in (key.hex(), repr(key), created.kcv, kek.hex(), repr(kek)):
        assert secret not in said


def _elliptic_key() -> ec.EllipticCurvePublicKey:
    return ec.generate_private_key(ec.SECP256R1()).public_key()
