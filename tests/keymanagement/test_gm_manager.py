"""The software key manager makes `gm-envelope` tokens: for SM2 EPPs, with SM4 keys, and only so."""

from dataclasses import replace
from typing import Any

import pytest

from ceremony.sm2 import Sm2PublicKey
from keymanagement.checkvalue import key_check_value
from keymanagement.gm import sm2
from keymanagement.kdh import KdhIdentity
from keymanagement.policy import CARRIED
from keymanagement.port import (
    FormatUnsupported,
    KeyAlgorithm,
    KeyBinding,
    TermsRefused,
    TokenTerms,
    TransportTooWeak,
)
from keymanagement.software import SoftwareKeyManager
from keymanagement.strength import require_transport
from terminal.gm.keytoken import open_key_token
from tests.support.certificates import sample_epp
from tests.support.gmworld import (
    NONCE,
    gm_kdh,
    gm_terms,
    gm_token,
    host_certificate,
    recipient,
    sm2_epp,
)
from tests.support.keytokens import terms_for

SM4 = KeyAlgorithm.SM4
RSA = sample_epp("strength", 2048)


@pytest.fixture(scope="module")
def gm_manager(kek: bytes, kdh: KdhIdentity) -> SoftwareKeyManager:
    """A key manager that has the KDH's SM2 identity beside the RSA one."""
    return SoftwareKeyManager(kek, kdh, gm_kdh())


def terms_of(binding: KeyBinding, **changes: Any) -> TokenTerms:
    """The terms of a token for the sample SM2 EPP."""
    terms = gm_terms(terminal_no=binding.terminal_no, request_id=binding.request_id)
    return replace(terms, **changes)


def test_the_epp_gets_the_hosts_key(gm_manager: SoftwareKeyManager, binding: KeyBinding) -> None:
    """What opens at the EPP has the check value of the host's copy, and is for a K1 key."""
    created = gm_manager.create(SM4, binding)
    assert gm_manager.kcv(created.block, SM4, binding) == created.kcv
    token = gm_manager.make_token(created.block, SM4, binding, terms_of(binding), "gm-envelope")
    mine = recipient(terminal_no=binding.terminal_no, request_id=binding.request_id)
    read = open_key_token(token.value, mine, host_certificate())
    assert key_check_value(SM4, read.key) == created.kcv
    assert (token.format, token.key_algorithm) == ("gm-envelope", SM4)
    assert read.terms.nonce == NONCE
    assert bytes.fromhex(created.kcv) not in token.value
    assert read.key not in token.value


def test_two_tokens_of_one_key_have_nothing_secret_in_common(
    gm_manager: SoftwareKeyManager, binding: KeyBinding
) -> None:
    """Content key, IV and SM2's own nonces are new in each: the envelopes differ throughout."""
    created = gm_manager.create(SM4, binding)
    tokens = {
        gm_manager.make_token(created.block, SM4, binding, terms_of(binding), "gm-envelope").digest
        for _ in range(3)
    }
    assert len(tokens) == 3


def test_formats_and_algorithms_go_together(
    gm_manager: SoftwareKeyManager, manager: SoftwareKeyManager
) -> None:
    """SM4 travels as `gm-envelope` alone, and that carries nothing else; one table says so."""
    assert gm_manager.formats_for(SM4) == ("gm-envelope",)
    assert gm_manager.formats_for(KeyAlgorithm.AES_128) == ("tr34", "oaep-jws")
    assert gm_manager.formats_for(KeyAlgorithm.TDES) == ("tr34", "oaep-jws")
    assert gm_manager.formats_for(KeyAlgorithm.AES_256) == ("oaep-jws",)
    assert manager.formats_for(SM4) == ()
    for name, algorithms in CARRIED.items():
        assert algorithms == {one for one in KeyAlgorithm if name in gm_manager.formats_for(one)}


def test_without_an_sm2_identity_the_format_is_not_offered(
    manager: SoftwareKeyManager, binding: KeyBinding
) -> None:
    """A key manager without it makes SM4 keys and no token for them."""
    created = manager.create(SM4, binding)
    with pytest.raises(FormatUnsupported, match="tr34, oaep-jws only"):
        manager.make_token(created.block, SM4, binding, terms_of(binding), "gm-envelope")


@pytest.mark.parametrize("token_format", ["tr34", "oaep-jws"])
@pytest.mark.parametrize("algorithm", [SM4, KeyAlgorithm.AES_128])
def test_an_sm2_epp_gets_no_rsa_format(
    gm_manager: SoftwareKeyManager, binding: KeyBinding, token_format: str, algorithm: KeyAlgorithm
) -> None:
    """Its key opens none of them."""
    created = gm_manager.create(algorithm, binding)
    with pytest.raises(FormatUnsupported):
        gm_manager.make_token(created.block, algorithm, binding, terms_of(binding), token_format)


def test_an_rsa_epp_gets_no_sm4_key(gm_manager: SoftwareKeyManager, binding: KeyBinding) -> None:
    """Neither enveloped for a key that it has not, nor under one that no SM4 key travels under."""
    created = gm_manager.create(SM4, binding)
    terms = terms_for(RSA, terminal_no=binding.terminal_no, request_id=binding.request_id)
    for token_format, error in (
        ("gm-envelope", FormatUnsupported),
        ("oaep-jws", FormatUnsupported),
        ("tr34", TransportTooWeak),
    ):
        with pytest.raises(error):
            gm_manager.make_token(created.block, SM4, binding, terms, token_format)


def test_an_sm2_epp_gets_sm4_keys_only(gm_manager: SoftwareKeyManager, binding: KeyBinding) -> None:
    """An AES key is not put into the format, although SM2 would be strong enough for AES-128."""
    created = gm_manager.create(KeyAlgorithm.AES_128, binding)
    with pytest.raises(FormatUnsupported):
        gm_manager.make_token(
            created.block, KeyAlgorithm.AES_128, binding, terms_of(binding), "gm-envelope"
        )


def test_a_token_does_not_outlive_the_kdh(
    gm_manager: SoftwareKeyManager, binding: KeyBinding
) -> None:
    """Its end is the certificate's at the latest."""
    created = gm_manager.create(SM4, binding)
    last = gm_kdh().not_after
    gm_manager.make_token(
        created.block, SM4, binding, terms_of(binding, expires_at=last), "gm-envelope"
    )
    with pytest.raises(TermsRefused, match="outlive"):
        gm_manager.make_token(
            created.block, SM4, binding, terms_of(binding, expires_at=last + 1), "gm-envelope"
        )


@pytest.mark.parametrize("length", [0, 15, 17, 24])
def test_only_a_key_of_16_bytes_is_composed(length: int) -> None:
    """Nothing else is enveloped as an SM4 key."""
    with pytest.raises(TermsRefused, match="16 bytes"):
        gm_token(key=bytes(length))


def test_sm2_is_as_strong_as_128_bits() -> None:
    """SM2 carries keys of up to 128 bits; RSA-2048 carries SM4 as it carries AES-128."""
    key = Sm2PublicKey(sm2_epp().pair.point)
    for algorithm in (SM4, KeyAlgorithm.AES_128, KeyAlgorithm.TDES):
        require_transport(algorithm, key)
    for algorithm in (KeyAlgorithm.AES_192, KeyAlgorithm.AES_256):
        with pytest.raises(TransportTooWeak, match="SM2 does not carry"):
            require_transport(algorithm, key)
    require_transport(SM4, RSA.private_key.public_key())


def test_without_the_library_a_typed_error_says_so(
    gm_manager: SoftwareKeyManager, binding: KeyBinding, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine without `gmssl-pyx` the format is unsupported, and the message names why."""
    created = gm_manager.create(SM4, binding)
    monkeypatch.setattr(sm2, "_gmssl", None)
    assert not sm2.available()
    with pytest.raises(sm2.Sm2Missing, match="gmssl-pyx") as error:
        gm_manager.make_token(created.block, SM4, binding, terms_of(binding), "gm-envelope")
    assert isinstance(error.value, FormatUnsupported)
