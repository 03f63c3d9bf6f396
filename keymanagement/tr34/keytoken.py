"""The token format `tr34`: a TMK in a key block's content, enveloped to a KRD, signed by the KDH.

ASC X9 TR 34-2019, KT-KDH: two-pass tokens name the nonce that the KRD gave out, one-pass tokens
the time of signing. Neither holds a KCV: it would let the terminal's software claim a load that
never was (design, section 9).

This module and its neighbours only compose. Whoever signs is given to them.
"""

from dataclasses import dataclass
from typing import Final

from cryptography import x509

from keymanagement.port import TermsRefused
from keymanagement.tr34.der import octets, utc_time
from keymanagement.tr34.envelope import attribute, envelope, header_attribute
from keymanagement.tr34.form import TokenForm
from keymanagement.tr34.header import KeyBlockHeader
from keymanagement.tr34.identifiers import ENVELOPED_DATA, RANDOM_NONCE, SIGNING_TIME
from keymanagement.tr34.identity import CmsSigner
from keymanagement.tr34.signeddata import Content, signed

FORMAT: Final = "tr34"
LEAST_NONCE: Final = 8
MOST_NONCE: Final = 16
MOST_BYTES: Final = 16_384
"""Length of a token in bytes: what an EPP is sent at most, certificates and CRL included."""


@dataclass(frozen=True, slots=True)
class TwoPass:
    """Freshness by the KRD's nonce, 8 to 16 bytes."""

    nonce: bytes

    def attribute(self) -> bytes:
        """The signed attribute randomNonce.

        Raises:
            TermsRefused: if the nonce has another length.
        """
        return attribute(RANDOM_NONCE, nonce_value(self.nonce))


@dataclass(frozen=True, slots=True)
class OnePass:
    """Freshness by the time of signing, Unix seconds: the KRD takes only later ones."""

    signing_time: int

    def attribute(self) -> bytes:
        """The signed attribute signingTime."""
        return attribute(SIGNING_TIME, utc_time(self.signing_time))


def nonce_value(nonce: bytes) -> bytes:
    """A KRD's nonce, encoded.

    Raises:
        TermsRefused: if it has not 8 to 16 bytes.
    """
    if not LEAST_NONCE <= len(nonce) <= MOST_NONCE:
        raise TermsRefused("a KRD's nonce has 8 to 16 bytes")
    return octets(nonce)


def compose(
    key: bytes,
    header: KeyBlockHeader,
    krd: x509.Certificate,
    signer: CmsSigner,
    freshness: TwoPass | OnePass,
    form: TokenForm | None = None,
) -> bytes:
    """Make the token of a clear key for a KRD; returns the ContentInfo's bytes.

    Raises:
        TermsRefused: if a length is wrong, or `krd` is no KRD's certificate.
        TransportTooWeak: if the KRD's key or the envelope is weaker than the TMK.
    """
    form = form or TokenForm()
    kdh = x509.load_der_x509_certificate(signer.certificate_der)
    # nothing is made of a key that no token can carry
    fresh = freshness.attribute()
    enveloped = envelope(key, header, kdh, krd, cipher=form.cipher, dialect=form.dialect)
    token = signed(
        Content(ENVELOPED_DATA, enveloped),
        (fresh, header_attribute(header)),
        signer,
        dialect=form.dialect,
        crls=() if form.crl_der is None else (form.crl_der,),
    )
    if len(token) > MOST_BYTES:
        raise TermsRefused("the token is longer than an EPP takes")
    return token
