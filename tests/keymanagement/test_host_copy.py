"""The host's copy opens for its own binding under its own KEK, and for nothing else."""

import os

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from keymanagement.hostcopy import HostCopies
from keymanagement.port import HostCopyInvalid, KeyAlgorithm, KeyBinding
from keymanagement.subkeys import KekInvalid, derive

KEK = bytes(range(32))
BINDING = KeyBinding("ATM-0001", "A" * 24)
COPIES = HostCopies(KEK)
NAMES = st.text(max_size=40)


@pytest.mark.parametrize("algorithm", list(KeyAlgorithm))
def test_what_was_sealed_opens(algorithm: KeyAlgorithm) -> None:
    """A block gives back its key, never shows it, and is another block every time."""
    key = os.urandom(algorithm.key_bytes)
    block = COPIES.seal(key, algorithm, BINDING)
    assert COPIES.open(block, algorithm, BINDING) == key
    assert key not in block
    assert COPIES.seal(key, algorithm, BINDING) != block


@given(st.sampled_from(list(KeyAlgorithm)), st.data())
def test_any_bit_flipped_in_a_block_is_refused(
    algorithm: KeyAlgorithm, data: st.DataObject
) -> None:
    """No bit of a block, header included, can change."""
    block = COPIES.seal(bytes(algorithm.key_bytes), algorithm, BINDING)
    bit = data.draw(st.integers(0, 8 * len(block) - 1))
    flipped = bytearray(block)
    flipped[bit // 8] ^= 1 << bit % 8
    with pytest.raises(HostCopyInvalid):
        COPIES.open(bytes(flipped), algorithm, BINDING)


@given(st.data())
def test_a_block_of_another_length_is_refused(data: st.DataObject) -> None:
    """A block cut short or grown does not open."""
    block = COPIES.seal(bytes(16), KeyAlgorithm.AES_128, BINDING)
    cut = data.draw(st.integers(0, len(block) - 1))
    for wrong in (block[:cut], block + bytes(1 + cut)):
        with pytest.raises(HostCopyInvalid):
            COPIES.open(wrong, KeyAlgorithm.AES_128, BINDING)


@given(NAMES, NAMES, NAMES, NAMES)
def test_another_binding_is_refused(
    terminal: str, request: str, other_terminal: str, other_request: str
) -> None:
    """A block moved to another terminal or request does not open, however the names split."""
    assume((terminal, request) != (other_terminal, other_request))
    block = COPIES.seal(bytes(16), KeyAlgorithm.AES_128, KeyBinding(terminal, request))
    with pytest.raises(HostCopyInvalid):
        COPIES.open(block, KeyAlgorithm.AES_128, KeyBinding(other_terminal, other_request))


def test_the_parts_of_a_binding_do_not_run_together() -> None:
    """`AB`+`C` is not `A`+`BC`."""
    block = COPIES.seal(bytes(16), KeyAlgorithm.AES_128, KeyBinding("AB", "C"))
    with pytest.raises(HostCopyInvalid):
        COPIES.open(block, KeyAlgorithm.AES_128, KeyBinding("A", "BC"))


def test_another_algorithm_is_refused() -> None:
    """24 bytes of AES-192 do not open as a TDES key of the same length."""
    block = COPIES.seal(bytes(24), KeyAlgorithm.AES_192, BINDING)
    with pytest.raises(HostCopyInvalid):
        COPIES.open(block, KeyAlgorithm.TDES, BINDING)


@given(st.integers(0, 255))
def test_another_kek_is_refused_and_named(bit: int) -> None:
    """A KEK that differs in one bit opens nothing, and the operator is told that it is the KEK."""
    other = (int.from_bytes(KEK) ^ 1 << bit).to_bytes(32)
    block = HostCopies(other).seal(bytes(16), KeyAlgorithm.AES_128, BINDING)
    with pytest.raises(HostCopyInvalid, match="another KEK"):
        COPIES.open(block, KeyAlgorithm.AES_128, BINDING)


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_kek_of_another_length_is_refused(length: int) -> None:
    """A KEK has 32 bytes; a short one is not stretched."""
    with pytest.raises(KekInvalid):
        HostCopies(bytes(length))


def test_a_key_of_another_length_is_not_sealed() -> None:
    """What is sealed as AES-256 has 32 bytes."""
    with pytest.raises(ValueError, match="length"):
        COPIES.seal(bytes(16), KeyAlgorithm.AES_256, BINDING)


def test_every_use_of_the_kek_has_its_own_key() -> None:
    """Derived keys differ by purpose, from each other and from the KEK."""
    purposes = ["host-copy", "host-copy-check", "journal-mac", "kcv-seal", "kcv-digest"]
    derived = {derive(KEK, purpose) for purpose in purposes}
    assert len(derived) == len(purposes)
    assert KEK not in derived
