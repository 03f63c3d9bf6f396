"""A bit flipped anywhere in any token is refused: every field is signed or has one value."""

from collections.abc import Callable
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keymanagement.port import KeyAlgorithm
from keymanagement.tr34.credentials import (
    authority_rebind as write_authority_rebind,
)
from keymanagement.tr34.credentials import (
    authority_unbind as write_authority_unbind,
)
from keymanagement.tr34.credentials import kdh_credential, kdh_rebind, kdh_unbind
from keymanagement.tr34.dialect import Dialect
from keymanagement.tr34.form import ContentCipher
from keymanagement.tr34.keytoken import OnePass
from terminal.tr34.credentials import authority_rebind, authority_unbind, bind, rebind, unbind
from terminal.tr34.dialects import Dialect as Read
from terminal.tr34.keytoken import OnePass as ExpectTime
from terminal.tr34.refusal import Tr34Refused
from tests.support.tr34world import (
    NONCE,
    NOW,
    anchors,
    binding,
    crl,
    kdh,
    krd,
    opened,
    overseer,
    token,
)
from tests.terminal.test_tr34_dialects import in_dialect

BOUND = binding()
PINNED = anchors()
Taker = Callable[[bytes], object]


def _opened(made: bytes) -> object:
    return opened(made, binding=BOUND, anchors=PINNED)


def _one_pass(made: bytes) -> object:
    return opened(made, freshness=ExpectTime(), binding=BOUND, anchors=PINNED)


def _bind(made: bytes) -> object:
    return bind(made, None, PINNED, now=NOW)


def _rebind(made: bytes) -> object:
    return rebind(made, krd(), BOUND, PINNED, NONCE, now=NOW)


def _unbind(made: bytes) -> None:
    unbind(made, krd(), BOUND, PINNED, NONCE, now=NOW)


def _authority_rebind(made: bytes) -> object:
    return authority_rebind(made, krd(), BOUND, PINNED, now=NOW)


def _authority_unbind(made: bytes) -> None:
    authority_unbind(made, krd(), BOUND, PINNED, now=NOW)


TOKENS: dict[str, tuple[Callable[[], bytes], Taker]] = {
    "strict-cms": (token, _opened),
    "strict-cms, one-pass, CRL": (
        lambda: token(freshness=OnePass(NOW), crl_der=crl()),
        _one_pass,
    ),
    "strict-cms, 3DES": (
        lambda: token(KeyAlgorithm.TDES, cipher=ContentCipher.TDES),
        _opened,
    ),
    "annexb-errata": (lambda: token(dialect=Dialect.ANNEXB_ERRATA), _opened),
    "annexb-errata, CRL": (
        lambda: token(dialect=Dialect.ANNEXB_ERRATA, crl_der=crl()),
        _opened,
    ),
    "annexb-2019-original": (lambda: in_dialect(Read.ANNEXB_2019_ORIGINAL), _opened),
    "aws-2012": (lambda: in_dialect(Read.AWS_2012), _opened),
    "CT-KDH": (lambda: kdh_credential(kdh().certificate, crl()), _bind),
    "RBT-KDH": (
        lambda: kdh_rebind(krd().certificate, NONCE, kdh("new").certificate, crl(), kdh()),
        _rebind,
    ),
    "UBT-KDH": (lambda: kdh_unbind(krd().certificate, NONCE, kdh()), _unbind),
    "RBT-CA": (
        lambda: write_authority_rebind(
            krd().certificate, kdh().certificate, kdh("new").certificate, crl(), overseer()
        ),
        _authority_rebind,
    ),
    "UBT-CA": (
        lambda: write_authority_unbind(krd().certificate, kdh().certificate, overseer()),
        _authority_unbind,
    ),
}
BYTE_BY_BYTE = ("strict-cms, one-pass, CRL", "aws-2012", "CT-KDH", "RBT-CA")


@pytest.mark.parametrize("name", TOKENS)
def test_the_token_itself_is_taken(name: str) -> None:
    """What is flipped below is right before."""
    TOKENS[name][1](made(name))


@cache
def made(name: str) -> bytes:
    """The token of this name, made once."""
    return TOKENS[name][0]()


def refuses(name: str, changed: bytes) -> None:
    """The taker of a token refuses what has become of it."""
    with pytest.raises(Tr34Refused):
        TOKENS[name][1](changed)


@pytest.mark.parametrize("name", BYTE_BY_BYTE)
def test_one_flipped_bit_in_each_byte_is_refused(name: str) -> None:
    """From the first byte to the last, a changed one is noticed."""
    whole = made(name)
    TOKENS[name][1](whole)
    for at in range(len(whole)):
        changed = bytearray(whole)
        changed[at] ^= 1 << at % 8
        refuses(name, bytes(changed))


@given(name=st.sampled_from(sorted(TOKENS)), data=st.data())
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_flipped_bit_is_refused(name: str, data: st.DataObject) -> None:
    """No bit of any token can change."""
    whole = made(name)
    bit = data.draw(st.integers(0, 8 * len(whole) - 1))
    changed = bytearray(whole)
    changed[bit // 8] ^= 1 << bit % 8
    refuses(name, bytes(changed))


@given(name=st.sampled_from(sorted(TOKENS)), data=st.data())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_cut_or_doubled_piece_is_refused(name: str, data: st.DataObject) -> None:
    """Nothing can be left out, repeated or added."""
    whole = made(name)
    start = data.draw(st.integers(0, len(whole) - 1))
    end = data.draw(st.integers(start + 1, len(whole)))
    refuses(name, whole[:start] + whole[end:])
    refuses(name, whole[:end] + whole[start:])


@given(st.binary(max_size=400))
@settings(max_examples=200, deadline=None)
def test_any_bytes_at_all_are_refused_and_raise_nothing_else(noise: bytes) -> None:
    """Rubbish is refused by a rule: no reader fails in a way of its own."""
    for name in ("strict-cms", "CT-KDH", "RBT-KDH", "UBT-CA"):
        refuses(name, noise)
