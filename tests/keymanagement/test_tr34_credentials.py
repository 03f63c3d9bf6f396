"""Credential, rebind and unbind tokens: the host writes what openssl accepts and reads KRDs'."""

import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import load_der_pkcs7_certificates

from keymanagement.port import TermsRefused
from keymanagement.tr34.credentials import (
    CredentialMalformed,
    authority_rebind,
    authority_unbind,
    kdh_credential,
    kdh_rebind,
    kdh_unbind,
    read_krd_credential,
    read_krd_random,
)
from keymanagement.tr34.der import NULL, context, integer, sequence, set_of
from keymanagement.tr34.identifiers import DATA, SIGNED_DATA
from keymanagement.tr34.identity import issuer_and_serial
from keymanagement.tr34.signeddata import container
from terminal.tr34.krdtokens import krd_credential, krd_random
from tests.support.tr34world import NONCE, NOW, Signer, authority, crl, kdh, krd, overseer

needs_openssl = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="the openssl command is the second implementation"
)


def openssl(*arguments: str | Path, cwd: Path) -> bytes:
    """Run openssl and return what it prints."""
    done = subprocess.run(
        ["openssl", *map(str, arguments)], check=False, capture_output=True, cwd=cwd
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def verified(token: bytes, signer: Signer, folder: Path) -> bytes:
    """The content of a token whose signature openssl verified, to the root."""
    (folder / "token").write_bytes(token)
    (folder / "signer").write_bytes(signer.certificate.public_bytes(Encoding.PEM))
    (folder / "root").write_bytes(authority().public_bytes(Encoding.PEM))
    return openssl(
        *("cms", "-verify", "-binary", "-inform", "DER", "-in", "token", "-certfile", "signer"),
        *("-CAfile", "root", "-purpose", "any", "-attime", str(NOW)),
        cwd=folder,
    )


@needs_openssl
def test_openssl_makes_the_same_kdh_credential(tmp_path: Path) -> None:
    """CT-KDH is what `openssl crl2pkcs7` makes of certificate and list, byte by byte."""
    listed = crl()
    (tmp_path / "kdh").write_bytes(kdh().certificate.public_bytes(Encoding.PEM))
    (tmp_path / "crl").write_bytes(listed)
    made = openssl(
        *("crl2pkcs7", "-certfile", "kdh", "-in", "crl", "-inform", "DER", "-outform", "DER"),
        cwd=tmp_path,
    )
    assert kdh_credential(kdh().certificate, listed) == made


@needs_openssl
def test_openssl_verifies_the_unbind_tokens(tmp_path: Path) -> None:
    """UBT-KDH names the KRD; UBT-CA the KRD and the KDH, one after the other."""
    krd_name = issuer_and_serial(krd().certificate)
    both = krd_name + issuer_and_serial(kdh().certificate)
    ubt_kdh = kdh_unbind(krd().certificate, NONCE, kdh())
    ubt_ca = authority_unbind(krd().certificate, kdh().certificate, overseer())
    assert verified(ubt_kdh, kdh(), tmp_path) == krd_name
    assert verified(ubt_ca, overseer(), tmp_path) == both


@needs_openssl
def test_openssl_verifies_the_rebind_tokens(tmp_path: Path) -> None:
    """RBT-KDH and RBT-CA hold an unsigned SignedData with the new KDH's certificate and list."""
    new = kdh("new KDH").certificate
    rbt_kdh = kdh_rebind(krd().certificate, NONCE, new, crl(), kdh())
    rbt_ca = authority_rebind(krd().certificate, kdh().certificate, new, crl(), overseer())
    for token, signer in ((rbt_kdh, kdh()), (rbt_ca, overseer())):
        inner = verified(token, signer, tmp_path)
        signed_data = bytes.fromhex("06092a864886f70d010702")
        explicit = b"\xa0\x82" + len(inner).to_bytes(2, "big") + inner
        body = signed_data + explicit
        info = b"\x30\x82" + len(body).to_bytes(2, "big") + body
        assert load_der_pkcs7_certificates(info) == [new]


def test_the_host_reads_what_a_krd_writes() -> None:
    """CT-KRD and RT-KRD: certificate and nonce come through."""
    assert read_krd_credential(krd_credential(krd())) == krd().certificate
    assert read_krd_random(krd_random(NONCE)) == NONCE


def test_a_krds_nonce_is_the_attribute_that_comes_back() -> None:
    """RT-KRD is SEQUENCE { randomNonce, SET { OCTET STRING } } (KEY_TOKENS, 2a)."""
    assert krd_random(NONCE).hex() == "3020060a2a864886f70d0109190331120410" + NONCE.hex()


def test_a_kdhs_credential_is_no_krds() -> None:
    """A CT-KDH, which has a revocation list, is not read as a CT-KRD."""
    with pytest.raises(CredentialMalformed):
        read_krd_credential(kdh_credential(kdh().certificate, crl()))


def test_a_signed_token_is_no_krds_credential() -> None:
    """What somebody signed is another token."""
    with pytest.raises(CredentialMalformed):
        read_krd_credential(kdh_unbind(krd().certificate, NONCE, kdh()))


def test_a_credential_with_a_signer_is_no_krds() -> None:
    """A certificate and a signature together are another token still."""
    certificate = krd().certificate.public_bytes(Encoding.DER)
    members = (integer(1), set_of(), sequence(DATA), context(0, certificate))
    for signers, read in ((set_of(), True), (set_of(NULL), False)):
        token = sequence(SIGNED_DATA, context(0, sequence(*members, signers)))
        if read:
            assert read_krd_credential(token) == krd().certificate
            continue
        with pytest.raises(CredentialMalformed):
            read_krd_credential(token)


@pytest.mark.parametrize(
    "token",
    [b"", b"\x30\x00", bytes(20_000), krd_random(NONCE), container(krd().certificate) + b"\x00"],
    ids=["nothing", "empty", "too long", "a nonce", "more after it"],
)
def test_what_is_no_credential_is_refused(token: bytes) -> None:
    """Anything else than a CT-KRD is malformed."""
    with pytest.raises(CredentialMalformed):
        read_krd_credential(token)


@pytest.mark.parametrize(
    "token",
    [
        b"",
        krd_random(b"1234567"),
        krd_random(bytes(17)),
        krd_random(NONCE) + b"\x00",
        krd_random(NONCE).replace(b"\x09\x19\x03", b"\x09\x19\x04"),
        bytes.fromhex("302a060a2a864886f70d01091903311c")
        + b"\x04\x0c"
        + bytes(12)
        + b"\x04\x0c"
        + bytes(12),
        krd_credential(krd()),
    ],
    ids=["nothing", "short", "long", "more after it", "another attribute", "two", "credential"],
)
def test_what_is_no_nonce_is_refused(token: bytes) -> None:
    """Anything else than one randomNonce of 8 to 16 bytes is malformed."""
    with pytest.raises(CredentialMalformed):
        read_krd_random(token)


def test_a_nonce_of_another_length_is_not_signed() -> None:
    """The tokens on a nonce ask for the same 8 to 16 bytes."""
    with pytest.raises(TermsRefused):
        kdh_unbind(krd().certificate, b"1234567", kdh())
