"""The software key manager makes `tr34` tokens: right ones for the EPP, none against the terms."""

from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from keymanagement.checkvalue import key_check_value
from keymanagement.kdh import KdhIdentity
from keymanagement.port import (
    KeyAlgorithm,
    KeyBinding,
    TermsRefused,
    TokenTerms,
    TransportTooWeak,
)
from keymanagement.software import SoftwareKeyManager
from keymanagement.tr34.dialect import Dialect as Written
from keymanagement.tr34.form import ContentCipher, TokenForm
from terminal.tr34.binding import Anchors, Binding, Krd
from terminal.tr34.dialects import Dialect
from terminal.tr34.keytoken import Opened, TwoPass, open_key_token
from tests.support.certificates import sample_authority, sample_epp
from tests.support.keytokens import NONCE, NOW, terms_for

EPP = sample_epp("strength", 2048)


def terms_of(binding: KeyBinding) -> TokenTerms:
    """The terms of a token for the sample EPP."""
    return terms_for(EPP, terminal_no=binding.terminal_no, request_id=binding.request_id)


def opened(token: bytes, kdh: KdhIdentity) -> Opened:
    """A token as the sample EPP opens it."""
    return open_key_token(
        token,
        Krd(x509.load_der_x509_certificate(EPP.certificate), EPP.private_key),
        Binding(x509.load_der_x509_certificate(kdh.certificate_der)),
        Anchors(authority=None),
        TwoPass(bytes.fromhex(NONCE)),
        now=NOW,
    )


@pytest.mark.parametrize("algorithm", [KeyAlgorithm.AES_128, KeyAlgorithm.TDES])
def test_the_epp_gets_the_hosts_key(
    manager: SoftwareKeyManager, binding: KeyBinding, kdh: KdhIdentity, algorithm: KeyAlgorithm
) -> None:
    """What opens at the EPP has the check value of the host's copy, and is for a K1 key."""
    created = manager.create(algorithm, binding)
    token = manager.make_token(created.block, algorithm, binding, terms_of(binding), "tr34")
    read = opened(token.value, kdh)
    assert key_check_value(algorithm, read.block.key) == created.kcv
    assert (token.format, token.key_algorithm, read.block.usage) == ("tr34", algorithm, "K1")
    assert read.dialect is Dialect.STRICT_CMS
    assert bytes.fromhex(created.kcv) not in token.value


def test_a_model_may_ask_for_annex_b_and_3des(
    manager: SoftwareKeyManager, kdh: KdhIdentity, binding: KeyBinding
) -> None:
    """Dialect and envelope are configuration, for EPPs that read nothing else."""
    form = TokenForm(dialect=Written.ANNEXB_ERRATA, cipher=ContentCipher.TDES)
    terms = replace(terms_of(binding), form=form)
    created = manager.create(KeyAlgorithm.TDES, binding)
    token = manager.make_token(created.block, KeyAlgorithm.TDES, binding, terms, "tr34")
    assert opened(token.value, kdh).dialect is Dialect.ANNEXB_ERRATA


@pytest.mark.parametrize("algorithm", [KeyAlgorithm.AES_192, KeyAlgorithm.AES_256])
def test_a_longer_key_than_the_envelope_is_refused(
    manager: SoftwareKeyManager, binding: KeyBinding, algorithm: KeyAlgorithm
) -> None:
    """TR-34's envelope is AES-128, however long the EPP's RSA key."""
    big = sample_epp("strength", 4096)
    terms = terms_for(big, terminal_no=binding.terminal_no, request_id=binding.request_id)
    block = manager.create(algorithm, binding).block
    with pytest.raises(TransportTooWeak, match="envelope"):
        manager.make_token(block, algorithm, binding, terms, "tr34")


def test_terms_that_contradict_are_refused(
    manager: SoftwareKeyManager, binding: KeyBinding, kdh: KdhIdentity
) -> None:
    """Another request, another certificate, a wrong nonce or an expired KDH make no token."""
    block = manager.create(KeyAlgorithm.AES_128, binding).block
    terms = terms_of(binding)
    signing = sample_authority().issue(
        EPP.private_key.public_key(), usages=frozenset({"key_encipherment", "digital_signature"})
    )
    fingerprint = x509.load_der_x509_certificate(signing).fingerprint(SHA256()).hex()
    for wrong in (
        replace(terms, request_id="B" * 24),
        replace(terms, epp_fingerprint="00" * 32),
        replace(terms, krd_nonce="0f" * 15),
        replace(terms, expires_at=kdh.not_after + 1),
        replace(terms, epp_certificate_der=signing, epp_fingerprint=fingerprint),
    ):
        with pytest.raises(TermsRefused):
            manager.make_token(block, KeyAlgorithm.AES_128, binding, wrong, "tr34")
