"""Binding a KRD to a KDH, to another one, and to none: CT-KDH, RBT and UBT tokens.

ASC X9 TR 34-2019, annex B.6, B.10, B.11, B.13 and B.14, in strict CMS only: the standard's own
examples of the rebind tokens are malformed, so that no product can be built to them. Each function
returns the binding from then on; whoever calls it stores that in one step and lets a nonce answer
once.
"""

import hmac
from typing import Final

from cryptography import x509

from terminal.tr34.binding import Anchors, Binding, Krd
from terminal.tr34.certificates import (
    UNREADABLE,
    issuer_and_serial,
    require_issued,
    require_valid,
)
from terminal.tr34.der import (
    CONTEXT_0,
    CONTEXT_1,
    INTEGER,
    OBJECT_ID,
    OCTETS,
    SEQUENCE,
    SET,
    NotDer,
    Reader,
    whole,
)
from terminal.tr34.identifiers import (
    ALGORITHM_PROTECTION,
    CONTENT_TYPE,
    DATA,
    MESSAGE_DIGEST,
    RANDOM_NONCE,
    SIGNED_DATA,
    SIGNING_TIME,
)
from terminal.tr34.refusal import Rule, Tr34Refused
from terminal.tr34.signeddata import Signed, read_signed, signed_data_of

_ALWAYS: Final = frozenset({CONTENT_TYPE, MESSAGE_DIGEST, SIGNING_TIME, ALGORITHM_PROTECTION})
_VERSIONS: Final = {DATA: 1, SIGNED_DATA: 3}


def bind(token: bytes, bound: Binding | None, anchors: Anchors, *, now: int) -> Binding:
    """Take a CT-KDH: bind a free KRD, or give a bound one a newer list of its own KDH's authority.

    Nobody signs a CT-KDH: the pinned authority signed what is in it.

    Raises:
        Tr34Refused: MALFORMED, BOUND, UNBOUND (no authority is pinned), HOST_PURPOSE,
            HOST_EXPIRED, HOST_ISSUER, HOST_REVOKED, CRL_MISSING, CRL_INVALID or CRL_STALE.
    """
    try:
        body = signed_data_of(token)
        if body.take(INTEGER).integer() != _VERSIONS[DATA]:
            raise NotDer("another version")
        body.take(SET).members().end()
        if body.take(SEQUENCE).only(OBJECT_ID).value != DATA:
            raise NotDer("no credential token")
        certificate, crls = _credentials(body)
    except NotDer:
        raise Tr34Refused(Rule.MALFORMED) from None
    if bound is not None and bound.certificate != certificate:
        raise Tr34Refused(Rule.BOUND)
    return _bound(certificate, bound, crls, anchors, now)


def rebind(
    token: bytes, krd: Krd, bound: Binding | None, anchors: Anchors, nonce: bytes, *, now: int
) -> Binding:
    """Take an RBT-KDH: the bound KDH hands this KRD over to a new one, on this KRD's nonce.

    Raises:
        Tr34Refused: as `bind` of the new KDH, and UNBOUND, SIGNER, SIGNATURE, DIGEST,
            CONTENT_KIND, NONCE, RECIPIENT or DIALECT.
    """
    held = _require_bound(bound)
    try:
        signed = _read(token, SIGNED_DATA)
        current = held.verified(signed, anchors, now=now)
        _require_nonce(signed, nonce)
        named, certificate, crls = _handed_over(signed)
        _require_names(named, krd.name)
    except NotDer:
        raise Tr34Refused(Rule.MALFORMED) from None
    return _bound(certificate, current, crls, anchors, now)


def unbind(
    token: bytes, krd: Krd, bound: Binding | None, anchors: Anchors, nonce: bytes, *, now: int
) -> None:
    """Take a UBT-KDH: pass only if the bound KDH lets this KRD go, on this KRD's nonce.

    Raises:
        Tr34Refused: as `rebind`, but for the new KDH.
    """
    held = _require_bound(bound)
    try:
        signed = _read(token, DATA)
        held.verified(signed, anchors, now=now)
        _require_nonce(signed, nonce)
        _require_names(signed.content, krd.name)
    except NotDer:
        raise Tr34Refused(Rule.MALFORMED) from None


def authority_rebind(
    token: bytes, krd: Krd, bound: Binding | None, anchors: Anchors, *, now: int
) -> Binding:
    """Take an RBT-CA: the overseer hands this KRD over from the KDH that it is bound to.

    Raises:
        Tr34Refused: as `bind` of the new KDH, and UNBOUND, SIGNER, SIGNATURE, DIGEST,
            CONTENT_KIND, RECIPIENT, OTHER_HOST or DIALECT.
    """
    held = _require_bound(bound)
    try:
        signed = _read(token, SIGNED_DATA)
        _require_overseer(signed, anchors, now)
        named, certificate, crls = _handed_over(signed)
        _require_names(named, krd.name, issuer_and_serial(held.certificate))
    except NotDer:
        raise Tr34Refused(Rule.MALFORMED) from None
    return _bound(certificate, held, crls, anchors, now)


def authority_unbind(
    token: bytes, krd: Krd, bound: Binding | None, anchors: Anchors, *, now: int
) -> None:
    """Take a UBT-CA: pass only if the overseer frees this KRD of the KDH that it is bound to.

    Raises:
        Tr34Refused: as `authority_rebind`, but for the new KDH.
    """
    held = _require_bound(bound)
    try:
        signed = _read(token, DATA)
        _require_overseer(signed, anchors, now)
        _require_names(signed.content, krd.name, issuer_and_serial(held.certificate))
    except NotDer:
        raise Tr34Refused(Rule.MALFORMED) from None


def _bound(
    certificate: x509.Certificate,
    before: Binding | None,
    crls: tuple[bytes, ...],
    anchors: Anchors,
    now: int,
) -> Binding:
    if anchors.authority is None:
        raise Tr34Refused(Rule.UNBOUND)
    # the authority's signature first: until then the certificate is anybody's bytes
    require_issued(certificate, anchors.authority)
    anchors.profile.require(certificate, now=now)
    if not crls:
        raise Tr34Refused(Rule.CRL_MISSING)
    # the list is the authority's, whichever KDH it came with: an older one stays refused
    known = None if before is None else before.crl_der
    same = before is not None and before.certificate == certificate
    last = before.last_signed if same and before is not None else 0
    return Binding(certificate, known, last).with_crl(crls, anchors, now=now)


def _require_bound(bound: Binding | None) -> Binding:
    if bound is None:
        raise Tr34Refused(Rule.UNBOUND)
    return bound


def _require_overseer(signed: Signed, anchors: Anchors, now: int) -> None:
    if anchors.overseer is None:
        raise Tr34Refused(Rule.SIGNER)
    signed.require_signed_by(anchors.overseer)
    require_valid(anchors.overseer, now=now)
    if RANDOM_NONCE in signed.attributes or signed.crls:
        raise Tr34Refused(Rule.DIALECT)


def _read(token: bytes, kind: bytes) -> Signed:
    signed = read_signed(token)
    if signed.kind != kind:
        raise NotDer("another token")
    extra = set(signed.order) - _ALWAYS - {RANDOM_NONCE}
    if signed.version != _VERSIONS[kind] or not signed.in_der_order or extra:
        raise Tr34Refused(Rule.DIALECT)
    return signed


def _require_nonce(signed: Signed, nonce: bytes) -> None:
    named = signed.attribute(RANDOM_NONCE, OCTETS)
    if named is None or not hmac.compare_digest(named, nonce):
        raise Tr34Refused(Rule.NONCE)


def _handed_over(signed: Signed) -> tuple[bytes, x509.Certificate, tuple[bytes, ...]]:
    """Who is handed over, and the credentials of the new KDH."""
    body = whole(signed.content).members()
    if body.take(INTEGER).integer() != _VERSIONS[DATA]:
        raise NotDer("another version")
    body.take(SET).members().end()
    content = body.take(SEQUENCE).members()
    if content.take(OBJECT_ID).value != DATA:
        raise NotDer("no rebind token")
    named = content.take(CONTEXT_0).only(OCTETS).value
    content.end()
    certificate, crls = _credentials(body)
    return named, certificate, crls


def _credentials(body: Reader) -> tuple[x509.Certificate, tuple[bytes, ...]]:
    """The certificate and lists of an unsigned SignedData, to its end."""
    raw = body.take(CONTEXT_0).only(SEQUENCE).raw
    listed = body.take_if(CONTEXT_1)
    body.take(SET).members().end()
    body.end()
    crls = () if listed is None else tuple(one.raw for one in listed.members().all(SEQUENCE))
    if len(crls) > 1:
        raise NotDer("there is one revocation list, or none")
    try:
        return x509.load_der_x509_certificate(raw), crls
    except UNREADABLE:
        raise NotDer("no certificate") from None


def _require_names(content: bytes, krd: bytes, kdh: bytes | None = None) -> None:
    names = Reader(content)
    if not hmac.compare_digest(names.take(SEQUENCE).raw, krd):
        raise Tr34Refused(Rule.RECIPIENT)
    if kdh is not None and not hmac.compare_digest(names.take(SEQUENCE).raw, kdh):
        raise Tr34Refused(Rule.OTHER_HOST)
    names.end()
