"""The KDH's SM2 identity: what may sign `gm-envelope` tokens, and what may not."""

import base64

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ceremony.sm2 import Sm2PublicKey
from keymanagement.gm import sm2
from keymanagement.gm.identity import GmIdentity, make_development_gm_kdh
from keymanagement.gm.privatekey import Sm2KeyInvalid, private_from_pem, private_to_pem
from keymanagement.kdh import DEVELOPMENT_DAYS, KDH_PURPOSE, KdhInvalid
from tests.support.gmworld import NOW, gm_kdh, gm_kdh_files, host_certificate, sm2_epp
from tests.support.keytokens import sample_kdh_files

DAY = 86_400


def test_the_certificate_has_the_kdhs_one_purpose() -> None:
    """It signs, is no authority, and its one extended key usage is Keyfill's own."""
    extensions = host_certificate().extensions
    usage = extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert not (usage.key_encipherment or usage.key_cert_sign or usage.content_commitment)
    purposes = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [KDH_PURPOSE]
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert gm_kdh().not_after == NOW - 60 + DEVELOPMENT_DAYS * DAY


def test_it_signs_what_its_certificate_verifies() -> None:
    """A new signature each time, by the key in the certificate."""
    key = Sm2PublicKey.of(host_certificate())
    assert key is not None
    signatures = {gm_kdh().sign_sm2(b"a message") for _ in range(3)}
    assert len(signatures) == 3
    for one in signatures:
        key.verify(one, b"a message")


def test_its_repr_holds_no_key() -> None:
    """Neither the identity nor the files show the private key."""
    secret = private_from_pem(gm_kdh_files().key_pem)
    shown = repr(gm_kdh()) + repr(gm_kdh_files())
    assert secret.hex() not in shown
    assert gm_kdh_files().key_pem.decode().splitlines()[1] not in shown


@pytest.mark.parametrize(
    ("key_pem", "certificate_pem", "why"),
    [
        (gm_kdh_files("other").key_pem, gm_kdh_files().certificate_pem, "not the one"),
        (gm_kdh_files().key_pem, sample_kdh_files().certificate_pem, "not for an SM2 key"),
        (sample_kdh_files().key_pem, gm_kdh_files().certificate_pem, "cannot be read"),
        (b"", gm_kdh_files().certificate_pem, "cannot be read"),
        (gm_kdh_files().key_pem, b"", "cannot be read"),
        (
            gm_kdh_files().key_pem,
            x509.load_der_x509_certificate(sm2_epp().certificate).public_bytes(Encoding.PEM),
            "purpose",
        ),
    ],
    ids=["another key", "RSA certificate", "RSA key", "no key", "no certificate", "an EPP's"],
)
def test_what_does_not_fit_is_refused(key_pem: bytes, certificate_pem: bytes, why: str) -> None:
    """Key and certificate must belong together and be a KDH's; the message holds no key."""
    with pytest.raises(KdhInvalid, match=why) as error:
        GmIdentity.from_pem(key_pem, certificate_pem, now=NOW)
    assert "MIGH" not in str(error.value)


@pytest.mark.parametrize("now", [NOW - 61, NOW - 60 + DEVELOPMENT_DAYS * DAY + 1])
def test_it_must_be_valid_now(now: int) -> None:
    """Neither before its beginning nor after its end."""
    files = gm_kdh_files()
    with pytest.raises(KdhInvalid, match="not valid now"):
        GmIdentity.from_pem(files.key_pem, files.certificate_pem, now=now)


def test_a_private_key_has_one_spelling() -> None:
    """Read back as written; another length, another head, a cut or a text are refused."""
    private, public = sm2.generate()
    pem = private_to_pem(private, public)
    assert private_from_pem(pem) == private
    der = base64.b64decode(b"".join(pem.splitlines()[1:-1]))
    for bad in (der[:-1], der + b"\x00", b"\x31" + der[1:], der[:68] + b"\xa2" + der[69:]):
        body = base64.b64encode(bad)
        with pytest.raises(Sm2KeyInvalid):
            private_from_pem(
                b"-----BEGIN PRIVATE KEY-----\n" + body + b"\n-----END PRIVATE KEY-----\n"
            )
    for text in (b"", pem[5:], pem.replace(b"M", b"*"), b"PRIVATE KEY"):
        with pytest.raises(Sm2KeyInvalid):
            private_from_pem(text)


@pytest.mark.parametrize("private", [b"", bytes(31), bytes(32), b"\xff" * 32])
def test_no_private_key_signs_that_is_none(private: bytes) -> None:
    """Zero, a number beyond the curve's order, another length: refused, and never shown."""
    with pytest.raises(ValueError, match="SM2"):
        sm2.sign(private, Sm2PublicKey(sm2_epp().pair.point), b"a message")


def test_there_is_no_identity_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine without `gmssl-pyx` none is made and none is read; the error says why."""
    files = gm_kdh_files()
    monkeypatch.setattr(sm2, "_gmssl", None)
    with pytest.raises(sm2.Sm2Missing):
        make_development_gm_kdh(now=NOW)
    with pytest.raises(sm2.Sm2Missing):
        GmIdentity.from_pem(files.key_pem, files.certificate_pem, now=NOW)
