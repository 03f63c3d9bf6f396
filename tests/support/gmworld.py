"""A KDH with an SM2 identity, SM2 EPPs, and `gm-envelope` tokens right or wrong in one place."""

from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography import x509

from ceremony.sm2 import Sm2PublicKey
from keymanagement.gm import envelope as enveloping
from keymanagement.gm import identifiers as ids
from keymanagement.gm import keytoken as composing
from keymanagement.gm.identity import GmIdentity, make_development_gm_kdh
from keymanagement.gm.terms import key_block, terms_attribute
from keymanagement.kdh import DevelopmentKdh
from keymanagement.port import TokenTerms
from keymanagement.tr34.der import context, integer, octets, sequence, set_as_listed, set_of
from keymanagement.tr34.identity import issuer_and_serial
from terminal.eppstore import EppMemory, EppStore
from terminal.gm.factory import Sm2Pair, Sm2Root, issue_sm2_certificate, make_sm2_root
from terminal.gm.keytoken import Recipient
from terminal.gm.sm2 import Sm2PrivateKey

NOW = 1_790_000_000
NONCE = bytes(range(16))
TERMINAL = "ATM-0001"
REQUEST = "cmVxdWVzdC1vZi1hLXRlc3Qu"
KEY = bytes.fromhex("0123456789abcdeffedcba9876543210")
KCV = "2677f4"


def gm_kdh_files(label: str = "KDH") -> DevelopmentKdh:
    """The PEM files of the SM2 KDH of this label."""
    return _kdh_files(label)


@cache
def _kdh_files(label: str) -> DevelopmentKdh:
    del label
    return make_development_gm_kdh(now=NOW - 60)


def gm_kdh(label: str = "KDH") -> GmIdentity:
    """The SM2 KDH of this label."""
    return _kdh(label)


@cache
def _kdh(label: str) -> GmIdentity:
    files = gm_kdh_files(label)
    return GmIdentity.from_pem(files.key_pem, files.certificate_pem, now=NOW)


def host_certificate(label: str = "KDH") -> x509.Certificate:
    """Its certificate."""
    return x509.load_der_x509_certificate(gm_kdh(label).certificate_der)


@cache
def sm2_root() -> Sm2Root:
    """The sample maker's root."""
    return make_sm2_root(now=NOW - 3600)


@dataclass(frozen=True)
class Sm2EppKeys:
    """An SM2 EPP: its pair and its certificate, DER."""

    pair: Sm2Pair
    certificate: bytes

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, hex."""
        return sha256(self.certificate).hexdigest()


def sm2_epp(label: str = "EPP") -> Sm2EppKeys:
    """The EPP of this label."""
    return _epp(label)


@cache
def _epp(label: str) -> Sm2EppKeys:
    pair = Sm2Pair.generate()
    return Sm2EppKeys(pair, issue_sm2_certificate(sm2_root(), pair, label, now=NOW - 60))


def gm_terms(epp: Sm2EppKeys | None = None, **changes: Any) -> TokenTerms:
    """The terms of a right token, but for the changes."""
    epp = epp or sm2_epp()
    terms = TokenTerms(
        request_id=REQUEST,
        terminal_no=TERMINAL,
        epp_certificate_der=epp.certificate,
        epp_fingerprint=epp.fingerprint,
        krd_nonce=NONCE.hex(),
        issued_at=NOW,
        expires_at=NOW + 86_400,
    )
    return replace(terms, **changes)


def recipient(epp: Sm2EppKeys | None = None, **changes: Any) -> Recipient:
    """The EPP as the reader is told of it, but for the changes."""
    epp = epp or sm2_epp()
    mine = Recipient(
        terminal_no=TERMINAL,
        request_id=REQUEST,
        nonce=NONCE,
        now=NOW,
        certificate=x509.load_der_x509_certificate(epp.certificate),
        private_key=Sm2PrivateKey.read(epp.pair.pkcs8),
    )
    return replace(mine, **changes)


def gm_token(
    terms: TokenTerms | None = None, key: bytes = KEY, *, epp: Sm2EppKeys | None = None
) -> bytes:
    """A right token, as the server composes it."""
    epp = epp or sm2_epp()
    certificate = x509.load_der_x509_certificate(epp.certificate)
    point = Sm2PublicKey(epp.pair.point)
    return composing.compose(key, terms or gm_terms(epp), certificate, point, gm_kdh())


def forged(
    *,
    outside: bytes | None = None,
    block: bytes | None = None,
    content: bytes | None = None,
    to: Sm2EppKeys | None = None,
    signer: str = "KDH",
    named: str | None = None,
) -> bytes:
    """What whoever has the KDH's key could sign, wrong where the arguments say so.

    `outside` are the signed terms, `block` what is in the envelope, `content` the envelope, `to`
    whom it is for, `signer` who signs, `named` whom the token names as its signer.
    """
    epp = to or sm2_epp()
    certificate = x509.load_der_x509_certificate(epp.certificate)
    inside = block or key_block(KEY, host_certificate(), gm_terms())
    enveloped = content or enveloping.envelope(inside, certificate, Sm2PublicKey(epp.pair.point))
    return composing.signed(
        enveloped,
        outside or terms_attribute(gm_terms()),
        host_certificate(named or signer),
        gm_kdh(signer),
    )


def signed_by_hand(content: bytes, attributes: list[bytes]) -> bytes:
    """A token of the KDH's over these attributes, encoded, in this order."""
    name = issuer_and_serial(host_certificate())
    signature = gm_kdh().sign_sm2(set_as_listed(*attributes))
    signer = sequence(
        *(integer(1), name, ids.SM3, context(0, *attributes), ids.SM2_SIGNATURE),
        octets(signature),
    )
    encapsulated = sequence(ids.DATA, context(0, octets(content)))
    body = sequence(integer(1), set_of(ids.SM3), encapsulated, set_of(signer))
    return sequence(ids.SIGNED_DATA, context(0, body))


def gm_memory(epp: Sm2EppKeys | None = None, **changes: Any) -> EppMemory:
    """The memory of an SM2 EPP that pins the KDH."""
    epp = epp or sm2_epp()
    members: dict[str, Any] = {
        "terminal_no": TERMINAL,
        "private_key": epp.pair.pkcs8,
        "certificate": epp.certificate,
        "kdh_thumbprint": gm_kdh().thumbprint,
        "kdh_certificate": gm_kdh().certificate_der,
        "capacity": 2,
    }
    return EppMemory(**{**members, **changes})


def gm_store(folder: Path, **changes: Any) -> EppStore:
    """That memory in a folder."""
    return EppStore.create(folder, gm_memory(**changes))
