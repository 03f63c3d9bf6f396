"""`openssl` agrees at every SM2 step of a `gm-envelope` token, in both directions.

It knows neither GB/T 35275's content types nor our terms: the structure is taken apart, and put
together, here; each cryptographic step is openssl's.
"""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ceremony.eppcertificate import read_epp_certificate
from ceremony.sm2 import Sm2PublicKey
from keymanagement.gm.identity import GmIdentity
from keymanagement.gm.privatekey import private_from_pem
from keymanagement.gm.terms import terms_attribute
from keymanagement.kdh import KDH_PURPOSE
from terminal.eppfactory import pem_of
from terminal.gm.envelope import read_envelope
from terminal.gm.keytoken import open_key_token
from terminal.gm.signeddata import read_signed
from terminal.tr34.certificates import issuer_and_serial
from terminal.tr34.der import (
    CONTEXT_0,
    CONTEXT_0_PRIMITIVE,
    INTEGER,
    OBJECT_ID,
    OCTETS,
    SEQUENCE,
    SET,
    wrapped,
)
from tests.support.gmworld import (
    KCV,
    KEY,
    NONCE,
    NOW,
    REQUEST,
    TERMINAL,
    Sm2EppKeys,
    gm_kdh,
    gm_kdh_files,
    gm_terms,
    gm_token,
    recipient,
    sm2_epp,
    sm2_root,
)

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not here")

ID = "distid:1234567812345678"
ONE = wrapped(INTEGER, b"\x01")
# GB/T 35275 and GM/T 0006, written once more
GM = bytes.fromhex("2a811ccf55")
DATA, SIGNED, ENVELOPED = (GM + bytes.fromhex(f"06010402{n}") for n in ("01", "02", "03"))
SM3, SM4_CBC = GM + bytes.fromhex("018311"), GM + bytes.fromhex("016802")
SIGN, ENCRYPT = GM + bytes.fromhex("01822d01"), GM + bytes.fromhex("01822d03")
CONTENT_TYPE, DIGEST = (bytes.fromhex(f"2a864886f70d01090{n}") for n in (3, 4))


def openssl(*arguments: str | Path, given: bytes = b"") -> bytes:
    """Run openssl, which has to succeed, and give its output."""
    done = subprocess.run(
        ["openssl", *map(str, arguments)], input=given, capture_output=True, check=True
    )
    return done.stdout


def algorithm(kind: bytes, *parameters: bytes) -> bytes:
    """An AlgorithmIdentifier."""
    return wrapped(SEQUENCE, wrapped(OBJECT_ID, kind), *parameters)


def info(kind: bytes, content: bytes) -> bytes:
    """A ContentInfo."""
    return wrapped(SEQUENCE, wrapped(OBJECT_ID, kind), wrapped(CONTEXT_0, content))


def attribute(kind: bytes, value: bytes) -> bytes:
    """An Attribute."""
    return wrapped(SEQUENCE, wrapped(OBJECT_ID, kind), wrapped(SET, value))


def file(folder: Path, name: str, content: bytes) -> Path:
    """Write a file for openssl."""
    path = folder / name
    path.write_bytes(content)
    return path


def verification(folder: Path, signature: bytes) -> tuple[str | Path, ...]:
    """The arguments by which openssl verifies a signature of the KDH's."""
    public = openssl("x509", "-pubkey", "-noout", given=gm_kdh_files().certificate_pem)
    key, signed = file(folder, "kdh.pub", public), file(folder, "signature", signature)
    return "dgst", "-sm3", "-verify", key, "-sigopt", ID, "-signature", signed


def test_openssl_verifies_the_signature(tmp_path: Path) -> None:
    """`openssl dgst -sm3 -verify` accepts the signed attributes, and not changed ones."""
    signed = read_signed(gm_token())
    verify = verification(tmp_path, signed.signature)
    assert openssl(*verify, given=signed.to_be_signed) == b"Verified OK\n"
    with pytest.raises(subprocess.CalledProcessError):
        openssl(*verify, given=signed.to_be_signed + b"!")


def test_openssl_digests_the_same_content(tmp_path: Path) -> None:
    """The message digest is SM3 of the envelope, as `openssl dgst -sm3` computes it."""
    signed = read_signed(gm_token())
    assert openssl("dgst", "-sm3", "-binary", given=signed.content) == signed.digest


def test_openssl_opens_the_envelope(tmp_path: Path) -> None:
    """`openssl pkeyutl -decrypt` gives the content key, `enc -sm4-cbc` with it the key block."""
    envelope = read_envelope(read_signed(gm_token()).content)
    key = file(tmp_path, "epp.key", pem_of(sm2_epp().pair.pkcs8))
    content_key = openssl("pkeyutl", "-decrypt", "-inkey", key, given=envelope.encrypted_key)
    assert len(content_key) == 16
    block = openssl(
        *("enc", "-d", "-sm4-cbc", "-K", content_key.hex(), "-iv", envelope.iv.hex()),
        given=envelope.ciphertext,
    )
    assert wrapped(OCTETS, KEY) in block
    zero = openssl("enc", "-sm4-ecb", "-nopad", "-K", KEY.hex(), given=bytes(16))
    assert zero[:3].hex() == KCV


def test_openssl_accepts_the_certificates(tmp_path: Path) -> None:
    """`openssl verify` accepts the sample EPP's certificate under its root, and the KDH's."""
    root = file(tmp_path, "root.pem", sm2_root().certificate_pem)
    certificate = x509.load_der_x509_certificate(sm2_epp().certificate)
    epp = file(tmp_path, "epp.pem", certificate.public_bytes(Encoding.PEM))
    common = ("verify", "-attime", str(NOW), "-vfyopt", ID, "-CAfile")
    assert openssl(*common, root, epp).endswith(b"epp.pem: OK\n")
    host = x509.load_der_x509_certificate(gm_kdh().certificate_der)
    verify = verification(tmp_path, host.signature)
    assert openssl(*verify, given=host.tbs_certificate_bytes) == b"Verified OK\n"


@dataclass(frozen=True)
class OpensslParty:
    """A key and a certificate that openssl alone made."""

    key: Path
    certificate: x509.Certificate


def made(folder: Path, name: str, *extensions: str) -> OpensslParty:
    """Have openssl make a key and a self-signed certificate."""
    key, certificate = folder / f"{name}.key", folder / f"{name}.pem"
    openssl(
        *("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:SM2"),
        *("-pkeyopt", "ec_param_enc:named_curve", "-out", key),
    )
    openssl(
        *("req", "-x509", "-new", "-key", key, "-sm3", "-sigopt", ID, "-subj", f"/CN={name}"),
        *("-days", "30", "-out", certificate),
        *(part for one in extensions for part in ("-addext", one)),
    )
    return OpensslParty(key, x509.load_pem_x509_certificate(certificate.read_bytes()))


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> OpensslParty:
    """A KDH of openssl's making."""
    return made(
        tmp_path_factory.mktemp("host"),
        "KDH",
        "basicConstraints=critical,CA:FALSE",
        "keyUsage=critical,digitalSignature",
        f"extendedKeyUsage=critical,{KDH_PURPOSE.dotted_string}",
    )


def composed(folder: Path, host: OpensslParty, epp: Sm2EppKeys, terms: bytes) -> bytes:
    """A token whose every cryptographic step is openssl's."""
    epp_certificate = x509.load_der_x509_certificate(epp.certificate)
    content_key, iv = bytes(range(16)), bytes(range(16, 32))
    name = issuer_and_serial(host.certificate)
    block = wrapped(SEQUENCE, ONE, name, wrapped(OCTETS, KEY), terms)
    arguments = ("-K", content_key.hex(), "-iv", iv.hex())
    ciphertext = openssl("enc", "-sm4-cbc", *arguments, given=block)
    key = file(folder, "epp.key", pem_of(epp.pair.pkcs8))
    encrypted_key = openssl("pkeyutl", "-encrypt", "-inkey", key, given=content_key)
    to = wrapped(
        SEQUENCE,
        *(ONE, issuer_and_serial(epp_certificate), algorithm(ENCRYPT)),
        wrapped(OCTETS, encrypted_key),
    )
    inside = wrapped(
        SEQUENCE,
        *(wrapped(OBJECT_ID, DATA), algorithm(SM4_CBC, wrapped(OCTETS, iv))),
        wrapped(CONTEXT_0_PRIMITIVE, ciphertext),
    )
    content = info(ENVELOPED, wrapped(SEQUENCE, ONE, wrapped(SET, to), inside))
    digest = openssl("dgst", "-sm3", "-binary", given=content)
    attributes = b"".join(
        sorted(
            (
                attribute(CONTENT_TYPE, wrapped(OBJECT_ID, DATA)),
                attribute(DIGEST, wrapped(OCTETS, digest)),
                terms,
            )
        )
    )
    signature = openssl(
        *("dgst", "-sm3", "-sign", host.key, "-sigopt", ID), given=wrapped(SET, attributes)
    )
    signer = wrapped(
        SEQUENCE,
        *(ONE, name, algorithm(SM3), wrapped(CONTEXT_0, attributes), algorithm(SIGN)),
        wrapped(OCTETS, signature),
    )
    body = (ONE, wrapped(SET, algorithm(SM3)), info(DATA, wrapped(OCTETS, content)))
    return info(SIGNED, wrapped(SEQUENCE, *body, wrapped(SET, signer)))


def test_the_terminal_opens_what_openssl_encrypted_and_signed(
    host: OpensslParty, tmp_path: Path
) -> None:
    """Certificate, envelope and signature by openssl: the terminal's side reads them."""
    now = int(host.certificate.not_valid_before_utc.timestamp()) + 1
    terms = terms_attribute(gm_terms(expires_at=now + 60))
    token = composed(tmp_path, host, sm2_epp(), terms)
    opened = open_key_token(token, recipient(now=now), host.certificate)
    assert opened.key == KEY
    said = opened.terms
    assert (said.terminal_no, said.request_id, said.nonce) == (TERMINAL, REQUEST, NONCE)


def test_the_server_takes_keys_and_certificates_of_openssl(
    host: OpensslParty, tmp_path: Path
) -> None:
    """A KDH and an EPP certified by openssl serve as ours do."""
    now = int(host.certificate.not_valid_before_utc.timestamp()) + 1
    pem = host.certificate.public_bytes(Encoding.PEM)
    identity = GmIdentity.from_pem(host.key.read_bytes(), pem, now=now)
    key = Sm2PublicKey.of(host.certificate)
    assert key is not None
    key.verify(identity.sign_sm2(b"a message"), b"a message")
    assert len(private_from_pem(host.key.read_bytes())) == 32
    root = made(tmp_path, "root", "keyUsage=critical,keyCertSign,cRLSign")
    request = openssl("req", "-new", "-key", host.key, "-sm3", "-sigopt", ID, "-subj", "/CN=EPP")
    extensions = file(
        tmp_path, "x", b"basicConstraints=critical,CA:FALSE\nkeyUsage=critical,keyEncipherment\n"
    )
    issued = openssl(
        *("x509", "-req", "-sm3", "-sigopt", ID, "-vfyopt", ID, "-days", "30"),
        *("-CA", tmp_path / "root.pem", "-CAkey", root.key, "-extfile", extensions),
        given=request,
    )
    der = x509.load_pem_x509_certificate(issued).public_bytes(Encoding.DER)
    epp = read_epp_certificate(der, (root.certificate,), now=now + 60)
    assert epp.public_key == key


def test_the_identity_is_what_terminals_pin() -> None:
    """Its thumbprint is the certificate's SHA-256, and its repr holds nothing else."""
    assert repr(gm_kdh()) == f"GmIdentity({gm_kdh().thumbprint})"
