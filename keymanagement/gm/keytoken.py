"""The token format `gm-envelope`: an SM4 TMK enveloped to an SM2 EPP, signed by the KDH's SM2 key.

GB/T 35275 (GM/T 0010) SignedData over `data`, and that data is the ContentInfo of an EnvelopedData:
what two calls of any GM library make and read, and what is digested is beyond doubt. The signed
attributes are content type, message digest (SM3) and the key's terms with the EPP's nonce in them.
No KCV: it would let the terminal's software claim a load that never was (design, section 9).

docs/adr/0015-gm-envelope.md says why, and what was checked against another implementation.
"""

from typing import Final, Protocol

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SM3, Hash

from ceremony.sm2 import Sm2PublicKey
from keymanagement.algorithm import KeyAlgorithm
from keymanagement.gm import identifiers as ids
from keymanagement.gm.envelope import envelope
from keymanagement.gm.terms import key_block, terms_attribute
from keymanagement.port import TermsRefused, TokenTerms
from keymanagement.tr34.der import context, integer, octets, sequence, set_as_listed, set_of
from keymanagement.tr34.envelope import attribute
from keymanagement.tr34.identity import issuer_and_serial

FORMAT: Final = "gm-envelope"
MOST_BYTES: Final = 16_384
"""Length of a token in bytes: what an EPP is sent at most."""
_VERSION: Final = 1


class Sm2Signer(Protocol):
    """The KDH as `gm-envelope` tokens need it."""

    @property
    def certificate_der(self) -> bytes:
        """The KDH's SM2 certificate, DER."""
        ...

    @property
    def not_after(self) -> int:
        """Unix seconds after which the certificate is no longer valid."""
        ...

    def sign_sm2(self, message: bytes) -> bytes:
        """Sign by SM2 with SM3 and the default identifier; returns SM2Signature, DER."""
        ...


def compose(
    key: bytes,
    terms: TokenTerms,
    epp: x509.Certificate,
    epp_key: Sm2PublicKey,
    signer: Sm2Signer,
) -> bytes:
    """Make the token of a clear SM4 key for an EPP; returns the ContentInfo, DER.

    Raises:
        TermsRefused: if a length is wrong, or the token would outlive the KDH's certificate.
        Sm2Missing: if there is no SM2 here.
    """
    if len(key) != KeyAlgorithm.SM4.key_bytes:
        raise TermsRefused("an SM4 key has 16 bytes")
    if terms.expires_at > signer.not_after:
        raise TermsRefused("the token would outlive the KDH certificate")
    kdh = x509.load_der_x509_certificate(signer.certificate_der)
    enveloped = envelope(key_block(key, kdh, terms), epp, epp_key)
    token = signed(enveloped, terms_attribute(terms), kdh, signer)
    if len(token) > MOST_BYTES:
        raise TermsRefused("the token is longer than an EPP takes")
    return token


def signed(content: bytes, terms: bytes, kdh: x509.Certificate, signer: Sm2Signer) -> bytes:
    """Sign an envelope; returns the ContentInfo, DER.

    `terms` is the terms' attribute, encoded; `kdh` the certificate by which the signer is named.
    """
    digest = Hash(SM3())
    digest.update(content)
    attributes = sorted(
        (
            attribute(ids.CONTENT_TYPE, ids.DATA),
            attribute(ids.MESSAGE_DIGEST, octets(digest.finalize())),
            terms,
        )
    )
    signer_info = sequence(
        integer(_VERSION),
        issuer_and_serial(kdh),
        ids.SM3,
        context(0, *attributes),
        ids.SM2_SIGNATURE,
        octets(signer.sign_sm2(set_as_listed(*attributes))),
    )
    signed_data = sequence(
        integer(_VERSION),
        set_of(ids.SM3),
        sequence(ids.DATA, context(0, octets(content))),
        set_of(signer_info),
    )
    return sequence(ids.SIGNED_DATA, context(0, signed_data))
