"""Only a certificate that a pinned root issued for key encipherment, valid now, names an EPP."""

from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from ceremony.encoding import sha256_hex
from ceremony.eppcertificate import EntryError, EppCertificate, read_epp_certificate
from ceremony.reasons import Reason
from tests.support.certificates import (
    NOT_AFTER,
    NOT_BEFORE,
    Authority,
    rsa_key,
    sample_authority,
)

NOW = int(datetime(2027, 1, 15, tzinfo=UTC).timestamp())
ROOT = sample_authority()
KEY = rsa_key("EPP under test")
GOOD = ROOT.issue(KEY.public_key())
PAST = datetime(2021, 1, 1, tzinfo=UTC)
FUTURE = datetime(2030, 1, 1, tzinfo=UTC)


def _read(der: bytes, *roots: Authority, now: int = NOW) -> EppCertificate:
    pinned = tuple(root.certificate for root in roots or (ROOT,))
    return read_epp_certificate(der, pinned, now=now)


def _reason(der: bytes, *roots: Authority, now: int = NOW) -> Reason:
    with pytest.raises(EntryError) as refusal:
        _read(der, *roots, now=now)
    assert str(refusal.value) == refusal.value.reason.value
    return refusal.value.reason


def test_a_good_certificate_is_read() -> None:
    """Its two fingerprints are over the DER and over the key alone."""
    epp = _read(GOOD)
    spki = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert (epp.der, epp.fingerprint, epp.key_fingerprint) == (
        GOOD,
        sha256_hex(GOOD),
        sha256_hex(spki),
    )
    assert epp.not_after == NOT_AFTER


def test_a_renewed_certificate_keeps_its_key() -> None:
    """Another certificate of one key has another fingerprint and the same key fingerprint."""
    first, second = _read(GOOD), _read(ROOT.issue(KEY.public_key()))
    assert first.fingerprint != second.fingerprint
    assert first.key_fingerprint == second.key_fingerprint


def test_an_untrusted_issuer_is_refused() -> None:
    """Another root, even one of the same name, issued nothing that counts."""
    namesake = Authority.make()
    assert _reason(namesake.issue(KEY.public_key())) is Reason.EPP_CERTIFICATE_UNTRUSTED
    other = Authority.make("Other Root")
    assert _reason(other.issue(KEY.public_key())) is Reason.EPP_CERTIFICATE_UNTRUSTED


def test_a_self_signed_certificate_is_refused() -> None:
    """An EPP key that vouches for itself is nobody's."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Sample EPP Root")])
    usage = x509.KeyUsage(False, False, True, False, False, False, False, False, False)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(NOT_BEFORE)
        .not_valid_after(NOT_AFTER)
        .add_extension(usage, critical=True)
        .sign(KEY, SHA256())
    )
    der = certificate.public_bytes(Encoding.DER)
    assert _reason(der) is Reason.EPP_CERTIFICATE_UNTRUSTED


def test_a_root_that_is_no_authority_issues_nothing() -> None:
    """A pinned certificate without `CA:TRUE` is an end entity: its signatures are no issue."""
    leaf = Authority.make("Leaf", ca=False)
    assert _reason(leaf.issue(KEY.public_key()), leaf) is Reason.EPP_CERTIFICATE_UNTRUSTED


def test_validity_is_checked_of_certificate_and_root() -> None:
    """Expired and not yet valid are one reason, for the certificate as for its root."""
    expired = ROOT.issue(KEY.public_key(), not_after=PAST)
    early = ROOT.issue(KEY.public_key(), not_before=FUTURE)
    assert _reason(expired) is Reason.EPP_CERTIFICATE_EXPIRED
    assert _reason(early) is Reason.EPP_CERTIFICATE_EXPIRED
    old = Authority.make("Old Root", not_after=PAST)
    assert _reason(old.issue(KEY.public_key()), old) is Reason.EPP_CERTIFICATE_EXPIRED
    young = Authority.make("Young Root", not_before=FUTURE)
    assert _reason(young.issue(KEY.public_key()), young) is Reason.EPP_CERTIFICATE_EXPIRED


def test_validity_ends_with_its_second() -> None:
    """`notAfter` is the last valid second (RFC 5280 section 4.1.2.5)."""
    last = int(NOT_AFTER.timestamp())
    assert _read(GOOD, now=last).der == GOOD
    assert _reason(GOOD, now=last + 1) is Reason.EPP_CERTIFICATE_EXPIRED


def test_a_renewed_root_pinned_beside_the_old_one_is_enough() -> None:
    """Two certificates of one root key are pinned while it is renewed, in either order."""
    old = Authority.make("Renewed Root", not_after=PAST)
    renewed = Authority(
        old.name,
        old.key,
        x509.CertificateBuilder()
        .subject_name(old.certificate.subject)
        .issuer_name(old.certificate.subject)
        .public_key(old.key.public_key())
        .serial_number(2)
        .not_valid_before(PAST)
        .not_valid_after(NOT_AFTER)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(old.key, SHA256()),
    )
    der = old.issue(KEY.public_key())
    assert _read(der, old, renewed).der == _read(der, renewed, old).der == der


def test_weak_and_foreign_keys_are_refused() -> None:
    """RSA under 2048 bits, a small exponent, elliptic curves: none carries a TMK."""
    for key in (
        rsa_key("weak", 1024).public_key(),
        rsa_key("nearly", 2047).public_key(),
        rsa_key("small exponent", 2048, 3).public_key(),
        ec.generate_private_key(ec.SECP256R1()).public_key(),
    ):
        assert _reason(ROOT.issue(key)) is Reason.EPP_KEY_WEAK


@pytest.mark.parametrize(
    "usages",
    [
        frozenset(),
        frozenset({"digital_signature"}),
        frozenset({"data_encipherment"}),
        frozenset({"key_encipherment", "digital_signature"}),
        frozenset({"key_encipherment", "key_cert_sign"}),
        frozenset({"key_encipherment", "content_commitment"}),
        frozenset({"key_encipherment", "crl_sign"}),
    ],
    ids=lambda usages: "+".join(sorted(usages)) or "none",
)
def test_a_key_of_another_purpose_is_refused(usages: frozenset[str]) -> None:
    """The EPP's key enciphers keys and never signs (single purpose)."""
    der = ROOT.issue(KEY.public_key(), usages=usages)
    assert _reason(der) is Reason.EPP_CERTIFICATE_UNTRUSTED


def test_an_authority_is_no_epp() -> None:
    """A certificate that may issue others is refused, and so is one that names no usage."""
    authority = ROOT.issue(KEY.public_key(), ca=True)
    assert _reason(authority) is Reason.EPP_CERTIFICATE_UNTRUSTED
    silent = ROOT.issue(KEY.public_key(), usages=None)
    assert _reason(silent) is Reason.EPP_CERTIFICATE_MALFORMED


def test_an_unknown_key_type_is_malformed() -> None:
    """A key algorithm that the library does not know is a refusal, not a crash."""
    rsa_encryption = bytes.fromhex("06092a864886f70d010101")
    assert GOOD.count(rsa_encryption) == 1
    unknown = GOOD.replace(rsa_encryption, bytes.fromhex("06092a864886f70d01017f"))
    assert _reason(unknown) is Reason.EPP_CERTIFICATE_MALFORMED
    edwards = ed25519.Ed25519PrivateKey.generate().public_key()
    assert _reason(ROOT.issue(edwards)) is Reason.EPP_KEY_WEAK  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_byte_is_refused(position: int, change: int) -> None:
    """Any one byte changed gives a refusal with a reason, never a certificate or another error."""
    der = bytearray(GOOD)
    der[position % len(der)] ^= change
    assert _reason(bytes(der)) in {
        Reason.EPP_CERTIFICATE_MALFORMED,
        Reason.EPP_CERTIFICATE_UNTRUSTED,
        Reason.EPP_CERTIFICATE_EXPIRED,
        Reason.EPP_KEY_WEAK,
    }


@given(st.binary(max_size=100))
def test_junk_is_malformed(data: bytes) -> None:
    """Bytes that are no certificate, and trailing bytes after one, are malformed."""
    assert _reason(data) is Reason.EPP_CERTIFICATE_MALFORMED
    if data:
        assert _reason(GOOD + data) is Reason.EPP_CERTIFICATE_MALFORMED
