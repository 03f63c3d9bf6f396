"""EPP certificates at their edges: key sizes, exponents, and the first and last valid second."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from ceremony.eppcertificate import EntryError, read_epp_certificate
from ceremony.reasons import Reason
from tests.support.certificates import NOT_AFTER, NOT_BEFORE, rsa_key, sample_authority

ROOT = sample_authority()
FIRST, LAST = int(NOT_BEFORE.timestamp()), int(NOT_AFTER.timestamp())


def key_of(bits: int, exponent: int = 65_537) -> rsa.RSAPublicKey:
    """A public key with a modulus of this many bits; nobody knows its factors."""
    return rsa.RSAPublicNumbers(exponent, (1 << bits) - 1).public_key()


def refusal(der: bytes, now: int) -> Reason | None:
    """Why a certificate is refused now, or None."""
    try:
        read_epp_certificate(der, (ROOT.certificate,), now=now)
    except EntryError as error:
        return error.reason
    return None


@pytest.mark.parametrize("bits", [2048, 4096, 8192])
def test_an_epp_key_has_2048_to_8192_bits(bits: int) -> None:
    """Both ends are within."""
    assert refusal(ROOT.issue(key_of(bits)), FIRST) is None


@pytest.mark.parametrize("bits", [2047, 8193])
def test_another_size_is_refused(bits: int) -> None:
    """One bit less or more, and the certificate names no EPP."""
    assert refusal(ROOT.issue(key_of(bits)), FIRST) is Reason.EPP_KEY_WEAK


def test_a_small_exponent_is_refused() -> None:
    """65,537 or more (NIST SP 800-56B section 6.2.1): smaller ones leak through padding."""
    assert refusal(ROOT.issue(key_of(2048, 65_537)), FIRST) is None
    for exponent in (3, 17, 65_535):
        assert refusal(ROOT.issue(key_of(2048, exponent)), FIRST) is Reason.EPP_KEY_WEAK


def test_a_certificate_is_valid_from_its_first_to_its_last_second() -> None:
    """RFC 5280 section 4.1.2.5: both ends are inclusive."""
    der = ROOT.issue(rsa_key("EPP at its edges").public_key())
    assert [refusal(der, now) for now in (FIRST, LAST)] == [None, None]
    for now in (FIRST - 1, LAST + 1):
        assert refusal(der, now) is Reason.EPP_CERTIFICATE_EXPIRED


def test_a_certificate_that_says_nothing_of_authority_is_none() -> None:
    """RFC 5280 section 4.2.1.9: without basic constraints it is no authority, so an EPP's."""
    usage = x509.KeyUsage(False, False, True, False, False, False, False, False, False)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "EPP")]))
        .issuer_name(ROOT.certificate.subject)
        .public_key(rsa_key("EPP at its edges").public_key())
        .serial_number(7)
        .not_valid_before(NOT_BEFORE)
        .not_valid_after(NOT_AFTER)
        .add_extension(usage, critical=True)
        .sign(ROOT.key, SHA256())
    )
    assert refusal(certificate.public_bytes(Encoding.DER), FIRST) is None
