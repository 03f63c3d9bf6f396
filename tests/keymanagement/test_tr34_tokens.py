"""TR-34 key tokens as they are written: openssl accepts each, and none is weaker than its key."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from keymanagement.port import KeyAlgorithm, TermsRefused, TransportTooWeak
from keymanagement.tr34.dialect import Dialect
from keymanagement.tr34.form import ContentCipher, TokenForm
from keymanagement.tr34.header import KeyBlockHeader
from keymanagement.tr34.identity import issuer_and_serial
from keymanagement.tr34.keytoken import MOST_BYTES, OnePass, TwoPass, compose
from terminal.tr34 import certificates as receiving
from tests.support.tr34world import (
    AES,
    CERTIFIES,
    ENCIPHERS,
    KEYS,
    NONCE,
    NOW,
    SIGNS,
    authority,
    certified,
    crl,
    kdh,
    kdh_certified,
    krd,
    token,
)

needs_openssl = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="the openssl command is the second implementation"
)
FORMS = [
    (KeyAlgorithm.AES_128, ContentCipher.AES_128),
    (KeyAlgorithm.TDES, ContentCipher.AES_128),
    (KeyAlgorithm.TDES, ContentCipher.TDES),
]
each_form = pytest.mark.parametrize(("algorithm", "cipher"), FORMS)
FRESHNESS = [TwoPass(NONCE), TwoPass(NONCE[:8]), OnePass(NOW)]
# ContentInfo of EnvelopedData around what openssl cms -verify gives out
ENVELOPED_DATA = bytes.fromhex("06092a864886f70d010703")


def openssl(*arguments: str | Path) -> bytes:
    """Run openssl and return what it prints."""
    done = subprocess.run(["openssl", *map(str, arguments)], check=False, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def files(folder: Path) -> dict[str, Path]:
    """The certificates and the KRD's key, PEM."""
    held = {
        "kdh": kdh().certificate.public_bytes(Encoding.PEM),
        "krd": krd().certificate.public_bytes(Encoding.PEM),
        "root": authority().public_bytes(Encoding.PEM),
        "key": krd().private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    }
    for name, content in held.items():
        (folder / name).write_bytes(content)
    return {name: folder / name for name in held}


def verified(made: bytes, folder: Path, named: dict[str, Path]) -> bytes:
    """The content of a token whose signature openssl verified, to the root."""
    (folder / "token").write_bytes(made)
    arguments: list[str | Path] = ["cms", "-verify", "-binary", "-inform", "DER"]
    arguments += ["-in", folder / "token", "-certfile", named["kdh"], "-CAfile", named["root"]]
    # the KDH's one purpose is none that openssl knows, and its chain is valid at the tests' time
    arguments += ["-purpose", "any", "-attime", str(NOW)]
    return openssl(*arguments)


def long_der(tag: int, body: bytes) -> bytes:
    """One element of 128 to 65 535 bytes."""
    return bytes((tag, 0x82)) + len(body).to_bytes(2, "big") + body


def block(key: bytes, header: bytes) -> bytes:
    """The key block's content, put together with nothing of the code under test."""
    issuer = kdh().certificate.issuer.public_bytes()
    serial = kdh().certificate.serial_number
    number = serial.to_bytes(serial.bit_length() // 8 + 1, "big")
    name = issuer + bytes((2, len(number))) + number
    body = b"\x02\x01\x01" + bytes((0x30, len(name))) + name + bytes((4, len(key))) + key
    body += bytes.fromhex("301f06092a864886f70d01070131120410") + header
    length = bytes((len(body),)) if len(body) < 128 else bytes((0x81, len(body)))
    return b"\x30" + length + body


@needs_openssl
@each_form
@pytest.mark.parametrize("freshness", FRESHNESS, ids=["two-pass", "short nonce", "one-pass"])
@pytest.mark.parametrize("with_crl", [False, True], ids=["", "crl"])
def test_openssl_verifies_and_decrypts_a_strict_token(
    algorithm: KeyAlgorithm,
    cipher: ContentCipher,
    freshness: TwoPass | OnePass,
    with_crl: bool,
    tmp_path: Path,
) -> None:
    """`openssl cms -verify` and `-decrypt` give the key block, byte by byte."""
    named = files(tmp_path)
    made = token(algorithm, freshness=freshness, cipher=cipher, crl_der=crl() if with_crl else None)
    enveloped = verified(made, tmp_path, named)
    info = long_der(0x30, ENVELOPED_DATA + long_der(0xA0, enveloped))
    (tmp_path / "enveloped").write_bytes(info)
    clear = openssl(
        *("cms", "-decrypt", "-binary", "-inform", "DER", "-in", tmp_path / "enveloped"),
        *("-recip", named["krd"], "-inkey", named["key"]),
    )
    assert clear == block(KEYS[algorithm], bytes(KeyBlockHeader(algorithm)))


@needs_openssl
@each_form
def test_openssl_verifies_and_opens_an_annexb_token(
    algorithm: KeyAlgorithm, cipher: ContentCipher, tmp_path: Path
) -> None:
    """In `annexb-errata` openssl verifies the token, and opens key and content step by step.

    It cannot decrypt in one step: no CMS library reads OAEP parameters without their tags.
    """
    named = files(tmp_path)
    made = token(algorithm, dialect=Dialect.ANNEXB_ERRATA, cipher=cipher)
    enveloped = verified(made, tmp_path, named)
    encrypted = enveloped[enveloped.index(bytes.fromhex("04820100")) + 4 :][:256]
    at = enveloped.index(bytes.fromhex("06092a864886f70d010701"))
    name, size = ("aes-128-cbc", 16) if cipher is ContentCipher.AES_128 else ("des-ede3-cbc", 8)
    iv_at = enveloped.index(bytes((4, size)), at) + 2
    iv, rest = enveloped[iv_at : iv_at + size], enveloped[iv_at + size :]
    assert rest[:2] == b"\x80\x81"
    assert len(rest[3:]) == rest[2]
    (tmp_path / "encrypted").write_bytes(encrypted)
    options = [f"rsa_{one}" for one in ("padding_mode:oaep", "oaep_md:sha256", "mgf1_md:sha256")]
    content_key = openssl(
        *("pkeyutl", "-decrypt", "-inkey", named["key"], "-in", tmp_path / "encrypted"),
        *(part for option in options for part in ("-pkeyopt", option)),
    )
    (tmp_path / "content").write_bytes(rest[3:])
    clear = openssl(
        *("enc", "-d", f"-{name}", "-K", content_key.hex(), "-iv", iv.hex()),
        *("-in", tmp_path / "content"),
    )
    assert clear == block(KEYS[algorithm], bytes(KeyBlockHeader(algorithm)))


@pytest.mark.parametrize(
    ("header", "text"),
    [
        (KeyBlockHeader(KeyAlgorithm.AES_128), b"D0000K1AD00N0000"),
        (KeyBlockHeader(KeyAlgorithm.TDES), b"B0000K1TD00N0000"),
        (KeyBlockHeader(KeyAlgorithm.AES_128, "K0"), b"D0000K0AD00N0000"),
    ],
)
def test_a_tmks_header(header: KeyBlockHeader, text: bytes) -> None:
    """K1 by default, to decrypt with, not exportable, as clover-tr34-host writes it."""
    assert bytes(header) == text


def test_a_token_says_no_check_value_and_not_its_key() -> None:
    """Neither the key nor its KCV stands in the token or in a repr."""
    made = token()
    assert KEYS[KeyAlgorithm.AES_128] not in made
    assert bytes.fromhex("08793e") not in made
    assert "08793e" not in repr(KeyBlockHeader(KeyAlgorithm.AES_128))


def test_two_tokens_of_one_key_differ() -> None:
    """Content key, IV and OAEP are new each time: equal bytes come from the journal, not luck."""
    assert len({token() for _ in range(5)}) == 5


@pytest.mark.parametrize(
    ("algorithm", "cipher"),
    [
        (KeyAlgorithm.AES_128, ContentCipher.TDES),
        (KeyAlgorithm.AES_192, ContentCipher.AES_128),
        (KeyAlgorithm.AES_256, ContentCipher.AES_128),
        (KeyAlgorithm.AES_256, ContentCipher.TDES),
    ],
)
def test_an_envelope_is_as_strong_as_its_key(
    algorithm: KeyAlgorithm, cipher: ContentCipher
) -> None:
    """3DES carries no AES key and AES-128 no longer one, whatever the KRD's RSA key."""
    with pytest.raises(TransportTooWeak, match=f"an envelope under {cipher}"):
        compose(
            bytes(algorithm.key_bytes),
            KeyBlockHeader(algorithm),
            krd().certificate,
            kdh(),
            TwoPass(NONCE),
            TokenForm(cipher=cipher),
        )


def test_a_short_rsa_key_carries_nothing() -> None:
    """A KRD of 1024 bits gets no key."""
    with pytest.raises(TransportTooWeak):
        compose(
            KEYS[KeyAlgorithm.AES_128],
            AES,
            krd("short KRD", 1024).certificate,
            kdh(),
            TwoPass(NONCE),
        )


@pytest.mark.parametrize("length", [0, 7, 17, 32])
def test_a_nonce_has_8_to_16_bytes(length: int) -> None:
    """Another length is refused before anything is encrypted."""
    with pytest.raises(TermsRefused):
        token(freshness=TwoPass(bytes(length)))


@pytest.mark.parametrize("length", [0, 15, 17, 24])
def test_a_key_has_its_algorithms_length(length: int) -> None:
    """A key that is longer or shorter than its header says is refused."""
    with pytest.raises(TermsRefused):
        compose(bytes(length), AES, krd().certificate, kdh(), TwoPass(NONCE))


def test_a_token_that_no_epp_takes_is_refused() -> None:
    """A revocation list of thousands makes the token too long: it is not sent."""
    certificates = [kdh_certified() for _ in range(3)]
    assert len(token(crl_der=crl(*certificates))) < MOST_BYTES
    long_list = crl(*(certificates[0],), until=NOW + 600)
    with pytest.raises(TermsRefused):
        token(crl_der=long_list + bytes(MOST_BYTES))


@pytest.mark.parametrize(
    "bent",
    [
        {"usages": SIGNS},
        {"usages": ENCIPHERS | SIGNS},
        {"usages": ENCIPHERS | CERTIFIES},
        {"usages": ENCIPHERS | {"content_commitment"}},
        {"usages": ENCIPHERS, "ca": True},
        {"usages": ENCIPHERS, "purposes": (ExtendedKeyUsageOID.SERVER_AUTH,)},
    ],
    ids=["signs", "both", "certifies", "commits", "authority", "server"],
)
def test_a_certificate_with_another_purpose_is_no_krds(bent: dict[str, Any]) -> None:
    """A KRD's certificate is for key encipherment and nothing else, whoever issued it."""
    other = certified("KRD", krd().private_key.public_key(), **bent)
    with pytest.raises(TermsRefused):
        compose(KEYS[KeyAlgorithm.AES_128], AES, other, kdh(), TwoPass(NONCE))


def test_a_kdhs_certificate_is_no_krds() -> None:
    """Nobody has a key encrypted to a KDH."""
    with pytest.raises(TermsRefused):
        compose(KEYS[KeyAlgorithm.AES_128], AES, kdh().certificate, kdh(), TwoPass(NONCE))


def test_both_sides_name_a_certificate_alike() -> None:
    """Issuer and serial number: the library's encoding and the certificate's own bytes agree."""
    for one in (kdh().certificate, krd().certificate, authority()):
        assert issuer_and_serial(one) == receiving.issuer_and_serial(one)


def test_the_form_is_by_default_strict() -> None:
    """Without configuration a token is strict CMS with an AES envelope and without a list."""
    assert TokenForm() == replace(
        TokenForm(), dialect=Dialect.STRICT_CMS, cipher=ContentCipher.AES_128, crl_der=None
    )
