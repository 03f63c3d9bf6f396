"""EPP certificates with SM2 keys, and EPP roots of SM2: read, verified, and refused when bent."""

from hashlib import sha256

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from ceremony import sm2
from ceremony.eppcertificate import EntryError, read_epp_certificate
from ceremony.reasons import Reason
from ceremony.sm2 import SPKI_PREFIX, Sm2PublicKey, Sm2Unavailable, require_issued_by_sm2
from terminal.gm.factory import Sm2Pair, issue_sm2_certificate, make_sm2_root
from tests.support.certificates import sample_authority, sample_epp
from tests.support.gmworld import NOW, gm_kdh, sm2_epp, sm2_root

CERTIFICATE = x509.load_der_x509_certificate(sm2_epp().certificate)


def reason_of(der: bytes, *roots: x509.Certificate, now: int = NOW) -> Reason:
    """Why a certificate is refused."""
    with pytest.raises(EntryError) as error:
        read_epp_certificate(der, roots, now=now)
    return error.value.reason


def test_an_sm2_epp_is_read() -> None:
    """Its key, its fingerprints and its end are read; the key's is over SubjectPublicKeyInfo."""
    epp = read_epp_certificate(sm2_epp().certificate, (sm2_root().certificate,), now=NOW)
    key = Sm2PublicKey(sm2_epp().pair.point)
    assert epp.public_key == key
    assert epp.fingerprint == sm2_epp().fingerprint
    assert epp.key_fingerprint == sha256(sm2_epp().pair.spki).hexdigest()
    assert key.spki == sm2_epp().pair.spki
    assert epp.not_after == CERTIFICATE.not_valid_after_utc


def test_two_certificates_of_one_key_have_one_key_fingerprint() -> None:
    """A renewed certificate keeps the key's fingerprint, and has another of its own."""
    renewed = issue_sm2_certificate(sm2_root(), sm2_epp().pair, "EPP", now=NOW - 30)
    roots = (sm2_root().certificate,)
    one = read_epp_certificate(sm2_epp().certificate, roots, now=NOW)
    two = read_epp_certificate(renewed, roots, now=NOW)
    assert one.key_fingerprint == two.key_fingerprint
    assert one.fingerprint != two.fingerprint


def test_rsa_and_sm2_roots_are_pinned_side_by_side() -> None:
    """An RSA EPP and an SM2 EPP are read under the roots of both."""
    roots = (sample_authority().certificate, sm2_root().certificate)
    rsa_epp = read_epp_certificate(sample_epp("bench", 2048).certificate, roots, now=NOW)
    assert isinstance(rsa_epp.public_key, rsa.RSAPublicKey)
    sm2_read = read_epp_certificate(sm2_epp().certificate, roots, now=NOW)
    assert isinstance(sm2_read.public_key, Sm2PublicKey)


def test_an_untrusted_one_is_refused() -> None:
    """No root, an RSA root, another SM2 root of the very same name, an EPP as a root."""
    impostor = make_sm2_root(now=NOW - 3600).certificate
    assert impostor.subject == sm2_root().certificate.subject
    der = sm2_epp().certificate
    for roots in ((), (sample_authority().certificate,), (impostor,), (CERTIFICATE,)):
        assert reason_of(der, *roots) is Reason.EPP_CERTIFICATE_UNTRUSTED
    beside = (impostor, sm2_root().certificate)
    assert read_epp_certificate(der, beside, now=NOW).fingerprint == sm2_epp().fingerprint


def test_a_root_or_a_kdh_is_no_epp() -> None:
    """What signs has another purpose than an EPP's key."""
    root = sm2_root().certificate
    assert reason_of(sm2_root().certificate.public_bytes(Encoding.DER), root) is (
        Reason.EPP_CERTIFICATE_UNTRUSTED
    )
    host = x509.load_der_x509_certificate(gm_kdh().certificate_der)
    assert reason_of(gm_kdh().certificate_der, host, root) is Reason.EPP_CERTIFICATE_UNTRUSTED


def test_it_must_be_valid_now() -> None:
    """Before its beginning and after its end it is expired."""
    root = sm2_root().certificate
    early, late = NOW - 61, int(CERTIFICATE.not_valid_after_utc.timestamp()) + 1
    assert reason_of(sm2_epp().certificate, root, now=early) is Reason.EPP_CERTIFICATE_EXPIRED
    assert reason_of(sm2_epp().certificate, root, now=late) is Reason.EPP_CERTIFICATE_EXPIRED


def test_any_bit_of_the_certified_part_counts() -> None:
    """A certificate changed after it was signed is refused, whatever it then says."""
    der = sm2_epp().certificate
    root = sm2_root().certificate
    for at in range(0, len(der), 3):
        changed = der[:at] + bytes((der[at] ^ 1,)) + der[at + 1 :]
        with pytest.raises(EntryError):
            read_epp_certificate(changed, (root,), now=NOW)


def test_a_point_off_the_curve_is_malformed() -> None:
    """No key is encrypted to a point that could betray it."""
    der = sm2_epp().certificate
    at = der.index(SPKI_PREFIX) + len(SPKI_PREFIX)
    off = der[:at] + bytes((der[at] ^ 1,)) + der[at + 1 :]
    assert reason_of(off, sm2_root().certificate) is Reason.EPP_CERTIFICATE_MALFORMED
    for bad in (bytes(64), b"\xff" * 64, sm2_epp().pair.point[:-1], b""):
        with pytest.raises(ValueError, match="sm2p256v1"):
            Sm2PublicKey(bad)


def test_another_curves_key_is_weak() -> None:
    """P-256 is neither RSA nor SM2."""
    p256 = ec.generate_private_key(ec.SECP256R1())
    authority = sample_authority()
    assert Sm2PublicKey.of(authority.certificate) is None
    builder = (
        x509.CertificateBuilder()
        .subject_name(CERTIFICATE.subject)
        .issuer_name(authority.certificate.subject)
        .public_key(p256.public_key())
        .serial_number(1)
        .not_valid_before(CERTIFICATE.not_valid_before_utc)
        .not_valid_after(CERTIFICATE.not_valid_after_utc)
    )
    der = builder.sign(p256, SHA256()).public_bytes(Encoding.DER)
    assert reason_of(der, authority.certificate) is Reason.EPP_KEY_WEAK


def test_the_two_names_of_the_algorithm_must_agree() -> None:
    """The one beside the signature is not signed: it says what the signed one says."""
    root, der = sm2_root().certificate, sm2_epp().certificate
    algorithm = bytes.fromhex("300a06082a811ccf55018375")
    assert der.count(algorithm) == 2
    at = der.index(algorithm) + len(algorithm) - 1
    other = x509.load_der_x509_certificate(der[:at] + b"\x76" + der[at + 1 :])
    with pytest.raises(ValueError, match="not signed by SM2"):
        require_issued_by_sm2(other, root)


def test_an_issuer_without_an_sm2_key_issued_nothing() -> None:
    """Its name alone does not make it the issuer."""
    with pytest.raises(ValueError, match="another issuer"):
        require_issued_by_sm2(CERTIFICATE, sample_authority().certificate)
    with pytest.raises(ValueError, match="not signed by SM2"):
        require_issued_by_sm2(sample_authority().certificate, sample_authority().certificate)


def test_a_signature_is_the_keys_over_the_message() -> None:
    """Another message, another key, another or no signature: refused."""
    pair = sm2_epp().pair
    key, signature = Sm2PublicKey(pair.point), pair.sign(b"a message")
    key.verify(signature, b"a message")
    other = Sm2PublicKey(Sm2Pair.generate().point)
    for by, over, what in (
        (key, b"another", signature),
        (other, b"a message", signature),
        (key, b"a message", signature[:-1]),
        (key, b"a message", b""),
    ):
        with pytest.raises(InvalidSignature):
            by.verify(what, over)


def test_without_the_library_no_sm2_certificate_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine without `gmssl-pyx` nobody can tell, and so it is refused; RSA is as ever."""
    monkeypatch.setattr(sm2, "_gmssl", None)
    roots = (sample_authority().certificate, sm2_root().certificate)
    assert reason_of(sm2_epp().certificate, *roots) is Reason.EPP_CERTIFICATE_UNTRUSTED
    read_epp_certificate(sample_epp("bench", 2048).certificate, roots, now=NOW)
    with pytest.raises(Sm2Unavailable, match="gmssl-pyx"):
        Sm2PublicKey(sm2_epp().pair.point).verify(b"0", b"a message")
