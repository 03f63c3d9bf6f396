"""Reading CMS SignedData (RFC 5652 section 5) with one signer, and checking its signature.

Every field has one permitted value or is signed: no bit of a token can change unnoticed.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from terminal.tr34.certificates import issuer_and_serial
from terminal.tr34.der import (
    CONTEXT_0,
    CONTEXT_1,
    INTEGER,
    NULL,
    OBJECT_ID,
    OCTETS,
    SEQUENCE,
    SET,
    Element,
    NotDer,
    Reader,
    whole,
    wrapped,
)
from terminal.tr34.identifiers import (
    CONTENT_TYPE,
    MESSAGE_DIGEST,
    RSA_ENCRYPTION,
    SHA256,
    SHA256_WITH_RSA,
    SIGNED_DATA,
)
from terminal.tr34.refusal import Rule, Tr34Refused

MOST_BYTES: Final = 16_384
_DIGEST: Final = wrapped(SEQUENCE, wrapped(OBJECT_ID, SHA256))
_SIGNATURES: Final = tuple(
    wrapped(SEQUENCE, wrapped(OBJECT_ID, one), wrapped(NULL))
    for one in (RSA_ENCRYPTION, SHA256_WITH_RSA)
)


@dataclass(frozen=True, slots=True)
class Signed:
    """A SignedData with one signer, read but not yet believed; all but `attributes` is encoded.

    `signer` is the signer's IssuerAndSerialNumber, `order` the attributes' identifiers as they
    stand, `to_be_signed` the attributes as the SET that was signed.
    """

    version: int
    kind: bytes
    content: bytes = field(repr=False)
    crls: tuple[bytes, ...] = field(repr=False)
    signer: bytes = field(repr=False)
    attributes: Mapping[bytes, Element] = field(repr=False)
    order: tuple[bytes, ...] = field(repr=False)
    in_der_order: bool
    to_be_signed: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    def attribute(self, kind: bytes, tag: int) -> bytes | None:
        """The value of a signed attribute, None if it is absent.

        Raises:
            NotDer: if it is of another tag.
        """
        found = self.attributes.get(kind)
        if found is not None and found.tag != tag:
            raise NotDer("an attribute has another type")
        return None if found is None else found.value

    def require_signed_by(self, certificate: x509.Certificate) -> None:
        """Pass only if the certificate's key signed attributes and content.

        Raises:
            Tr34Refused: SIGNER, SIGNATURE, CONTENT_KIND or DIGEST.
            NotDer: if a signed attribute is malformed.
        """
        key = certificate.public_key()
        named = hmac.compare_digest(self.signer, issuer_and_serial(certificate))
        if not named or not isinstance(key, RSAPublicKey):
            raise Tr34Refused(Rule.SIGNER)
        try:
            key.verify(self.signature, self.to_be_signed, PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            raise Tr34Refused(Rule.SIGNATURE) from None
        if self.attribute(CONTENT_TYPE, OBJECT_ID) != self.kind:
            raise Tr34Refused(Rule.CONTENT_KIND)
        digest = self.attribute(MESSAGE_DIGEST, OCTETS) or b""
        if not hmac.compare_digest(digest, sha256(self.content).digest()):
            raise Tr34Refused(Rule.DIGEST)


def read_signed(token: bytes) -> Signed:
    """Read a ContentInfo that holds SignedData with content and one signer.

    Raises:
        NotDer: if it is anything else, or longer than 16 384 bytes.
    """
    body = signed_data_of(token)
    version = body.take(INTEGER).integer()
    if body.take(SET).only(SEQUENCE).raw != _DIGEST:
        raise NotDer("the digest is SHA-256")
    encapsulated = body.take(SEQUENCE).members()
    kind = encapsulated.take(OBJECT_ID).value
    content = encapsulated.take(CONTEXT_0).only(OCTETS).value
    encapsulated.end()
    crls = body.take_if(CONTEXT_1)
    signer = body.take(SET).only(SEQUENCE).members()
    body.end()
    if signer.take(INTEGER).integer() != 1:
        raise NotDer("the signer is named by issuer and serial number")
    name = signer.take(SEQUENCE).raw
    if signer.take(SEQUENCE).raw != _DIGEST:
        raise NotDer("the digest is SHA-256")
    attributes = signer.take(CONTEXT_0)
    if signer.take(SEQUENCE).raw not in _SIGNATURES:
        raise NotDer("the signature is RSA with SHA-256")
    signature = signer.take(OCTETS).value
    signer.end()
    listed = attributes.members().all(SEQUENCE)
    pairs = tuple(_attribute(one) for one in listed)
    if len(dict(pairs)) != len(pairs):
        raise NotDer("an attribute stands twice")
    raws = [one.raw for one in listed]
    return Signed(
        version=version,
        kind=kind,
        content=content,
        crls=() if crls is None else _crls(crls),
        signer=name,
        attributes=dict(pairs),
        order=tuple(kind for kind, _ in pairs),
        in_der_order=raws == sorted(raws),
        to_be_signed=wrapped(SET, attributes.value),
        signature=signature,
    )


def signed_data_of(token: bytes) -> Reader:
    """Open a ContentInfo around SignedData.

    Raises:
        NotDer: if it is none, or longer than 16 384 bytes.
    """
    if len(token) > MOST_BYTES:
        raise NotDer("the token is too long")
    info = whole(token).members()
    if info.take(OBJECT_ID).value != SIGNED_DATA:
        raise NotDer("no SignedData")
    inner = info.take(CONTEXT_0).only(SEQUENCE)
    info.end()
    return inner.members()


def _crls(listed: Element) -> tuple[bytes, ...]:
    crls = tuple(one.raw for one in listed.members().all(SEQUENCE))
    if len(crls) != 1:
        raise NotDer("there is one revocation list, or none")
    return crls


def _attribute(element: Element) -> tuple[bytes, Element]:
    members = element.members()
    kind = members.take(OBJECT_ID).value
    values = members.take(SET)
    members.end()
    # one value, of whatever type: the first octet is its tag
    return kind, whole(values.value, values.value[0] if values.value else SEQUENCE)
