"""Sample EPPs: what the factory makes is what the registry accepts, and what openssl can open."""

from hashlib import sha256
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from ceremony.encoding import b64url
from ceremony.eppcertificate import EntryError, read_epp_certificate
from ceremony.reasons import Reason
from terminal.epp import Epp
from terminal.epperrors import EppCode, EppError
from terminal.eppfactory import SampleRoot, make_epp, make_root, sample_private_key_pem
from terminal.keytoken import KDH_PURPOSE
from tests.support.certificates import rsa_key, sample_authority
from tests.support.eppbench import REQUEST, Bench
from tests.support.keytokens import NOW, TokenForge, certificate_like_a_kdhs, sample_kdh


class RogueKdh:
    """Signs tokens with an EPP's key under that EPP's certificate."""

    not_after = NOW + 86_400

    def __init__(self, key: rsa.RSAPrivateKey, certificate_der: bytes) -> None:
        """Take the EPP's key and certificate."""
        self._key = key
        self.certificate_der = certificate_der
        self.thumbprint = b64url(sha256(certificate_der).digest())

    def sign(self, message: bytes) -> bytes:
        """Sign by PS256."""
        return self._key.sign(message, PSS(MGF1(SHA256()), 32), SHA256())


@pytest.fixture(scope="module")
def root() -> SampleRoot:
    """A sample root."""
    return make_root(now=NOW)


@pytest.mark.parametrize("bits", [2048, 3072, 4096])
def test_the_registry_accepts_a_sample_certificate(
    root: SampleRoot, tmp_path: Path, bits: int
) -> None:
    """A sample EPP's certificate passes the registry's check under the sample root."""
    store = make_epp(
        tmp_path, root, terminal_no="ATM-0001", kdh_thumbprint=None, now=NOW, bits=bits
    )
    der = Epp(store).get_certificate()
    read = read_epp_certificate(der, (root.certificate,), now=NOW)
    assert read.fingerprint == sha256(der).hexdigest() == Epp(store).fingerprint
    key = load_pem_private_key(sample_private_key_pem(store), password=None)
    assert isinstance(key, rsa.RSAPrivateKey)
    assert key.public_key() == read.public_key
    assert key.key_size == bits


def test_another_root_does_not_accept_it(root: SampleRoot, tmp_path: Path) -> None:
    """Roots of the same name are told apart by their keys."""
    store = make_epp(
        tmp_path, root, terminal_no="ATM-0001", kdh_thumbprint=None, now=NOW, bits=2048
    )
    der = Epp(store).get_certificate()
    with pytest.raises(EntryError) as caught:
        read_epp_certificate(der, (make_root(now=NOW).certificate,), now=NOW)
    assert caught.value.reason is Reason.EPP_CERTIFICATE_UNTRUSTED


def test_a_root_is_written_and_read(root: SampleRoot) -> None:
    """A root's PEM files give the same root."""
    again = SampleRoot.from_pem(root.key_pem, root.certificate_pem)
    assert again.certificate == root.certificate
    assert again.key.private_numbers() == root.key.private_numbers()
    assert str(root.key.private_numbers().d) not in repr(root)


@pytest.mark.parametrize("bits", [1024, 2047, 8192])
def test_other_key_sizes_are_not_made(root: SampleRoot, tmp_path: Path, bits: int) -> None:
    """An EPP has RSA-2048, 3072 or 4096."""
    with pytest.raises(ValueError, match="2048"):
        make_epp(tmp_path, root, terminal_no="ATM-0001", kdh_thumbprint=None, now=NOW, bits=bits)


def refused_as_kdh(folder: Path, key: rsa.RSAPrivateKey, certificate_der: bytes) -> None:
    """An EPP that pins this certificate refuses a token that its key signed."""
    rogue = RogueKdh(key, certificate_der)
    bench = Bench.make(folder, kdh_thumbprint=rogue.thumbprint)
    token = TokenForge(rogue).token(bench.payload())
    with pytest.raises(EppError) as caught:
        bench.epp.import_key_token(token, request_id=REQUEST)
    assert caught.value.code is EppCode.INVALID_CERT_STATE


def test_an_epps_certificate_is_no_kdhs(tmp_path: Path) -> None:
    """An EPP's certificate that somebody managed to have pinned signs no token."""
    key = rsa_key("rogue EPP", 3072)
    refused_as_kdh(tmp_path / "epp", key, sample_authority().issue(key.public_key()))


@pytest.mark.parametrize(
    "purposes",
    [
        None,
        [ExtendedKeyUsageOID.SERVER_AUTH],
        [KDH_PURPOSE, ExtendedKeyUsageOID.SERVER_AUTH],
    ],
)
def test_a_servers_certificate_is_no_kdhs(
    tmp_path: Path, purposes: list[x509.ObjectIdentifier] | None
) -> None:
    """A certificate that may sign, for another purpose or a second one, signs no token."""
    key = rsa_key("purpose", 3072)
    pem = certificate_like_a_kdhs(key, purposes=purposes)
    der = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    refused_as_kdh(tmp_path / "epp", key, der)


def test_a_short_kdh_key_is_refused(tmp_path: Path) -> None:
    """RSA-2048 signs no token, whatever its certificate says."""
    key = rsa_key("short", 2048)
    pem = certificate_like_a_kdhs(key, purposes=[KDH_PURPOSE])
    der = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    refused_as_kdh(tmp_path / "epp", key, der)


def test_the_kdhs_certificate_is_no_epps(root: SampleRoot) -> None:
    """The KDH's certificate is refused as an EPP's, even were it issued by the root."""
    der = sample_kdh().certificate_der
    own = x509.load_der_x509_certificate(der)
    with pytest.raises(EntryError):
        read_epp_certificate(der, (root.certificate, own), now=NOW)
