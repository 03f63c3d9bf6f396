"""CMS SignedData (RFC 5652 section 5) as TR-34 uses it: one signer, or none at all."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from keymanagement.tr34.der import (
    context,
    integer,
    octets,
    sequence,
    set_as_listed,
    set_of,
)
from keymanagement.tr34.dialect import Dialect
from keymanagement.tr34.envelope import attribute
from keymanagement.tr34.identifiers import (
    CONTENT_TYPE,
    DATA,
    MESSAGE_DIGEST,
    RSA_ENCRYPTION,
    SHA256,
    SHA256_WITH_RSA,
    SIGNED_DATA,
)
from keymanagement.tr34.identity import CmsSigner, issuer_and_serial

_DIGEST: Final = sequence(SHA256)
_DATA_VERSION: Final = 1
_OTHER_VERSION: Final = 3


@dataclass(frozen=True, slots=True)
class Content:
    """What is signed: its type, an encoded identifier, and its bytes."""

    kind: bytes
    value: bytes


def signed(
    content: Content,
    attributes: Sequence[bytes],
    signer: CmsSigner,
    *,
    dialect: Dialect = Dialect.STRICT_CMS,
    crls: Sequence[bytes] = (),
) -> bytes:
    """Sign content; returns the ContentInfo, DER but for the dialect's own order.

    `attributes` are the signed ones beside content type and message digest, encoded. Annex B
    signs them as listed: content type first, message digest last; CMS in DER's order.
    """
    strict = dialect is Dialect.STRICT_CMS
    listed = (
        attribute(CONTENT_TYPE, content.kind),
        *attributes,
        attribute(MESSAGE_DIGEST, octets(sha256(content.value).digest())),
    )
    ordered = tuple(sorted(listed)) if strict else listed
    signer_info = sequence(
        integer(1),
        issuer_and_serial(x509.load_der_x509_certificate(signer.certificate_der)),
        _DIGEST,
        context(0, *ordered),
        SHA256_WITH_RSA if strict else RSA_ENCRYPTION,
        octets(signer.sign_pkcs1(set_as_listed(*ordered))),
    )
    version = _OTHER_VERSION if strict and content.kind != DATA else _DATA_VERSION
    return _content_info(
        sequence(
            integer(version),
            set_of(_DIGEST),
            sequence(content.kind, context(0, octets(content.value))),
            *((context(1, *sorted(crls)),) if crls else ()),
            set_of(signer_info),
        )
    )


def unsigned(
    content: bytes | None, certificate: x509.Certificate, crls: Sequence[bytes] = ()
) -> bytes:
    """SignedData without a signer, a mere container of a certificate, CRLs (DER) and data."""
    encapsulated = (DATA,) if content is None else (DATA, context(0, octets(content)))
    return sequence(
        integer(_DATA_VERSION),
        set_of(),
        sequence(*encapsulated),
        context(0, certificate.public_bytes(Encoding.DER)),
        *((context(1, *sorted(crls)),) if crls else ()),
        set_of(),
    )


def container(certificate: x509.Certificate, crls: Sequence[bytes] = ()) -> bytes:
    """The ContentInfo of an unsigned SignedData without content."""
    return _content_info(unsigned(None, certificate, crls))


def _content_info(signed_data: bytes) -> bytes:
    return sequence(SIGNED_DATA, context(0, signed_data))
