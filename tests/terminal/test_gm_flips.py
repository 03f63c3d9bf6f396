"""A bit flipped anywhere in a `gm-envelope` token, or a byte cut off or added: always refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terminal.gm.keytoken import open_key_token
from terminal.gm.refusal import GmRefused
from tests.support.gmworld import KEY, gm_token, host_certificate, recipient

TOKEN = gm_token()
MINE, HOST = recipient(), host_certificate()
BITS = 8 * len(TOKEN)


def test_the_token_is_right() -> None:
    """Unchanged, it opens."""
    assert open_key_token(TOKEN, MINE, HOST).key == KEY


def test_every_byte_of_the_frame_counts() -> None:
    """One bit of each byte in turn, the signature's and the envelope's among them."""
    for at in range(len(TOKEN)):
        changed = bytearray(TOKEN)
        changed[at] ^= 1 << (at % 8)
        with pytest.raises(GmRefused):
            open_key_token(bytes(changed), MINE, HOST)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, BITS - 1))
def test_a_flipped_bit_is_refused(bit: int) -> None:
    """Whichever bit."""
    changed = bytearray(TOKEN)
    changed[bit // 8] ^= 1 << (bit % 8)
    with pytest.raises(GmRefused):
        open_key_token(bytes(changed), MINE, HOST)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(TOKEN) - 1), st.binary(max_size=8))
def test_a_cut_or_lengthened_token_is_refused(length: int, more: bytes) -> None:
    """Nothing may be missing, and nothing may follow."""
    with pytest.raises(GmRefused):
        open_key_token(TOKEN[:length] + more, MINE, HOST)
    if more:
        with pytest.raises(GmRefused):
            open_key_token(TOKEN + more, MINE, HOST)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_refused_in_a_typed_way(data: bytes) -> None:
    """What is no token at all never surprises the reader."""
    with pytest.raises(GmRefused):
        open_key_token(data, MINE, HOST)
