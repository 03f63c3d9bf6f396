"""Every rule that a KRD keeps, broken in turn by a token that is right in all else."""

from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from keymanagement.port import KeyAlgorithm
from keymanagement.tr34.der import octets, set_of
from keymanagement.tr34.dialect import Dialect
from keymanagement.tr34.envelope import attribute, envelope
from keymanagement.tr34.form import ContentCipher
from keymanagement.tr34.header import KeyBlockHeader
from keymanagement.tr34.identifiers import DATA, ENVELOPED_DATA, RANDOM_NONCE, SIGNING_TIME
from keymanagement.tr34.keytoken import OnePass, TwoPass
from terminal.epperrors import EppCode
from terminal.tr34.binding import Binding
from terminal.tr34.dialects import Dialect as Read
from terminal.tr34.keytoken import FUTURE_SECONDS, Policy
from terminal.tr34.keytoken import OnePass as ExpectTime
from terminal.tr34.keytoken import TwoPass as ExpectNonce
from terminal.tr34.refusal import Rule, Tr34Refused
from terminal.tr34.signeddata import read_signed
from tests.support.tr34world import (
    AES,
    ENCIPHERS,
    KEYS,
    NONCE,
    NOW,
    FalseHeader,
    Signer,
    anchors,
    authority,
    binding,
    certified,
    crl,
    forged,
    kdh,
    kdh_certified,
    krd,
    opened,
    overseer,
    token,
)

KEY = KEYS[KeyAlgorithm.AES_128]
Made = Callable[[], bytes]


def refused(made: bytes, rule: Rule, **bent: Any) -> None:
    """The KRD refuses the token, by this rule and no other."""
    with pytest.raises(Tr34Refused) as caught:
        opened(made, **bent)
    assert caught.value.rule is rule
    assert caught.value.code is rule.value[0]
    assert KEY.hex() not in repr(caught.value)


def test_a_right_token_opens() -> None:
    """What the rules are broken against: key, header, dialect."""
    read = opened(token())
    assert (read.block.key, read.block.header) == (KEY, b"D0000K1AD00N0000")
    assert (read.block.usage, read.block.algorithm) == ("K1", "AES-128")
    assert read.dialect is Read.STRICT_CMS
    assert read.binding == binding(crl_der=read.binding.crl_der)


@pytest.mark.parametrize(
    ("made", "rule"),
    [
        (lambda: forged(signer=kdh("rogue")), Rule.SIGNER),
        (lambda: forged(signer=Signer(kdh("rogue").key, kdh().certificate)), Rule.SIGNATURE),
        (lambda: forged(kind=DATA), Rule.MALFORMED),
        (lambda: forged(attributes=()), Rule.NONCE),
        (lambda: forged(attributes=(TwoPass(bytes(16)).attribute(),)), Rule.NONCE),
        (lambda: forged(attributes=(TwoPass(NONCE[:8]).attribute(),)), Rule.NONCE),
        (lambda: forged(attributes=(OnePass(NOW).attribute(),)), Rule.NONCE),
        (lambda: forged(recipient=krd("other KRD").certificate), Rule.RECIPIENT),
        (lambda: forged(inside=kdh("rogue").certificate), Rule.HOST_INSIDE),
        (lambda: forged(header_signed=KeyBlockHeader(AES.algorithm, "K0")), Rule.HEADER_INSIDE),
        (lambda: forged(header=KeyBlockHeader(AES.algorithm, "K0")), Rule.HEADER),
        (lambda: forged(header=FalseHeader(b"D0000P0AD00N0000")), Rule.HEADER),
        (lambda: forged(header=FalseHeader(b"D0000K1AB00N0000")), Rule.HEADER),
        (lambda: forged(header=FalseHeader(b"D0000K1AE00N0000")), Rule.HEADER),
        (lambda: forged(header=FalseHeader(b"D0000K1AD00E0000")), Rule.HEADER),
        (lambda: forged(header=FalseHeader(b"D0000K1AD00S0000")), Rule.HEADER),
        (lambda: forged(header=FalseHeader(b"D0000K1RD00N0000")), Rule.HEADER),
        (lambda: forged(header=FalseHeader(b"D0000K1AD00N0100")), Rule.HEADER),
        (lambda: forged(header=FalseHeader(b"D0000K1AD00N000")), Rule.HEADER),
        (lambda: forged(header=FalseHeader(b"D0000K1AD00N0000\n")), Rule.HEADER),
        (lambda: forged(header=FalseHeader(b"B0000K1TD00N0000")), Rule.KEY_LENGTH),
        (
            lambda: forged(
                header=FalseHeader(b"B0000K1TD00N0000", KeyAlgorithm.TDES),
                key=KEYS[KeyAlgorithm.TDES][:16] + KEYS[KeyAlgorithm.TDES][:8],
            ),
            Rule.KEY_FORM,
        ),
        (
            lambda: forged(
                header=FalseHeader(b"B0000K1TD00N0000", KeyAlgorithm.TDES), key=bytes(range(24))
            ),
            Rule.KEY_FORM,
        ),
    ],
    ids=[
        "another KDH",
        "another key in the KDH's name",
        "no envelope",
        "no nonce",
        "another nonce",
        "half a nonce",
        "a time for a nonce",
        "another recipient",
        "another KDH inside",
        "another header inside",
        "K0 without a policy",
        "a PIN key",
        "mode B",
        "mode E",
        "exportable",
        "sensitive",
        "an RSA key",
        "optional blocks",
        "a short header",
        "a long header",
        "no length of the algorithm",
        "two-key TDES",
        "even parity",
    ],
)
def test_a_token_that_breaks_one_rule_is_refused_by_that_rule(made: Made, rule: Rule) -> None:
    """Even what the KDH really signed is not loaded against a rule."""
    refused(made(), rule)


def test_content_that_was_not_signed_is_refused() -> None:
    """Another envelope under a right signature, for all that it opens, is not what was signed."""
    made, other = token(), token()
    mine, theirs = read_signed(made).content, read_signed(other).content
    assert len(mine) == len(theirs)
    refused(made.replace(mine, theirs), Rule.DIGEST)


def test_content_of_another_type_than_was_signed_is_refused() -> None:
    """What was signed as data is not taken for an envelope."""
    made = forged(kind=DATA)
    refused(made.replace(DATA, ENVELOPED_DATA, 1), Rule.CONTENT_KIND)


def test_a_krds_certificate_never_passes_for_a_kdhs() -> None:
    """A KRD of the same root that signs tokens is refused: its certificate has another purpose."""
    rogue = Signer(krd("rogue KRD").private_key, krd("rogue KRD").certificate)
    made = forged(signer=rogue, inside=rogue.certificate)
    refused(made, Rule.SIGNER)
    refused(made, Rule.HOST_PURPOSE, binding=binding(certificate=rogue.certificate))


@pytest.mark.parametrize(
    "bent",
    [
        {"purposes": None},
        {"purposes": (ExtendedKeyUsageOID.CODE_SIGNING,)},
        {"usages": ENCIPHERS},
        {"usages": ENCIPHERS | {"digital_signature"}},
        {"usages": frozenset({"digital_signature", "key_cert_sign"})},
        {"ca": True},
    ],
    ids=["no purpose", "another purpose", "enciphers", "enciphers too", "certifies", "authority"],
)
def test_a_kdh_has_one_purpose(bent: dict[str, Any]) -> None:
    """The KDH's own key under a certificate of another profile signs nothing for this KRD."""
    other = Signer(kdh().key, kdh_certified(**bent))
    made = forged(signer=other, inside=other.certificate)
    refused(made, Rule.HOST_PURPOSE, binding=binding(certificate=other.certificate))


def test_an_overseers_signature_loads_no_key() -> None:
    """Who may unbind a KRD may not give it keys."""
    refused(forged(signer=overseer(), inside=overseer().certificate), Rule.SIGNER)


@pytest.mark.parametrize("now", [NOW - 7200, NOW + 90_000], ids=["before", "after"])
def test_a_kdhs_certificate_is_valid_at_the_load(now: int) -> None:
    """PCI PIN A1 15-3: credentials are validated immediately before the transport."""
    refused(token(), Rule.HOST_EXPIRED, now=now)


def test_a_kdh_of_another_authority_is_refused() -> None:
    """A KRD that pins an authority takes no KDH of another, however it came to be bound."""
    foreign = Signer(kdh().key, kdh_certified(root="foreign"))
    made = forged(signer=foreign, inside=foreign.certificate)
    refused(made, Rule.HOST_ISSUER, binding=binding(certificate=foreign.certificate))


def test_without_a_binding_nothing_is_loaded() -> None:
    """No bound KDH, no key."""
    refused(token(), Rule.UNBOUND, binding=None)


@pytest.mark.parametrize(
    ("listed", "rule"),
    [
        (lambda: crl(kdh().certificate), Rule.HOST_REVOKED),
        (lambda: crl(until=NOW - 1), Rule.CRL_STALE),
        (lambda: crl(made=NOW + 1), Rule.CRL_STALE),
        (lambda: crl(made=NOW - 901), Rule.CRL_STALE),
        (lambda: crl(root="foreign"), Rule.CRL_INVALID),
        (lambda: crl(root="foreign", issuer="root"), Rule.CRL_INVALID),
        (lambda: crl(issuer="foreign"), Rule.CRL_INVALID),
        (lambda: crl(partial=True), Rule.CRL_INVALID),
    ],
    ids=[
        "revoked",
        "over",
        "not yet",
        "older than the last",
        "another's",
        "false",
        "in another's name",
        "partial",
    ],
)
def test_the_list_in_a_token_is_kept_to(listed: Made, rule: Rule) -> None:
    """A revoked KDH loads nothing, nor does a list that is old, false or replaced by a newer."""
    refused(forged(crls=(listed(),)), rule)


def test_a_newer_list_is_remembered() -> None:
    """The list that a token brought counts from then on."""
    newer = crl()
    assert opened(forged(crls=(newer,))).binding.crl_der == newer
    revoking = crl(kdh().certificate)
    refused(token(), Rule.HOST_REVOKED, binding=binding(crl_der=revoking))


def test_without_a_list_in_force_nothing_is_loaded() -> None:
    """A KRD with an authority asks for its list: in the token, or the last one while it lasts."""
    refused(token(), Rule.CRL_MISSING, binding=binding(crl_der=None))
    refused(token(), Rule.CRL_STALE, now=NOW + 700)
    assert opened(token(crl_der=crl()), binding=binding(crl_der=None)).block.key == KEY


def test_a_list_of_an_authority_that_signs_none_is_refused() -> None:
    """The authority's certificate has to say that it signs revocation lists."""
    key = authority().public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    bare = certified("root", key, usages=frozenset({"key_cert_sign"}), ca=True)
    refused(token(), Rule.CRL_INVALID, anchors=anchors(authority=bare))


def test_a_kdh_pinned_by_hand_needs_no_list_and_takes_none() -> None:
    """Without an authority there is nobody whose list could be believed."""
    by_hand = {"anchors": anchors(authority=None), "binding": Binding(kdh().certificate)}
    assert opened(token(), **by_hand).block.key == KEY
    refused(token(crl_der=crl()), Rule.CRL_INVALID, **by_hand)


def test_one_pass_takes_later_tokens_only() -> None:
    """A one-pass token is good once: the time of the last one is remembered."""
    made = token(freshness=OnePass(NOW - 5))
    read = opened(made, freshness=ExpectTime())
    assert read.binding.last_signed == NOW - 5
    refused(made, Rule.TIME, freshness=ExpectTime(), binding=read.binding)
    older = token(freshness=OnePass(NOW - 6))
    refused(older, Rule.TIME, freshness=ExpectTime(), binding=read.binding)
    newer = token(freshness=OnePass(NOW - 4))
    assert opened(newer, freshness=ExpectTime(), binding=read.binding).block.key == KEY


def test_one_pass_takes_nothing_from_the_future() -> None:
    """A time far ahead would shut every later token out."""
    ahead = NOW + FUTURE_SECONDS
    opened(token(freshness=OnePass(ahead)), freshness=ExpectTime())
    refused(token(freshness=OnePass(ahead + 1)), Rule.TIME, freshness=ExpectTime())


def test_a_token_for_a_nonce_is_no_one_pass_token() -> None:
    """Neither kind passes for the other, even with both attributes."""
    refused(token(), Rule.NONCE, freshness=ExpectTime())
    refused(forged(attributes=()), Rule.TIME, freshness=ExpectTime())
    both = forged(attributes=(OnePass(NOW).attribute(), TwoPass(NONCE).attribute()))
    refused(both, Rule.NONCE, freshness=ExpectTime())
    assert opened(both, freshness=ExpectNonce(NONCE)).binding.last_signed == 0


@pytest.mark.parametrize(
    "attributes",
    [
        (attribute(RANDOM_NONCE, octets(NONCE)),) * 2,
        (RANDOM_NONCE + set_of(octets(NONCE)),),
        (b"\x30\x1e" + RANDOM_NONCE + b"\x31\x10" + octets(NONCE),),
    ],
    ids=["twice", "no attribute", "a wrong length"],
)
def test_malformed_attributes_are_refused(attributes: tuple[bytes, ...]) -> None:
    """One nonce, once, well formed."""
    refused(forged(attributes=attributes), Rule.MALFORMED)


def test_a_malformed_time_is_refused() -> None:
    """UTCTime has seconds and a Z."""
    for text in (b"2611222044Z", b"261122204423+0000", b"26112220442 Z", b"261322204423Z"):
        stamp = bytes((0x17, len(text))) + text
        made = forged(attributes=(attribute(SIGNING_TIME, stamp),))
        refused(made, Rule.MALFORMED, freshness=ExpectTime())


def test_k0_is_taken_where_the_policy_says_so() -> None:
    """A site whose terminals have no key blocks yet allows a plain KEK."""
    made = forged(header=KeyBlockHeader(AES.algorithm, "K0"))
    assert opened(made, policy=Policy(usages=frozenset({"K0"}))).block.usage == "K0"
    refused(token(), Rule.HEADER, policy=Policy(usages=frozenset({"K0"})))


def test_an_envelope_that_another_key_opens_is_refused() -> None:
    """The recipient's name over another's key opens nothing, and says no more than that."""
    other = krd("other KRD")
    renamed = type(other)(krd().certificate, other.private_key)
    refused(token(), Rule.UNOPENED, krd=renamed)


def test_a_broken_envelope_is_refused() -> None:
    """Ciphertext that the KDH signed but that does not open is `contentInvalid`."""
    enveloped = envelope(
        KEY,
        AES,
        kdh().certificate,
        krd().certificate,
        cipher=ContentCipher.AES_128,
        dialect=Dialect.STRICT_CMS,
    )
    cut = bytearray(enveloped)
    cut[-1] ^= 1
    with pytest.raises(Tr34Refused) as caught:
        opened(forged(enveloped=bytes(cut)))
    assert caught.value.rule in (Rule.UNOPENED, Rule.MALFORMED, Rule.HEADER_INSIDE)


@pytest.mark.parametrize("made", [b"", b"\x30\x00", bytes(20_000), b"\x30\x80\x00\x00"])
def test_what_is_no_token_is_refused(made: bytes) -> None:
    """Anything else is formatInvalid."""
    refused(made, Rule.MALFORMED)


@pytest.mark.parametrize("ending", [b"\x00", b"\x05\x00"])
def test_nothing_follows_a_token(ending: bytes) -> None:
    """A token has one spelling: its digest would be another."""
    refused(token() + ending, Rule.MALFORMED)


def test_nothing_secret_is_printed() -> None:
    """Neither an opened token nor a refusal shows the key or the private key."""
    read = opened(token())
    assert KEY.hex() not in repr(read)
    assert repr(KEY) not in repr(read)
    assert "private" not in repr(krd())
    assert EppCode.USE_VIOLATION in str(Tr34Refused(Rule.HEADER))
