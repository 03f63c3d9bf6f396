"""The token formats of the software key manager, one object each.

A format says which TMKs it carries and to which kind of EPP key, and composes its tokens. `REACH`
is the one table of that; whoever chooses a format, before there is a key, reads it there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, Protocol

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from ceremony.encoding import from_hex
from ceremony.eppcertificate import EppKey
from ceremony.sm2 import Sm2PublicKey
from keymanagement import oaepjws
from keymanagement.algorithm import KeyAlgorithm
from keymanagement.gm import keytoken as gm
from keymanagement.oaepjws import TokenSigner
from keymanagement.port import FormatUnsupported, TermsRefused, TokenTerms
from keymanagement.tr34 import keytoken as tr34
from keymanagement.tr34.form import ContentCipher
from keymanagement.tr34.header import KeyBlockHeader
from keymanagement.tr34.identity import CmsSigner

_OAEP: Final = OAEP(mgf=MGF1(SHA256()), algorithm=SHA256(), label=None)


@dataclass(frozen=True, slots=True)
class Reach:
    """The algorithms of the TMKs that a format carries, and the kind of EPP key that opens it."""

    algorithms: frozenset[KeyAlgorithm]
    epp_key: Literal["RSA", "SM2"]

    def takes(self, key: EppKey) -> bool:
        """Tell whether an EPP with this key can open tokens of the format."""
        return isinstance(key, Sm2PublicKey) == (self.epp_key == "SM2")


REACH: Final[Mapping[str, Reach]] = MappingProxyType(
    {
        tr34.FORMAT: Reach(
            frozenset(one for one in KeyAlgorithm if any(c.carries(one) for c in ContentCipher)),
            "RSA",
        ),
        oaepjws.FORMAT: Reach(frozenset(KeyAlgorithm) - {KeyAlgorithm.SM4}, "RSA"),
        gm.FORMAT: Reach(frozenset({KeyAlgorithm.SM4}), "SM2"),
    }
)
"""Every token format that a key manager of ours makes, best first."""


class TokenFormat(Protocol):
    """One format with the KDH that signs it."""

    @property
    def name(self) -> str:
        """The format's name in requests, policies and tokens: a key of `REACH`."""
        ...

    def compose(
        self,
        key: bytes,
        algorithm: KeyAlgorithm,
        terms: TokenTerms,
        epp: x509.Certificate,
        epp_key: EppKey,
    ) -> bytes:
        """Make the token of a clear key; the terms have been checked.

        Raises:
            TermsRefused: if the token would outlive the KDH's certificate, or its own rules.
            TransportTooWeak: if the envelope is weaker than the TMK.
            FormatUnsupported: if the TMK or the EPP's key is of another kind than `REACH` says.
        """
        ...


class Tr34Format:
    """`tr34`: in the dialect and under the cipher that the terms ask for."""

    name = tr34.FORMAT

    def __init__(self, signer: CmsSigner, not_after: int) -> None:
        """Take the KDH and the end of its certificate, Unix seconds."""
        self._signer = signer
        self._not_after = not_after

    def compose(
        self,
        key: bytes,
        algorithm: KeyAlgorithm,
        terms: TokenTerms,
        epp: x509.Certificate,
        epp_key: EppKey,
    ) -> bytes:
        """Make the token; see `TokenFormat`."""
        _rsa(self.name, epp_key)
        if terms.expires_at > self._not_after:
            raise TermsRefused("the token would outlive the KDH certificate")
        header = KeyBlockHeader(algorithm, terms.key_usage)
        fresh = tr34.TwoPass(from_hex(terms.krd_nonce))
        return tr34.compose(key, header, epp, self._signer, fresh, terms.form)


class OaepJwsFormat:
    """`oaep-jws`: RSAES-OAEP with SHA-256."""

    name = oaepjws.FORMAT

    def __init__(self, signer: TokenSigner) -> None:
        """Take the KDH."""
        self._signer = signer

    def compose(
        self,
        key: bytes,
        algorithm: KeyAlgorithm,
        terms: TokenTerms,
        epp: x509.Certificate,
        epp_key: EppKey,
    ) -> bytes:
        """Make the token; see `TokenFormat`."""
        if algorithm not in REACH[self.name].algorithms:
            raise FormatUnsupported(f"{self.name} does not carry {algorithm}")
        encrypted = _rsa(self.name, epp_key).encrypt(key, _OAEP)
        return oaepjws.compose(terms, algorithm, encrypted, self._signer).value


class GmEnvelopeFormat:
    """`gm-envelope`: SM4 keys to SM2 EPPs."""

    name = gm.FORMAT

    def __init__(self, signer: gm.Sm2Signer) -> None:
        """Take the KDH's SM2 identity."""
        self._signer = signer

    def compose(
        self,
        key: bytes,
        algorithm: KeyAlgorithm,
        terms: TokenTerms,
        epp: x509.Certificate,
        epp_key: EppKey,
    ) -> bytes:
        """Make the token; see `TokenFormat`."""
        if algorithm is not KeyAlgorithm.SM4 or not isinstance(epp_key, Sm2PublicKey):
            raise FormatUnsupported("gm-envelope carries SM4 keys to SM2 EPPs")
        return gm.compose(key, terms, epp, epp_key, self._signer)


def _rsa(token_format: str, key: EppKey) -> RSAPublicKey:
    if not isinstance(key, RSAPublicKey):
        raise FormatUnsupported(f"{token_format} is for RSA EPPs")
    return key
