"""Binding a KRD to a KDH, handing it over and freeing it: who may, and what stops the others."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from cryptography import x509

from keymanagement.tr34.credentials import (
    authority_rebind as write_authority_rebind,
)
from keymanagement.tr34.credentials import (
    authority_unbind as write_authority_unbind,
)
from keymanagement.tr34.credentials import (
    kdh_credential,
    kdh_rebind,
    kdh_unbind,
)
from keymanagement.tr34.dialect import Dialect
from keymanagement.tr34.envelope import header_attribute
from keymanagement.tr34.identifiers import DATA, SIGNED_DATA
from keymanagement.tr34.identity import issuer_and_serial
from keymanagement.tr34.keytoken import OnePass, TwoPass
from keymanagement.tr34.signeddata import Content, container, signed, unsigned
from terminal.tr34.binding import Anchors, Binding, Krd
from terminal.tr34.credentials import (
    authority_rebind,
    authority_unbind,
    bind,
    rebind,
    unbind,
)
from terminal.tr34.krdtokens import krd_credential
from terminal.tr34.refusal import Rule, Tr34Refused
from tests.support.tr34world import (
    AES,
    NONCE,
    NOW,
    Signer,
    anchors,
    binding,
    crl,
    kdh,
    kdh_certified,
    krd,
    overseer,
    token,
)

FRESH = TwoPass(NONCE).attribute()
Act = Callable[[], object]


def refused(act: Act, rule: Rule) -> None:
    """The KRD refuses, by this rule."""
    with pytest.raises(Tr34Refused) as caught:
        act()
    assert caught.value.rule is rule


def binds(made: bytes, bound: Binding | None = None, **bent: Any) -> Binding:
    """Give the KRD a CT-KDH."""
    return bind(made, bound, anchors(**bent), now=NOW)


def rebinds(made: bytes, bound: Binding | None = None, nonce: bytes = NONCE) -> Binding:
    """Give the bound KRD an RBT-KDH."""
    return rebind(made, krd(), bound or binding(), anchors(), nonce, now=NOW)


def unbinds(made: bytes, nonce: bytes = NONCE, own: Krd | None = None) -> None:
    """Give the bound KRD a UBT-KDH."""
    unbind(made, own or krd(), binding(), anchors(), nonce, now=NOW)


def overseer_rebinds(made: bytes, given: Anchors | None = None) -> Binding:
    """Give the bound KRD an RBT-CA."""
    return authority_rebind(made, krd(), binding(), given or anchors(), now=NOW)


def overseer_unbinds(made: bytes, bound: Binding | None = None) -> None:
    """Give the bound KRD a UBT-CA."""
    authority_unbind(made, krd(), bound or binding(), anchors(), now=NOW)


def rbt(new: Signer | None = None, signer: Signer | None = None, **bent: Any) -> bytes:
    """An RBT-KDH to the new KDH, right unless bent."""
    given = {"krd": krd().certificate, "nonce": NONCE, "crl_der": crl(), **bent}
    return kdh_rebind(new_kdh=(new or kdh("new")).certificate, kdh=signer or kdh(), **given)


def test_a_credential_binds_a_free_krd() -> None:
    """After a CT-KDH the KRD takes keys of that KDH, and remembers its list."""
    listed = crl()
    assert binds(kdh_credential(kdh().certificate, listed)) == Binding(kdh().certificate, listed)


def test_a_bound_krd_takes_a_newer_list_and_no_other_kdh() -> None:
    """CT-KDH renews the list of the bound KDH; another KDH needs a rebind token."""
    bound = binding(last_signed=7)
    newer = crl()
    assert binds(kdh_credential(kdh().certificate, newer), bound) == Binding(
        kdh().certificate, newer, 7
    )
    older = crl(made=NOW - 901)
    refused(lambda: binds(kdh_credential(kdh().certificate, older), bound), Rule.CRL_STALE)
    other = kdh_credential(kdh("new").certificate, newer)
    refused(lambda: binds(other, bound), Rule.BOUND)


@pytest.mark.parametrize(
    ("made", "rule"),
    [
        (lambda: kdh_credential(krd("rogue KRD").certificate, crl()), Rule.HOST_PURPOSE),
        (lambda: kdh_credential(overseer().certificate, crl()), Rule.HOST_PURPOSE),
        (lambda: kdh_credential(kdh_certified(root="foreign"), crl()), Rule.HOST_ISSUER),
        (
            lambda: kdh_credential(kdh_certified(root="foreign", purposes=None), crl()),
            Rule.HOST_ISSUER,
        ),
        (lambda: kdh_credential(kdh_certified(ends=NOW - 1), crl()), Rule.HOST_EXPIRED),
        (lambda: kdh_credential(kdh_certified(begins=NOW + 1), crl()), Rule.HOST_EXPIRED),
        (lambda: kdh_credential(kdh().certificate, crl(kdh().certificate)), Rule.HOST_REVOKED),
        (lambda: kdh_credential(kdh().certificate, crl(until=NOW - 1)), Rule.CRL_STALE),
        (lambda: kdh_credential(kdh().certificate, crl(root="foreign")), Rule.CRL_INVALID),
        (lambda: container(kdh().certificate), Rule.CRL_MISSING),
        (lambda: container(kdh().certificate, (crl(), crl(made=NOW))), Rule.MALFORMED),
        (lambda: krd_credential(krd()), Rule.HOST_PURPOSE),
        (token, Rule.MALFORMED),
        (lambda: b"", Rule.MALFORMED),
    ],
    ids=[
        "a KRD's",
        "an authority's",
        "another authority's",
        "another authority's, without a purpose",
        "expired",
        "not yet valid",
        "revoked",
        "an old list",
        "another's list",
        "no list",
        "two lists",
        "CT-KRD",
        "a key token",
        "nothing",
    ],
)
def test_a_credential_that_breaks_a_rule_binds_nothing(
    made: Callable[[], bytes], rule: Rule
) -> None:
    """A KRD's certificate of the same root, above all, is never taken for a KDH's."""
    if rule is Rule.HOST_PURPOSE and made is not None:
        assert krd("rogue KRD").certificate.issuer == kdh().certificate.issuer
    refused(lambda: binds(made()), rule)


def test_unused_bits_in_a_signature_are_refused() -> None:
    """A list or certificate has one encoding, even where its signature ends in a zero bit.

    The library overlooks the number of unused bits then, and it is signed by nobody.
    """
    listed = next(one for one in (crl(until=NOW + 600 + n) for n in range(99)) if not one[-1] & 1)
    host = next(one for one in (kdh_certified() for _ in range(99)) if not one.signature[-1] & 1)
    made = kdh_credential(host, listed)
    assert binds(made) == Binding(host, listed)
    for signed_by, rule in (
        (host.signature, Rule.HOST_ISSUER),
        (x509.load_der_x509_crl(listed).signature, Rule.CRL_INVALID),
    ):
        loose = made.replace(b"\x00" + signed_by, b"\x01" + signed_by)
        assert loose != made
        refused(partial(binds, loose), rule)


def test_a_krd_that_pins_no_authority_is_not_bound_by_a_token() -> None:
    """Nobody vouches for the certificate then."""
    made = kdh_credential(kdh().certificate, crl())
    refused(lambda: binds(made, authority=None), Rule.UNBOUND)


def test_a_kdh_hands_its_krd_over() -> None:
    """After an RBT-KDH the KRD is the new KDH's, with a memory of its own."""
    listed = crl()
    bound = rebinds(rbt(crl_der=listed), binding(last_signed=7))
    assert bound == Binding(kdh("new").certificate, listed)


@pytest.mark.parametrize(
    ("made", "rule"),
    [
        (lambda: rbt(signer=kdh("rogue")), Rule.SIGNER),
        (lambda: rbt(signer=overseer()), Rule.SIGNER),
        (lambda: rbt(signer=Signer(kdh("rogue").key, kdh().certificate)), Rule.SIGNATURE),
        (lambda: rbt(nonce=bytes(16)), Rule.NONCE),
        (lambda: rbt(krd=krd("other KRD").certificate), Rule.RECIPIENT),
        (lambda: rbt(new=Signer(krd().private_key, krd().certificate)), Rule.HOST_PURPOSE),
        (lambda: rbt(crl_der=crl(kdh("new").certificate)), Rule.HOST_REVOKED),
        (lambda: rbt(crl_der=crl(made=NOW - 901)), Rule.CRL_STALE),
        (lambda: kdh_unbind(krd().certificate, NONCE, kdh()), Rule.MALFORMED),
    ],
    ids=[
        "another KDH",
        "the overseer",
        "a false signature",
        "another nonce",
        "another KRD",
        "to a KRD",
        "to a revoked one",
        "an old list",
        "an unbind token",
    ],
)
def test_a_rebind_that_breaks_a_rule_changes_nothing(made: Callable[[], bytes], rule: Rule) -> None:
    """Only the bound KDH hands over, this KRD, on its nonce, to a real KDH."""
    refused(lambda: rebinds(made()), rule)


def test_a_revoked_kdh_hands_nothing_over() -> None:
    """What takes a KDH's right to send keys takes its right to name a successor."""
    revoked = binding(crl_der=crl(kdh().certificate, made=NOW - 900))
    refused(lambda: rebinds(rbt(), revoked), Rule.HOST_REVOKED)


def test_a_kdh_lets_its_krd_go() -> None:
    """A right UBT-KDH passes."""
    unbinds(kdh_unbind(krd().certificate, NONCE, kdh()))


@pytest.mark.parametrize(
    ("made", "rule"),
    [
        (lambda: kdh_unbind(krd().certificate, NONCE, kdh("rogue")), Rule.SIGNER),
        (lambda: kdh_unbind(krd().certificate, bytes(16), kdh()), Rule.NONCE),
        (lambda: kdh_unbind(krd("other KRD").certificate, NONCE, kdh()), Rule.RECIPIENT),
        (lambda: signed(_named(), (), kdh()), Rule.NONCE),
        (lambda: signed(_named(b"\x05\x00"), (FRESH,), kdh()), Rule.MALFORMED),
        (
            lambda: write_authority_unbind(krd().certificate, kdh().certificate, overseer()),
            Rule.SIGNER,
        ),
        (rbt, Rule.MALFORMED),
    ],
    ids=["another KDH", "another nonce", "another KRD", "no nonce", "more", "UBT-CA", "RBT-KDH"],
)
def test_an_unbind_that_breaks_a_rule_is_refused(made: Callable[[], bytes], rule: Rule) -> None:
    """Only the bound KDH lets this KRD go, on its nonce."""
    refused(lambda: unbinds(made()), rule)


def test_the_overseer_hands_a_krd_over() -> None:
    """RBT-CA: for when the bound KDH is gone."""
    listed = crl()
    made = write_authority_rebind(
        krd().certificate, kdh().certificate, kdh("new").certificate, listed, overseer()
    )
    assert overseer_rebinds(made) == Binding(kdh("new").certificate, listed)
    refused(lambda: overseer_rebinds(made, anchors(overseer=None)), Rule.SIGNER)


@pytest.mark.parametrize(
    ("krd_label", "old", "signer", "rule"),
    [
        ("KRD", "KDH", "false overseer", Rule.SIGNER),
        ("other KRD", "KDH", "overseer", Rule.RECIPIENT),
        ("KRD", "rogue", "overseer", Rule.OTHER_HOST),
    ],
)
def test_the_overseers_tokens_serve_one_pair(
    krd_label: str, old: str, signer: str, rule: Rule
) -> None:
    """They name the KRD and the KDH that it is bound to, and the overseer signs them."""
    names = krd(krd_label).certificate, kdh(old).certificate
    freed = write_authority_unbind(*names, overseer(signer))
    handed = write_authority_rebind(*names, kdh("new").certificate, crl(), overseer(signer))
    refused(lambda: overseer_unbinds(freed), rule)
    refused(lambda: overseer_rebinds(handed), rule)


def test_the_overseer_frees_a_krd() -> None:
    """UBT-CA passes while the KRD is bound to that KDH, and not after a rebind."""
    made = write_authority_unbind(krd().certificate, kdh().certificate, overseer())
    overseer_unbinds(made)
    after = binding(certificate=kdh("new").certificate)
    refused(lambda: overseer_unbinds(made, after), Rule.OTHER_HOST)


def test_the_bound_kdh_is_no_overseer() -> None:
    """A KDH signs no UBT-CA."""
    made = write_authority_unbind(krd().certificate, kdh().certificate, kdh())
    refused(lambda: overseer_unbinds(made), Rule.SIGNER)


@pytest.mark.parametrize(
    "made",
    [
        lambda: signed(_named(), (FRESH,), kdh(), dialect=Dialect.ANNEXB_ERRATA),
        lambda: signed(_named(), (FRESH, OnePass(NOW).attribute()), kdh()),
    ],
    ids=["annex B's order", "a time beside"],
)
def test_unbind_tokens_are_strict_cms(made: Callable[[], bytes]) -> None:
    """What is the same in DER's order passes in either dialect; nothing else is read."""
    unbinds(made())


@pytest.mark.parametrize(
    ("attributes", "crls"),
    [((FRESH,), ()), ((), (crl(),))],
    ids=["a nonce", "a list"],
)
def test_the_overseers_tokens_hold_nothing_else(
    attributes: tuple[bytes, ...], crls: tuple[bytes, ...]
) -> None:
    """No nonce was asked for, and a list beside the signed content is nobody's."""
    pair = issuer_and_serial(kdh().certificate)
    made = signed(_named(pair), attributes, overseer(), crls=crls)
    refused(lambda: overseer_unbinds(made), Rule.DIALECT)


def test_an_unbind_token_is_in_ders_order() -> None:
    """The attributes stand as DER sorts them, or the token has another encoding than ours."""
    unsorted = (FRESH, OnePass(NOW).attribute())
    made = signed(_named(), unsorted, kdh(), dialect=Dialect.ANNEXB_ERRATA)
    refused(lambda: unbinds(made), Rule.DIALECT)


def test_an_unbind_token_is_no_half_key_token() -> None:
    """A signed attribute of another kind of token is refused."""
    made = signed(_named(), (FRESH, header_attribute(AES)), kdh())
    refused(lambda: unbinds(made), Rule.DIALECT)


def test_an_overseers_certificate_expires() -> None:
    """An overseer whose certificate is over frees nobody."""
    made = write_authority_unbind(krd().certificate, kdh().certificate, overseer())
    late = NOW + 90_000
    refused(
        lambda: authority_unbind(made, krd(), binding(), anchors(), now=late), Rule.HOST_EXPIRED
    )


def test_a_rebind_in_annex_bs_version_is_refused() -> None:
    """SignedData around anything but data has version 3 (RFC 5652 section 5.1)."""
    inner = unsigned(issuer_and_serial(krd().certificate), kdh("new").certificate, (crl(),))
    made = signed(Content(SIGNED_DATA, inner), (FRESH,), kdh(), dialect=Dialect.ANNEXB_ERRATA)
    refused(lambda: rebinds(made), Rule.DIALECT)


@pytest.mark.parametrize(
    "act",
    [
        lambda: rebind(b"", krd(), None, anchors(), NONCE, now=NOW),
        lambda: unbind(b"", krd(), None, anchors(), NONCE, now=NOW),
        lambda: authority_rebind(b"", krd(), None, anchors(), now=NOW),
        lambda: authority_unbind(b"", krd(), None, anchors(), now=NOW),
    ],
)
def test_a_free_krd_has_nobody_to_leave(act: Act) -> None:
    """Rebind and unbind tokens are for a bound KRD."""
    refused(act, Rule.UNBOUND)


def _named(more: bytes = b"") -> Content:
    return Content(DATA, issuer_and_serial(krd().certificate) + more)
