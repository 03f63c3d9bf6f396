"""Credential, bind, rebind and unbind tokens: how a KRD comes to know its KDH, and forgets it.

ASC X9 TR 34-2019, annex B.6 and B.10 to B.14. The KDH writes CT-KDH, RBT-KDH and UBT-KDH; the
authority above both writes RBT-CA and UBT-CA when the KDH no longer can. A KRD writes CT-KRD and
RT-KRD; here they are read, by the library's own DER decoder.
"""

from typing import Annotated, Final

from cryptography import x509
from cryptography.hazmat.asn1 import TLV, Explicit, Implicit, SetOf, decode_der, sequence
from cryptography.x509 import Certificate, ObjectIdentifier

from keymanagement.port import KeyManagementError
from keymanagement.tr34.identifiers import DATA, SIGNED_DATA
from keymanagement.tr34.identity import CmsSigner, issuer_and_serial
from keymanagement.tr34.keytoken import LEAST_NONCE, MOST_BYTES, MOST_NONCE, TwoPass
from keymanagement.tr34.signeddata import Content, container, signed, unsigned

_SIGNED_DATA: Final = ObjectIdentifier("1.2.840.113549.1.7.2")
_DATA: Final = ObjectIdentifier("1.2.840.113549.1.7.1")
_RANDOM_NONCE: Final = ObjectIdentifier("1.2.840.113549.1.9.25.3")


class CredentialMalformed(KeyManagementError):
    """What a KRD sent is no CT-KRD or RT-KRD; the message holds nothing of it."""


def kdh_credential(kdh: x509.Certificate, crl_der: bytes) -> bytes:
    """CT-KDH: the KDH's certificate and its authority's CRL (DER); nobody signs the token."""
    return container(kdh, (crl_der,))


def kdh_rebind(
    krd: x509.Certificate, nonce: bytes, new_kdh: x509.Certificate, crl_der: bytes, kdh: CmsSigner
) -> bytes:
    """RBT-KDH: the bound KDH hands a KRD over to a new one, on the KRD's nonce."""
    inner = unsigned(issuer_and_serial(krd), new_kdh, (crl_der,))
    return signed(Content(SIGNED_DATA, inner), (TwoPass(nonce).attribute(),), kdh)


def kdh_unbind(krd: x509.Certificate, nonce: bytes, kdh: CmsSigner) -> bytes:
    """UBT-KDH: the bound KDH lets a KRD go, on the KRD's nonce."""
    return signed(Content(DATA, issuer_and_serial(krd)), (TwoPass(nonce).attribute(),), kdh)


def authority_rebind(
    krd: x509.Certificate,
    old_kdh: x509.Certificate,
    new_kdh: x509.Certificate,
    crl_der: bytes,
    authority: CmsSigner,
) -> bytes:
    """RBT-CA: the authority hands a KRD over from one KDH to another; it serves no other pair."""
    inner = unsigned(_pair(krd, old_kdh), new_kdh, (crl_der,))
    return signed(Content(SIGNED_DATA, inner), (), authority)


def authority_unbind(krd: x509.Certificate, kdh: x509.Certificate, authority: CmsSigner) -> bytes:
    """UBT-CA: the authority frees a KRD of one KDH."""
    return signed(Content(DATA, _pair(krd, kdh)), (), authority)


def read_krd_credential(token: bytes) -> x509.Certificate:
    """Read a CT-KRD. What comes back is a claim: `ceremony.eppcertificate` judges it.

    Raises:
        CredentialMalformed: if it is not an unsigned SignedData with one certificate and no CRL.
    """
    _require_length(token)
    try:
        read = decode_der(_ContentInfo, token)
    except ValueError as error:
        raise CredentialMalformed("no KRD credential token") from error
    body = read.content
    certificates = body.certificates.as_list() if body.certificates is not None else []
    if (
        (read.kind, body.encapsulated.kind) != (_SIGNED_DATA, _DATA)
        or len(certificates) != 1
        # a list of revocations would make it a KDH's credential
        or (body.crls is not None and body.crls.as_list())
        or body.signers.as_list()
    ):
        raise CredentialMalformed("no KRD credential token")
    return certificates[0]


def read_krd_random(token: bytes) -> bytes:
    """Read an RT-KRD: the KRD's nonce.

    Raises:
        CredentialMalformed: if it is not one randomNonce of 8 to 16 bytes.
    """
    _require_length(token)
    try:
        read = decode_der(_RandomAttribute, token)
    except ValueError as error:
        raise CredentialMalformed("no KRD random number token") from error
    values = read.values.as_list()
    if read.kind != _RANDOM_NONCE or len(values) != 1:
        raise CredentialMalformed("no KRD random number token")
    if not LEAST_NONCE <= len(values[0]) <= MOST_NONCE:
        raise CredentialMalformed("a KRD's nonce has 8 to 16 bytes")
    return values[0]


def _pair(krd: x509.Certificate, kdh: x509.Certificate) -> bytes:
    # annex B.10 and B.13 join the two without anything around them
    return issuer_and_serial(krd) + issuer_and_serial(kdh)


def _require_length(token: bytes) -> None:
    if len(token) > MOST_BYTES:
        raise CredentialMalformed("the token is too long")


@sequence
class _RandomAttribute:
    kind: ObjectIdentifier
    values: SetOf[bytes]


@sequence
class _Encapsulated:
    kind: ObjectIdentifier


@sequence
class _SignedData:
    version: int
    digests: SetOf[TLV]
    encapsulated: _Encapsulated
    certificates: Annotated[SetOf[Certificate] | None, Implicit(0)]
    crls: Annotated[SetOf[TLV] | None, Implicit(1)]
    signers: SetOf[TLV]


@sequence
class _ContentInfo:
    kind: ObjectIdentifier
    content: Annotated[_SignedData, Explicit(0)]
