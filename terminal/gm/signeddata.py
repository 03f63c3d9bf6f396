"""Reading GB/T 35275 SignedData over `data`, with one signer and three signed attributes.

Every field has one permitted value or is signed: no bit of a token can change unnoticed.
"""

import hmac
from dataclasses import dataclass, field
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SM3, Hash

from terminal.gm import identifiers as ids
from terminal.gm.refusal import GmRefused, Rule
from terminal.gm.sm2 import require_signed
from terminal.tr34.certificates import issuer_and_serial
from terminal.tr34.der import (
    CONTEXT_0,
    INTEGER,
    OBJECT_ID,
    OCTETS,
    SEQUENCE,
    SET,
    Element,
    NotDer,
    whole,
    wrapped,
)

MOST_BYTES: Final = 16_384
_VERSION: Final = 1
_DIGEST: Final = wrapped(SEQUENCE, wrapped(OBJECT_ID, ids.SM3))
_SIGNATURE: Final = wrapped(SEQUENCE, wrapped(OBJECT_ID, ids.SM2_SIGNATURE))
_KIND: Final = wrapped(OBJECT_ID, ids.DATA)
_ATTRIBUTES: Final = frozenset({ids.CONTENT_TYPE, ids.MESSAGE_DIGEST, ids.KEY_TERMS})


@dataclass(frozen=True, slots=True)
class Signed:
    """A SignedData, read but not yet believed; `signer` and `terms` are encoded.

    `terms` is the whole attribute, `to_be_signed` the attributes as the SET that was signed.
    """

    content: bytes = field(repr=False)
    signer: bytes = field(repr=False)
    digest: bytes = field(repr=False)
    terms: Element = field(repr=False)
    to_be_signed: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    def require_signed_by(self, certificate: x509.Certificate, point: bytes) -> None:
        """Pass only if this KDH signed attributes and content; `point` is its certified key.

        Raises:
            GmRefused: SIGNER, SIGNATURE, DIGEST or NO_SM2.
            NotDer: if the signature is malformed.
        """
        if not hmac.compare_digest(self.signer, issuer_and_serial(certificate)):
            raise GmRefused(Rule.SIGNER)
        require_signed(point, self.to_be_signed, self.signature)
        digest = Hash(SM3())
        digest.update(self.content)
        if not hmac.compare_digest(self.digest, digest.finalize()):
            raise GmRefused(Rule.DIGEST)


def read_signed(token: bytes) -> Signed:
    """Read a ContentInfo that holds SignedData over `data`.

    Raises:
        NotDer: if it is anything else, or longer than 16 384 bytes.
    """
    if len(token) > MOST_BYTES:
        raise NotDer("the token is too long")
    info = whole(token).members()
    _require(info.take(OBJECT_ID).value == ids.SIGNED_DATA)
    body = info.take(CONTEXT_0).only(SEQUENCE).members()
    info.end()
    _require(body.take(INTEGER).integer() == _VERSION)
    _require(body.take(SET).only(SEQUENCE).raw == _DIGEST)
    encapsulated = body.take(SEQUENCE).members()
    _require(encapsulated.take(OBJECT_ID).value == ids.DATA)
    content = encapsulated.take(CONTEXT_0).only(OCTETS).value
    encapsulated.end()
    signer = body.take(SET).only(SEQUENCE).members()
    body.end()
    _require(signer.take(INTEGER).integer() == _VERSION)
    name = signer.take(SEQUENCE).raw
    _require(signer.take(SEQUENCE).raw == _DIGEST)
    listed = signer.take(CONTEXT_0)
    _require(signer.take(SEQUENCE).raw == _SIGNATURE)
    signature = signer.take(OCTETS).value
    signer.end()
    values = _values(listed)
    # the one type of content there is: a wrong one is no reason of its own
    _require(values[ids.CONTENT_TYPE].value == _KIND)
    return Signed(
        content=content,
        signer=name,
        digest=values[ids.MESSAGE_DIGEST].only(OCTETS).value,
        terms=values[ids.KEY_TERMS],
        to_be_signed=wrapped(SET, listed.value),
        signature=signature,
    )


def _values(listed: Element) -> dict[bytes, Element]:
    """Each attribute's SET of values, by its type: the three, once each, in DER's order."""
    attributes = listed.members().all(SEQUENCE)
    found: dict[bytes, Element] = {}
    for one in attributes:
        members = one.members()
        kind = members.take(OBJECT_ID).value
        found[kind] = members.take(SET)
        members.end()
    raws = [one.raw for one in attributes]
    _require(found.keys() == _ATTRIBUTES and len(raws) == len(found) and raws == sorted(raws))
    return found


def _require(right: bool) -> None:
    if not right:
        raise NotDer("not a SignedData of the one permitted form")
