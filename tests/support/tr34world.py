"""A KDH, a KRD, the authority above both, and TR-34 tokens that are right or wrong in one place.

The KRD's certificate and the KDH's come from one root, as TR-34 allows: what keeps their roles
apart is the certificates' purposes alone.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from keymanagement.kdh import KDH_PURPOSE
from keymanagement.port import KeyAlgorithm
from keymanagement.tr34.dialect import Dialect
from keymanagement.tr34.envelope import envelope, header_attribute
from keymanagement.tr34.form import ContentCipher, TokenForm
from keymanagement.tr34.header import KeyBlockHeader
from keymanagement.tr34.identifiers import ENVELOPED_DATA
from keymanagement.tr34.keytoken import OnePass, TwoPass, compose
from keymanagement.tr34.signeddata import Content, signed
from terminal.tr34 import keytoken as reading
from terminal.tr34.binding import Anchors, Binding, Krd
from terminal.tr34.der import CONTEXT_0_PRIMITIVE, INTEGER, OBJECT_ID, SEQUENCE, SET, whole, wrapped
from tests.support.certificates import rsa_key

NOW = 1_790_000_000
NONCE = bytes(range(16))
KEYS = {
    KeyAlgorithm.AES_128: bytes.fromhex("3f419e1cb7079442aa37474c2efbf8b8"),
    KeyAlgorithm.TDES: bytes.fromhex("0123456789abcdeffedcba987654321089abcdef01234567"),
}
AES = KeyBlockHeader(KeyAlgorithm.AES_128)
SIGNS = frozenset({"digital_signature"})
ENCIPHERS = frozenset({"key_encipherment"})
CERTIFIES = frozenset({"key_cert_sign", "crl_sign"})
_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


@dataclass(frozen=True)
class Signer:
    """An RSA key with its certificate that signs CMS."""

    key: rsa.RSAPrivateKey
    certificate: x509.Certificate

    @property
    def certificate_der(self) -> bytes:
        """The certificate, DER."""
        return self.certificate.public_bytes(Encoding.DER)

    def sign_pkcs1(self, message: bytes) -> bytes:
        """RSASSA-PKCS1-v1_5, SHA-256."""
        return self.key.sign(message, PKCS1v15(), SHA256())


@cache
def _root_key(label: str) -> ec.EllipticCurvePrivateKey:
    del label
    return ec.generate_private_key(ec.SECP256R1())


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Keyfill tests"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def moment(seconds: int) -> datetime:
    """Unix seconds as the certificate builder takes them."""
    return datetime.fromtimestamp(seconds, UTC)


def certified(
    name: str,
    public_key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey,
    *,
    root: str = "root",
    usages: frozenset[str] = SIGNS,
    purposes: tuple[x509.ObjectIdentifier, ...] | None = None,
    ca: bool = False,
    begins: int = NOW - 3600,
    ends: int = NOW + 86_400,
) -> x509.Certificate:
    """A certificate of the root of this label."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(root))
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment(begins))
        .not_valid_after(moment(ends))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**{one: one in usages for one in _USAGES}), critical=True)
    )
    if purposes is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=True)
    return builder.sign(_root_key(root), SHA256())


@cache
def authority() -> x509.Certificate:
    """The root's own certificate."""
    root = "root"
    return certified(root, _root_key(root).public_key(), root=root, usages=CERTIFIES, ca=True)


def kdh_certified(label: str = "KDH", **bent: Any) -> x509.Certificate:
    """A KDH's certificate, wrong where `bent` says so."""
    key = rsa_key(f"tr34 {label}", 3072).public_key()
    return certified(label, key, **{"purposes": (KDH_PURPOSE,), **bent})


def kdh(label: str = "KDH") -> Signer:
    """The KDH of this label."""
    return _kdh(label)


@cache
def _kdh(label: str) -> Signer:
    return Signer(rsa_key(f"tr34 {label}", 3072), kdh_certified(label))


def krd(label: str = "KRD", bits: int = 2048) -> Krd:
    """The KRD of this label, certified by the KDHs' own root."""
    return _krd(label, bits)


@cache
def _krd(label: str, bits: int) -> Krd:
    key = rsa_key(f"tr34 {label}", bits)
    return Krd(certified(label, key.public_key(), usages=ENCIPHERS), key)


def overseer(label: str = "overseer") -> Signer:
    """Whose UBT-CA and RBT-CA tokens the KRD obeys."""
    return _overseer(label)


@cache
def _overseer(label: str) -> Signer:
    key = rsa_key(f"tr34 {label}", 2048)
    return Signer(key, certified(label, key.public_key(), usages=CERTIFIES, ca=True))


def crl(
    *revoked: x509.Certificate,
    root: str = "root",
    made: int = NOW - 600,
    until: int = NOW + 600,
    issuer: str | None = None,
    partial: bool = False,
) -> bytes:
    """The root's revocation list, DER; a partial one is about authorities only."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(_name(issuer or root))
        .last_update(moment(made))
        .next_update(moment(until))
    )
    for one in revoked:
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder()
            .serial_number(one.serial_number)
            .revocation_date(moment(made) - timedelta(days=1))
            .build()
        )
    if partial:
        scope = x509.IssuingDistributionPoint(None, None, False, True, None, False, False)
        builder = builder.add_extension(scope, critical=True)
    return builder.sign(_root_key(root), SHA256()).public_bytes(Encoding.DER)


def anchors(**bent: Any) -> Anchors:
    """What the KRD pins."""
    return Anchors(**{"authority": authority(), "overseer": overseer().certificate, **bent})


def binding(**bent: Any) -> Binding:
    """The KRD's binding to the KDH, with a list in force."""
    return Binding(**{"certificate": kdh().certificate, "crl_der": crl(made=NOW - 900), **bent})


def token(
    algorithm: KeyAlgorithm = KeyAlgorithm.AES_128,
    *,
    freshness: TwoPass | OnePass | None = None,
    **form: Any,
) -> bytes:
    """A right token for the KRD."""
    return compose(
        KEYS[algorithm],
        KeyBlockHeader(algorithm),
        krd().certificate,
        kdh(),
        freshness or TwoPass(NONCE),
        TokenForm(**form),
    )


def forged(
    *,
    header: Any = AES,
    header_signed: Any = None,
    key: bytes = KEYS[KeyAlgorithm.AES_128],
    inside: x509.Certificate | None = None,
    recipient: x509.Certificate | None = None,
    signer: Signer | None = None,
    attributes: tuple[bytes, ...] = (TwoPass(NONCE).attribute(),),
    dialect: Dialect = Dialect.STRICT_CMS,
    envelope_dialect: Dialect | None = None,
    enveloped: bytes | None = None,
    kind: bytes = ENVELOPED_DATA,
    crls: tuple[bytes, ...] = (),
) -> bytes:
    """A token that the KDH really signed, wrong in what the arguments say: what a thief could."""
    content = enveloped or envelope(
        key,
        header,
        inside or kdh().certificate,
        recipient or krd().certificate,
        cipher=ContentCipher.AES_128,
        dialect=envelope_dialect or dialect,
    )
    signed_attributes = (*attributes, header_attribute(header_signed or header))
    return signed(
        Content(kind, content), signed_attributes, signer or kdh(), dialect=dialect, crls=crls
    )


@dataclass(frozen=True)
class FalseHeader:
    """A header of any 16 characters, on a key of any length."""

    text: bytes
    algorithm: Any = KeyAlgorithm.AES_128

    def __bytes__(self) -> bytes:
        """The characters."""
        return self.text


def rewritten(enveloped: bytes, *, inside: bool, bare: bool) -> bytes:
    """An envelope in the form of the older examples: the ciphertext inside, the header gone."""
    body = whole(enveloped).members()
    version, recipients = body.take(INTEGER).raw, body.take(SET).raw
    content = body.take(SEQUENCE).members()
    kind, algorithm = content.take(OBJECT_ID).raw, content.take(SEQUENCE)
    ciphertext = content.take(CONTEXT_0_PRIMITIVE).raw
    if inside:
        moved = wrapped(SEQUENCE, kind, wrapped(SEQUENCE, algorithm.value, ciphertext))
    else:
        moved = wrapped(SEQUENCE, kind, algorithm.raw, ciphertext)
    members = version + recipients + moved
    return members if bare else wrapped(SEQUENCE, members)


def opened(token_bytes: bytes, **bent: Any) -> reading.Opened:
    """Open a token as the KRD would, with a right nonce unless bent."""
    given: dict[str, Any] = {
        "krd": krd(),
        "binding": binding(),
        "anchors": anchors(),
        "freshness": reading.TwoPass(NONCE),
        "now": NOW,
        "policy": None,
        **bent,
    }
    return reading.open_key_token(token_bytes, **given)
