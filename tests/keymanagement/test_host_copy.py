"""The host's copy opens for its own binding under its own KEK, and for nothing else."""

import os
from dataclasses import replace
from typing import Any

import psec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from keymanagement.checkvalue import key_check_value
from keymanagement.hostcopy import HostCopies
from keymanagement.keyblock import BlockHeader, BlockProtection
from keymanagement.port import HostCopyInvalid, KeyAlgorithm, KeyBinding, KeyUsage
from keymanagement.software import SoftwareKeyManager
from keymanagement.subkeys import KekInvalid, derive
from tests.support.keytokens import sample_kdh

KEK = bytes(range(32))
BINDING = KeyBinding("ATM-0001", "A" * 24)
NEXT_KEK = bytes(range(1, 33))
COPIES = HostCopies(KEK)
REQUESTS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=64)
TERMINALS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=64)


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
    for wrong in (block[:cut], block + bytes(1 + cut), block + b"0" * (1 + cut)):
        with pytest.raises(HostCopyInvalid):
            COPIES.open(wrong, KeyAlgorithm.AES_128, BINDING)


@given(TERMINALS, REQUESTS, TERMINALS, REQUESTS)
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


@pytest.mark.parametrize(
    "names",
    [("ATM-1", "A B"), ("", "A"), ("ATM-1", ""), ("ATM\n1", "A"), ("Ä", "A"), ("A", "B" * 65)],
)
def test_a_binding_that_no_label_can_hold_is_not_sealed(names: tuple[str, str]) -> None:
    """Nor does anything open for it; the numbers and ids of the design are all within."""
    with pytest.raises(ValueError, match="label"):
        COPIES.seal(bytes(16), KeyAlgorithm.AES_128, KeyBinding(*names))
    block = COPIES.seal(bytes(16), KeyAlgorithm.AES_128, BINDING)
    with pytest.raises(HostCopyInvalid):
        COPIES.open(block, KeyAlgorithm.AES_128, KeyBinding(*names))


@pytest.mark.parametrize("algorithm", list(KeyAlgorithm))
@pytest.mark.parametrize("other", list(KeyAlgorithm))
def test_another_algorithm_is_refused(algorithm: KeyAlgorithm, other: KeyAlgorithm) -> None:
    """24 bytes of AES-192 do not open as a TDES key, nor as any other AES key."""
    block = COPIES.seal(bytes(algorithm.key_bytes), algorithm, BINDING)
    if algorithm is other:
        assert COPIES.open(block, other, BINDING) == bytes(other.key_bytes)
    else:
        with pytest.raises(HostCopyInvalid):
            COPIES.open(block, other, BINDING)


@pytest.mark.parametrize("algorithm", list(KeyAlgorithm))
@pytest.mark.parametrize("usage", ["K1", "K0"])
def test_the_header_is_the_documented_one(algorithm: KeyAlgorithm, usage: KeyUsage) -> None:
    """Another implementation finds usage, mode, exportability, label and KEK check, and the key."""
    key = os.urandom(algorithm.key_bytes)
    block = COPIES.seal(key, algorithm, BINDING, usage)
    kbpk = derive(KEK, "host-copy-block")
    header, opened = psec.tr31.unwrap(kbpk, block.decode())
    letter = {"TDES": "T", "SM4": "4"}.get(algorithm, "A")
    assert opened == key
    assert str(header)[5:12] == f"{usage}{letter}E00E"
    check = key_check_value(KeyAlgorithm.AES_256, kbpk)
    assert header.blocks["LB"] == f"{BINDING.request_id} {BINDING.terminal_no}"
    assert header.blocks["KP"][:8].lower() == f"01{check}"
    assert set(header.blocks) == {"LB", "KP"}
    assert COPIES.unwrapped(block, algorithm, BINDING)[0].usage == usage


def test_a_block_of_a_letter_tells_no_length() -> None:
    """AES-128, AES-192 and AES-256 keys make blocks of one length."""
    aes = [one for one in KeyAlgorithm if one.startswith("AES")]
    assert len({len(COPIES.seal(bytes(one.key_bytes), one, BINDING)) for one in aes}) == 1


@pytest.mark.parametrize(
    "bent",
    [
        {"usage": "P0"},
        {"mode": "B"},
        {"exportability": "N"},
        {"key_version": "01"},
        {"algorithm": "T"},
        {"optional": ()},
    ],
    ids=str,
)
def test_a_block_of_another_use_is_refused(bent: dict[str, Any]) -> None:
    """Under the right KEK too: only what this module writes opens."""
    check = f"01{COPIES._newest.check}"
    label = f"{BINDING.request_id} {BINDING.terminal_no}"
    right = BlockHeader("K1", "A", "E", "E", (("LB", label), ("KP", check)))
    protection = BlockProtection(derive(KEK, "host-copy-block"))
    assert COPIES.open(
        protection.wrap(right, bytes(16), at_least=32), KeyAlgorithm.AES_128, BINDING
    ) == bytes(16)
    with pytest.raises(HostCopyInvalid):
        COPIES.open(
            protection.wrap(replace(right, **bent), bytes(16), at_least=32),
            KeyAlgorithm.AES_128,
            BINDING,
        )


def test_a_block_of_before_x9143_is_named() -> None:
    """The operator of an old journal is told what it is, and not that it is damaged."""
    with pytest.raises(HostCopyInvalid, match="before Keyfill wrote X9"):
        COPIES.open(b"KFHC\x01\x01" + bytes(60), KeyAlgorithm.AES_128, BINDING)


def test_the_previous_kek_still_opens() -> None:
    """While two KEKs are held, blocks of both open, and the newest one seals."""
    ring = HostCopies(NEXT_KEK, KEK)
    old = COPIES.seal(bytes(16), KeyAlgorithm.AES_128, BINDING, "K0")
    assert ring.open(old, KeyAlgorithm.AES_128, BINDING) == bytes(16)
    new = ring.seal(bytes(16), KeyAlgorithm.AES_128, BINDING)
    assert HostCopies(NEXT_KEK).open(new, KeyAlgorithm.AES_128, BINDING) == bytes(16)
    with pytest.raises(HostCopyInvalid, match="another KEK"):
        COPIES.open(new, KeyAlgorithm.AES_128, BINDING)


def test_a_block_is_sealed_again_under_the_newest_kek() -> None:
    """Once; the key, its use and its binding stay, and a block of the newest one is left alone."""
    ring = HostCopies(NEXT_KEK, KEK)
    key = os.urandom(16)
    old = COPIES.seal(key, KeyAlgorithm.AES_128, BINDING, "K0")
    new = ring.resealed(old, KeyAlgorithm.AES_128, BINDING)
    alone = HostCopies(NEXT_KEK)
    assert alone.open(new, KeyAlgorithm.AES_128, BINDING) == key
    assert alone.unwrapped(new, KeyAlgorithm.AES_128, BINDING)[0].usage == "K0"
    assert ring.resealed(new, KeyAlgorithm.AES_128, BINDING) == new
    with pytest.raises(HostCopyInvalid):
        ring.resealed(old, KeyAlgorithm.AES_128, KeyBinding("ATM-0002", BINDING.request_id))


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
    purposes = ["host-copy-block", "journal-mac", "kcv-seal", "kcv-digest"]
    derived = {derive(KEK, purpose) for purpose in purposes}
    assert len(derived) == len(purposes)
    assert KEK not in derived


@pytest.mark.parametrize("usage", ["K1", "K0"])
def test_the_key_manager_says_what_the_policy_says(usage: KeyUsage) -> None:
    """The copy of a key for a terminal without key blocks is a K0."""
    made = SoftwareKeyManager(KEK, sample_kdh()).create(KeyAlgorithm.AES_128, BINDING, usage)
    assert COPIES.unwrapped(made.block, KeyAlgorithm.AES_128, BINDING)[0].usage == usage
