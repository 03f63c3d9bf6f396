"""ImportKeyToken with `tr34` tokens: what the sample EPP takes, and each way that it does not."""

import os
from pathlib import Path

import pytest
from cryptography import x509

from keymanagement.checkvalue import key_check_value
from keymanagement.port import KeyAlgorithm
from keymanagement.tr34.header import KeyBlockHeader
from keymanagement.tr34.identity import CmsSigner
from keymanagement.tr34.keytoken import OnePass, TwoPass, compose
from terminal.epp import HOST_KEY
from terminal.epperrors import EppCode, EppError
from tests.support.certificates import sample_epp
from tests.support.eppbench import REQUEST, Bench
from tests.support.keytokens import NOW, sample_kdh


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """An EPP that knows its KDH's certificate."""
    return Bench.make(tmp_path / "epp", kdh_certificate=sample_kdh().certificate_der)


def token(
    bench: Bench,
    key: bytes | None = None,
    *,
    nonce: bytes | None = None,
    signer: CmsSigner | None = None,
    header: KeyBlockHeader | None = None,
    recipient: bytes | None = None,
) -> bytes:
    """A token for a new nonce, right unless bent."""
    return compose(
        os.urandom(16) if key is None else key,
        header or KeyBlockHeader(KeyAlgorithm.AES_128),
        x509.load_der_x509_certificate(recipient or bench.keys.certificate),
        signer or sample_kdh(),
        TwoPass(bench.epp.start_key_exchange() if nonce is None else nonce),
    )


def refused(bench: Bench, made: bytes, code: EppCode, *, request_id: str = REQUEST) -> None:
    """The EPP refuses the token with this code, and its memory is as before."""
    before = bench.sealed()
    with pytest.raises(EppError) as caught:
        bench.epp.import_key_token(made, request_id=request_id, token_format="tr34")
    assert caught.value.code is code
    assert bench.sealed() == before


def test_a_right_token_is_loaded(bench: Bench) -> None:
    """The key is in under its name, with its check value, usage and request."""
    key = os.urandom(16)
    imported = bench.epp.import_key_token(
        token(bench, key), request_id=REQUEST, token_format="tr34"
    )
    assert imported.key_check_value == key_check_value(KeyAlgorithm.AES_128, key)
    assert imported.key_length == 128
    (detail,) = bench.epp.get_key_detail()
    assert (detail.key_usage, detail.algorithm, detail.request_id) == ("K1", "AES-128", REQUEST)


def test_a_nonce_answers_once(bench: Bench) -> None:
    """Neither the same token again nor another for the same nonce is taken after the import."""
    nonce = bench.epp.start_key_exchange()
    made, other = token(bench, nonce=nonce), token(bench, nonce=nonce)
    bench.epp.import_key_token(made, request_id=REQUEST, token_format="tr34")
    refused(bench, made, EppCode.RANDOM_INVALID)
    refused(bench, other, EppCode.RANDOM_INVALID, request_id="B" * 24)


def test_the_outstanding_nonce_is_the_one(bench: Bench) -> None:
    """No nonce, a newer one, or a restart: randomInvalid."""
    refused(bench, token(bench, nonce=bytes(16)), EppCode.RANDOM_INVALID)
    older = token(bench)
    newer = token(bench)
    refused(bench, older, EppCode.RANDOM_INVALID)
    bench.restart()
    refused(bench, newer, EppCode.RANDOM_INVALID)


def test_a_one_pass_token_is_not_taken(bench: Bench) -> None:
    """LoadOption `random` asks for the nonce, and a time is none."""
    bench.epp.start_key_exchange()
    made = compose(
        bytes(16),
        KeyBlockHeader(KeyAlgorithm.AES_128),
        x509.load_der_x509_certificate(bench.keys.certificate),
        sample_kdh(),
        OnePass(NOW),
    )
    refused(bench, made, EppCode.RANDOM_INVALID)


def test_a_token_of_another_kdh_for_another_epp_or_use_is_refused(bench: Bench) -> None:
    """Signer, recipient and header, as the rules say (test_tr34_rules has them all)."""
    refused(bench, token(bench, signer=sample_kdh("rogue")), EppCode.SIGNATURE_INVALID)
    other = sample_epp("another", 2048).certificate
    refused(bench, token(bench, recipient=other), EppCode.CONTENT_INVALID)
    kek = KeyBlockHeader(KeyAlgorithm.AES_128, "K0")
    refused(bench, token(bench, header=kek), EppCode.USE_VIOLATION)


def test_the_same_key_is_a_duplicate(bench: Bench) -> None:
    """A key that is in is not loaded again, in whatever format."""
    key = os.urandom(16)
    bench.epp.import_key_token(bench.token(key), request_id=REQUEST)
    refused(bench, token(bench, key), EppCode.DUPLICATE_KEY, request_id="B" * 24)


def test_a_format_is_what_it_says(bench: Bench) -> None:
    """A token of one format under the other's name is formatInvalid, and so is a third name."""
    nonce = bench.epp.start_key_exchange()
    refused(bench, bench.token(), EppCode.FORMAT_INVALID)
    made = token(bench, nonce=nonce)
    for name in ("oaep-jws", "raw", ""):
        with pytest.raises(EppError) as caught:
            bench.epp.import_key_token(made, request_id=REQUEST, token_format=name)
        assert caught.value.code is EppCode.FORMAT_INVALID


def test_an_epp_that_lacks_the_certificate_takes_no_tr34_token(tmp_path: Path) -> None:
    """The token does not bring the KDH's certificate; the pin alone verifies nothing."""
    bench = Bench.make(tmp_path / "epp")
    refused(bench, token(bench), EppCode.INVALID_CERT_STATE)
    with pytest.raises(EppError) as caught:
        bench.epp.get_certificate(HOST_KEY)
    assert caught.value.code is EppCode.INVALID_CERT_STATE


def test_a_certificate_that_is_not_the_pinned_one_is_not_used(tmp_path: Path) -> None:
    """Certificate and pin have to agree."""
    rogue = sample_kdh("rogue")
    bench = Bench.make(tmp_path / "epp", kdh_certificate=rogue.certificate_der)
    refused(bench, token(bench, signer=rogue), EppCode.INVALID_CERT_STATE)


def test_an_expired_kdh_certificate_is_refused(bench: Bench) -> None:
    """The pin does not outlive the certificate that it pins."""
    bench.clock.now = sample_kdh().not_after + 1
    refused(bench, token(bench), EppCode.INVALID_CERT_STATE)


def test_get_certificate_gives_the_hosts(bench: Bench) -> None:
    """GetCertificate, `hostkey`."""
    assert bench.epp.get_certificate(HOST_KEY) == sample_kdh().certificate_der
