"""The KDH's identity: checked against itself before it signs anything."""

from hashlib import sha256

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from ceremony.encoding import b64url
from keymanagement.kdh import KDH_PURPOSE, KdhIdentity, KdhInvalid
from terminal import keytoken
from tests.support.certificates import rsa_key
from tests.support.keytokens import NOW, certificate_like_a_kdhs, sample_kdh, sample_kdh_files


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    """A private key as PKCS#8 PEM."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def test_a_development_identity_is_whole() -> None:
    """Key and certificate belong together; the thumbprint is SHA-256 of the DER, base64url."""
    kdh = sample_kdh()
    loaded = x509.load_der_x509_certificate(kdh.certificate_der)
    assert kdh.thumbprint == b64url(sha256(kdh.certificate_der).digest())
    assert kdh.not_after == int(loaded.not_valid_after_utc.timestamp())
    key = loaded.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    assert key.key_size == 3072
    pss = PSS(mgf=MGF1(SHA256()), salt_length=32)
    key.verify(kdh.sign(b"message"), b"message", pss, SHA256())


def test_both_sides_name_one_purpose() -> None:
    """The terminal looks for the purpose that the KDH's certificate has."""
    assert keytoken.KDH_PURPOSE == KDH_PURPOSE


def test_another_key_is_refused() -> None:
    """A certificate with another's key does not start."""
    with pytest.raises(KdhInvalid, match="not the one"):
        KdhIdentity.from_pem(
            pem(rsa_key("stranger", 3072)), sample_kdh_files().certificate_pem, now=NOW
        )


@pytest.mark.parametrize("now", [NOW - 61, NOW + 731 * 86_400])
def test_a_certificate_outside_its_time_is_refused(now: int) -> None:
    """A certificate is valid from its first second to its last."""
    files = sample_kdh_files()
    with pytest.raises(KdhInvalid, match="not valid now"):
        KdhIdentity.from_pem(files.key_pem, files.certificate_pem, now=now)


@pytest.mark.parametrize(
    ("purposes", "ca", "encipherment"),
    [
        (None, False, False),
        ([ExtendedKeyUsageOID.SERVER_AUTH], False, False),
        ([KDH_PURPOSE, ExtendedKeyUsageOID.CLIENT_AUTH], False, False),
        ([KDH_PURPOSE], True, False),
        ([KDH_PURPOSE], False, True),
    ],
)
def test_a_certificate_of_another_purpose_is_refused(
    purposes: list[x509.ObjectIdentifier] | None, ca: bool, encipherment: bool
) -> None:
    """A KDH's certificate signs tokens: it is no authority, no EPP's and no server's."""
    key = rsa_key("purpose", 3072)
    wrong = certificate_like_a_kdhs(key, purposes=purposes, ca=ca, encipherment=encipherment)
    with pytest.raises(KdhInvalid, match="purpose"):
        KdhIdentity.from_pem(pem(key), wrong, now=NOW)


def test_a_short_key_is_refused() -> None:
    """RSA-2048 does not sign tokens."""
    key = rsa_key("short", 2048)
    with pytest.raises(KdhInvalid, match="3072"):
        KdhIdentity.from_pem(
            pem(key), certificate_like_a_kdhs(key, purposes=[KDH_PURPOSE]), now=NOW
        )


def test_a_key_that_is_not_rsa_is_refused() -> None:
    """PS256 is an RSA signature."""
    key = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(KdhInvalid, match="RSA"):
        KdhIdentity.from_pem(
            pem(key), certificate_like_a_kdhs(key, purposes=[KDH_PURPOSE]), now=NOW
        )


def test_an_unreadable_key_is_not_quoted() -> None:
    """The error of a damaged key file shows nothing of the file."""
    files = sample_kdh_files()
    body = files.key_pem.splitlines()[5].decode()
    damaged = files.key_pem.replace(b"BEGIN", b"BEGUN")
    with pytest.raises(KdhInvalid) as caught:
        KdhIdentity.from_pem(damaged, files.certificate_pem, now=NOW)
    assert body not in repr(caught.value)
    assert caught.value.__cause__ is None


def test_an_identity_does_not_print_its_key() -> None:
    """Neither the identity nor its development files show the private key."""
    number = load_pem_private_key(sample_kdh_files().key_pem, password=None)
    assert isinstance(number, rsa.RSAPrivateKey)
    said = repr(sample_kdh()) + repr(sample_kdh_files())
    assert "PRIVATE" not in said
    assert str(number.private_numbers().d) not in said
