"""The token format `tr34` as a KRD reads it (ASC X9 TR 34-2019, KT-KDH).

The order of the checks is that of trust: who signed, whether that KDH may still sign, that nothing
was changed, that it is fresh and for this KRD, and only then the private key.
"""

import hmac
import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from terminal.tr34.binding import Anchors, Binding, Krd
from terminal.tr34.der import OCTETS, UTC_TIME, NotDer
from terminal.tr34.dialects import EVERY, Dialect, dialect_of
from terminal.tr34.envelope import Envelope, read_envelope
from terminal.tr34.identifiers import (
    ALGORITHM_PROTECTION,
    CONTENT_TYPE,
    ENVELOPED_DATA,
    KEY_BLOCK_HEADER,
    MESSAGE_DIGEST,
    RANDOM_NONCE,
    SIGNING_TIME,
)
from terminal.tr34.keyblock import KeyBlock, read_key_block
from terminal.tr34.refusal import Rule, Tr34Refused
from terminal.tr34.signeddata import Signed, read_signed

FORMAT: Final = "tr34"
TMK_USAGES: Final = frozenset({"K1"})
FUTURE_SECONDS: Final = 300
"""How far ahead of the KRD's clock a one-pass token may have been signed."""
_UTC_TIME: Final = re.compile(rb"[0-9]{12}Z\Z")
_STRICT_VERSION: Final = 3
_ANNEX_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class TwoPass:
    """The token must name the nonce that this KRD gave out last."""

    nonce: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class OnePass:
    """The token must be signed after the last one that was taken: the binding knows when."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What a KRD takes: dialects, and usages of keys (`K1`; `K0` where a site allows it)."""

    dialects: frozenset[Dialect] = EVERY
    usages: frozenset[str] = TMK_USAGES


@dataclass(frozen=True, slots=True)
class Opened:
    """A token that kept every rule: the key block, its dialect, and the binding from now on.

    Whoever takes the key stores the binding in the same step: it holds what makes a one-pass
    token good for one time only.
    """

    block: KeyBlock
    dialect: Dialect
    binding: Binding


def open_key_token(
    token: bytes,
    krd: Krd,
    binding: Binding | None,
    anchors: Anchors,
    freshness: TwoPass | OnePass,
    *,
    now: int,
    policy: Policy | None = None,
) -> Opened:
    """Verify a key token by every rule for a KRD and open it; `now` is Unix seconds.

    The caller lets a nonce answer once only.

    Raises:
        Tr34Refused: by the rule that the token breaks.
    """
    if binding is None:
        raise Tr34Refused(Rule.UNBOUND)
    try:
        return _opened(token, krd, binding, anchors, freshness, now, policy or Policy())
    except NotDer:
        # its text and its traceback may show what it read, and that may be the key block
        raise Tr34Refused(Rule.MALFORMED) from None


def _opened(
    token: bytes,
    krd: Krd,
    binding: Binding,
    anchors: Anchors,
    freshness: TwoPass | OnePass,
    now: int,
    policy: Policy,
) -> Opened:
    signed = read_signed(token)
    if signed.kind != ENVELOPED_DATA:
        raise NotDer("no key token")
    current = binding.verified(signed, anchors, now=now)
    envelope = read_envelope(signed.content)
    dialect = _dialect(signed, envelope)
    if dialect not in policy.dialects:
        raise Tr34Refused(Rule.DIALECT)
    current = _fresh(signed, current, freshness, now)
    block = read_key_block(envelope.open(krd.private_key, krd.name), binding.certificate)
    header = signed.attribute(KEY_BLOCK_HEADER, OCTETS) or b""
    if not hmac.compare_digest(block.header, header):
        raise Tr34Refused(Rule.HEADER_INSIDE)
    block.require_usable(policy.usages)
    return Opened(block, dialect, current)


def _dialect(signed: Signed, envelope: Envelope) -> Dialect:
    """The one dialect in which all of the token is written."""
    dialect = dialect_of(envelope.form)
    if dialect is Dialect.STRICT_CMS:
        known = {*_listed(signed), SIGNING_TIME, ALGORITHM_PROTECTION}
        right = signed.version == _STRICT_VERSION and signed.in_der_order
        right = right and known.issuperset(signed.order)
    else:
        right = signed.version == _ANNEX_VERSION and signed.order == _listed(signed)
    if dialect is None or not right:
        raise Tr34Refused(Rule.DIALECT)
    return dialect


def _listed(signed: Signed) -> tuple[bytes, ...]:
    """TR-34's own attributes in the order of annex B."""
    fresh = RANDOM_NONCE if RANDOM_NONCE in signed.attributes else SIGNING_TIME
    return CONTENT_TYPE, fresh, KEY_BLOCK_HEADER, MESSAGE_DIGEST


def _fresh(signed: Signed, binding: Binding, freshness: TwoPass | OnePass, now: int) -> Binding:
    nonce = signed.attribute(RANDOM_NONCE, OCTETS)
    if isinstance(freshness, TwoPass):
        if nonce is None or not hmac.compare_digest(nonce, freshness.nonce):
            raise Tr34Refused(Rule.NONCE)
        return binding
    if nonce is not None:
        # it answers a nonce, and was made for a KRD that checks it
        raise Tr34Refused(Rule.NONCE)
    time = _seconds(signed.attribute(SIGNING_TIME, UTC_TIME))
    if time is None or not binding.last_signed < time <= now + FUTURE_SECONDS:
        raise Tr34Refused(Rule.TIME)
    return replace(binding, last_signed=time)


def _seconds(value: bytes | None) -> int | None:
    """Unix seconds of a UTCTime; DER has seconds and Z (X.690 section 11.8)."""
    if value is None:
        return None
    if not _UTC_TIME.match(value):
        raise NotDer("no UTCTime")
    try:
        # Python's pivot is 1969, RFC 5280's 1950: no token was signed between them
        read = datetime.strptime(value.decode("ascii"), "%y%m%d%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise NotDer("no UTCTime") from None
    return int(read.timestamp())
