"""The four dialects: each is read as what it is, and no mixture of them at all."""

import pytest

from keymanagement.port import KeyAlgorithm
from keymanagement.tr34.der import integer, octets
from keymanagement.tr34.dialect import Dialect as Written
from keymanagement.tr34.envelope import attribute, envelope
from keymanagement.tr34.form import ContentCipher
from keymanagement.tr34.identifiers import MGF1, P_SPECIFIED, RANDOM_NONCE, RSAES_OAEP, SHA256
from keymanagement.tr34.keytoken import OnePass, TwoPass
from terminal.tr34.dialects import EVERY, Dialect
from terminal.tr34.keytoken import OnePass as ExpectTime
from terminal.tr34.keytoken import Policy
from terminal.tr34.keytoken import TwoPass as ExpectNonce
from terminal.tr34.refusal import Rule, Tr34Refused
from tests.support.tr34world import (
    AES,
    KEYS,
    NONCE,
    NOW,
    crl,
    forged,
    kdh,
    krd,
    opened,
    rewritten,
    token,
)

KEY = KEYS[KeyAlgorithm.AES_128]
OLD = {
    Dialect.ANNEXB_2019_ORIGINAL: {"inside": True, "bare": False},
    Dialect.AWS_2012: {"inside": True, "bare": True},
}


def enveloped(dialect: Written = Written.ANNEXB_ERRATA) -> bytes:
    """An envelope for the KRD."""
    return envelope(
        KEY,
        AES,
        kdh().certificate,
        krd().certificate,
        cipher=ContentCipher.AES_128,
        dialect=dialect,
    )


def in_dialect(dialect: Dialect, **bent: object) -> bytes:
    """A right token in any of the four dialects, on the nonce unless bent."""
    given: dict[str, object] = {"attributes": (TwoPass(NONCE).attribute(),), **bent}
    if dialect is Dialect.STRICT_CMS:
        return forged(**given)  # type: ignore[arg-type]
    content = enveloped()
    if dialect in OLD:
        content = rewritten(content, **OLD[dialect])
    return forged(dialect=Written.ANNEXB_ERRATA, enveloped=content, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize("nonce", [NONCE, NONCE[:8]], ids=["16", "8"])
def test_each_dialect_is_read_as_itself(dialect: Dialect, nonce: bytes) -> None:
    """All four open, and the reader says which it was."""
    made = in_dialect(dialect, attributes=(TwoPass(nonce).attribute(),))
    read = opened(made, freshness=ExpectNonce(nonce))
    assert (read.dialect, read.block.key) == (dialect, KEY)


@pytest.mark.parametrize("dialect", list(Dialect))
def test_each_dialect_has_one_pass_tokens(dialect: Dialect) -> None:
    """One-pass tokens too, with the list that annex B puts into them."""
    made = in_dialect(dialect, attributes=(OnePass(NOW).attribute(),), crls=(crl(),))
    assert opened(made, freshness=ExpectTime()).dialect is dialect


@pytest.mark.parametrize("dialect", list(Dialect))
def test_a_terminal_reads_the_dialects_that_it_was_told(dialect: Dialect) -> None:
    """Every other dialect is formatInvalid."""
    made = in_dialect(dialect)
    assert opened(made, policy=Policy(dialects=frozenset({dialect}))).block.key == KEY
    with pytest.raises(Tr34Refused) as caught:
        opened(made, policy=Policy(dialects=EVERY - {dialect}))
    assert caught.value.rule is Rule.DIALECT


@pytest.mark.parametrize("written", list(Written))
def test_what_the_host_writes_is_read_as_what_it_meant(written: Written) -> None:
    """The two dialects that are written have the same names on both sides."""
    assert opened(token(dialect=written)).dialect.value == written.value


@pytest.mark.parametrize(("inside", "bare"), [(True, False), (False, True), (True, True)], ids=str)
def test_an_old_envelope_with_strict_parameters_is_refused(inside: bool, bare: bool) -> None:
    """Tagged OAEP parameters are strict CMS's, and the rest has to be."""
    content = rewritten(enveloped(Written.STRICT_CMS), inside=inside, bare=bare)
    for written in Written:
        with pytest.raises(Tr34Refused) as caught:
            opened(forged(dialect=written, enveloped=content))
        assert caught.value.rule is Rule.DIALECT


def test_a_bare_envelope_with_the_ciphertext_outside_is_refused() -> None:
    """No dialect is written so."""
    content = rewritten(enveloped(), inside=False, bare=True)
    with pytest.raises(Tr34Refused) as caught:
        opened(forged(dialect=Written.ANNEXB_ERRATA, enveloped=content))
    assert caught.value.rule is Rule.DIALECT


@pytest.mark.parametrize(
    ("written", "inner"),
    [
        (Written.STRICT_CMS, Written.ANNEXB_ERRATA),
        (Written.ANNEXB_ERRATA, Written.STRICT_CMS),
    ],
)
def test_signature_and_envelope_are_of_one_dialect(written: Written, inner: Written) -> None:
    """The signed attributes' order and the version belong to the envelope's dialect."""
    with pytest.raises(Tr34Refused) as caught:
        opened(forged(dialect=written, envelope_dialect=inner))
    assert caught.value.rule is Rule.DIALECT


@pytest.mark.parametrize(
    ("written", "version"), [(Written.STRICT_CMS, b"\x01"), (Written.ANNEXB_ERRATA, b"\x03")]
)
def test_the_version_belongs_to_the_dialect(written: Written, version: bytes) -> None:
    """SignedData's version is not signed, and has one value in each dialect."""
    right = b"\x03" if written is Written.STRICT_CMS else b"\x01"
    made = token(dialect=written)
    assert made.count(b"\x02\x01" + right + b"\x31") == 1
    with pytest.raises(Tr34Refused) as caught:
        opened(made.replace(b"\x02\x01" + right + b"\x31", b"\x02\x01" + version + b"\x31"))
    assert caught.value.rule is Rule.DIALECT


def test_strict_cms_is_in_ders_order() -> None:
    """A strict envelope in version 3 whose attributes stand as annex B lists them is refused."""
    mixed = forged(dialect=Written.ANNEXB_ERRATA, envelope_dialect=Written.STRICT_CMS)
    with pytest.raises(Tr34Refused) as caught:
        opened(mixed.replace(b"\x02\x01\x01\x31", b"\x02\x01\x03\x31", 1))
    assert caught.value.rule is Rule.DIALECT


@pytest.mark.parametrize("name", [P_SPECIFIED, MGF1, SHA256, RSAES_OAEP])
def test_the_key_is_under_oaep_with_sha_256_and_no_label(name: bytes) -> None:
    """Another algorithm in the parameters' place is refused, in each form of them."""
    for written in Written:
        content = enveloped(written)
        if name in content:
            other = content.replace(name, name[:-1] + bytes((name[-1] ^ 0x20,)))
            with pytest.raises(Tr34Refused) as caught:
                opened(forged(dialect=written, enveloped=other))
            assert caught.value.rule is Rule.MALFORMED


def test_annex_b_signs_its_four_attributes_as_listed() -> None:
    """An attribute more, or another order, is no annex B token."""
    nonce = TwoPass(NONCE).attribute()
    more = (nonce, OnePass(NOW).attribute())
    for attributes in (more, tuple(reversed(more)), ()):
        with pytest.raises(Tr34Refused) as caught:
            opened(in_dialect(Dialect.ANNEXB_ERRATA, attributes=attributes))
        assert caught.value.rule is Rule.DIALECT


def test_strict_cms_has_the_attributes_that_are_known() -> None:
    """A time may stand beside a nonce, as Bouncy Castle puts it; what is unknown may not."""
    nonce = TwoPass(NONCE).attribute()
    beside = forged(attributes=(nonce, OnePass(NOW).attribute()))
    assert opened(beside).dialect is Dialect.STRICT_CMS
    unknown = attribute(RANDOM_NONCE[:-1] + b"\x04", integer(1))
    with pytest.raises(Tr34Refused) as caught:
        opened(forged(attributes=(nonce, unknown)))
    assert caught.value.rule is Rule.DIALECT


def test_a_nonce_of_another_type_is_malformed() -> None:
    """The nonce is an OCTET STRING."""
    with pytest.raises(Tr34Refused) as caught:
        opened(forged(attributes=(attribute(RANDOM_NONCE, b"\x0c" + octets(NONCE)[1:]),)))
    assert caught.value.rule is Rule.MALFORMED
