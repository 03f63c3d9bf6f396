"""EPP certificates at their edges: key sizes, exponents, and the first and last valid second."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa, x25519
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


P_256, UNKNOWN_CURVE = bytes.fromhex("2a8648ce3d030107"), bytes.fromhex("2a8648ce3d03017f")


def issued_under(root: x509.Certificate, der: bytes) -> Reason | None:
    """Why a certificate is refused now where this root is pinned, or None."""
    try:
        read_epp_certificate(der, (root,), now=FIRST)
    except EntryError as error:
        return error.reason
    return None


def test_a_root_that_can_verify_nothing_has_issued_nothing() -> None:
    """A key for agreement, an unknown curve, an unsaid authority: untrusted, never a fault."""
    der = ROOT.issue(rsa_key("EPP at its edges").public_key())
    plain = (
        x509.CertificateBuilder()
        .subject_name(ROOT.certificate.subject)
        .issuer_name(ROOT.certificate.subject)
        .serial_number(8)
        .not_valid_before(NOT_BEFORE)
        .not_valid_after(NOT_AFTER)
    )
    authority = x509.BasicConstraints(ca=True, path_length=None)
    agreeing = plain.public_key(x25519.X25519PrivateKey.generate().public_key())
    unsaid = plain.public_key(ROOT.key.public_key())
    for root in (agreeing.add_extension(authority, critical=True), unsaid):
        certificate = root.sign(ROOT.key, SHA256())
        assert issued_under(certificate, der) is Reason.EPP_CERTIFICATE_UNTRUSTED
    pinned = ROOT.certificate.public_bytes(Encoding.DER)
    assert P_256 in pinned
    elsewhere = x509.load_der_x509_certificate(pinned.replace(P_256, UNKNOWN_CURVE))
    assert issued_under(elsewhere, der) is Reason.EPP_CERTIFICATE_UNTRUSTED
    said = unsaid.add_extension(authority, critical=True).sign(ROOT.key, SHA256())
    assert issued_under(said, der) is None


VERSION_3, VERSION_5 = bytes.fromhex("a003020102"), bytes.fromhex("a003020104")
KEY_USAGE, CONSTRAINTS = bytes.fromhex("0603551d0f"), bytes.fromhex("0603551d13")
ECDSA_SHA256, ECDSA_UNKNOWN = (
    bytes.fromhex("06082a8648ce3d040302"),
    bytes.fromhex("06082a8648ce3d04037f"),
)


@pytest.mark.parametrize(
    ("genuine", "bent", "reason"),
    [
        (VERSION_3, VERSION_5, Reason.EPP_CERTIFICATE_MALFORMED),
        (ECDSA_SHA256, ECDSA_UNKNOWN, Reason.EPP_CERTIFICATE_UNTRUSTED),
    ],
)
def test_a_bent_certificate_is_refused_with_a_reason(
    genuine: bytes, bent: bytes, reason: Reason
) -> None:
    """A version or a signature algorithm that nobody knows ends in no other error."""
    der = ROOT.issue(rsa_key("EPP at its edges").public_key())
    assert genuine in der
    assert refusal(der.replace(genuine, bent), FIRST) is reason


def bent_and_signed(genuine: bytes, bent: bytes) -> bytes:
    """A certificate of the pinned root, bent in what is signed and then signed again."""
    certificate = x509.load_der_x509_certificate(
        ROOT.issue(rsa_key("EPP at its edges").public_key())
    )
    signed = certificate.tbs_certificate_bytes
    assert genuine in signed
    signed = signed.replace(genuine, bent)
    signature = ROOT.key.sign(signed, ec.ECDSA(SHA256()))
    algorithm = bytes([0x30, len(ECDSA_SHA256)]) + ECDSA_SHA256
    body = signed + algorithm + b"\x03" + bytes([len(signature) + 1, 0]) + signature
    return b"\x30\x82" + len(body).to_bytes(2, "big") + body


def test_extensions_that_cannot_be_read_are_malformed() -> None:
    """One twice (RFC 5280 section 4.2 forbids it), or one whose value is not of its form."""
    genuine = KEY_USAGE + bytes.fromhex("0101ff0404030205")
    assert refusal(bent_and_signed(genuine, genuine), FIRST) is None
    twice = bent_and_signed(CONSTRAINTS, KEY_USAGE)
    formless = bent_and_signed(genuine, KEY_USAGE + bytes.fromhex("0101ff0404040205"))
    assert refusal(twice, FIRST) is Reason.EPP_CERTIFICATE_MALFORMED
    assert refusal(formless, FIRST) is Reason.EPP_CERTIFICATE_MALFORMED
