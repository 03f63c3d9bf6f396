"""X9.143 key blocks: published ones, a second implementation, and nothing that was changed."""

import json
import warnings
from pathlib import Path
from typing import Any

import psec
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.cmac import CMAC
from cryptography.utils import CryptographyDeprecationWarning
from hypothesis import assume, given
from hypothesis import strategies as st

from keymanagement.checkvalue import key_check_value
from keymanagement.keyblock import BlockHeader, BlockProtection, KeyBlockInvalid, read_header
from keymanagement.port import KeyAlgorithm

PUBLISHED: list[dict[str, str]] = json.loads(
    (Path(__file__).parent / "vectors" / "key-blocks.json").read_text()
)["key_blocks"]
ANNEX_A74 = next(row for row in PUBLISHED if row["source"] == "TR-31:2018 A.7.4")
KBPK = bytes(range(32))
PROTECTION = BlockProtection(KBPK)
HEADER = BlockHeader("K1", "A", "E", "E", (("LB", "R" * 24 + " ATM-0001"),))
BLOCK = PROTECTION.wrap(HEADER, bytes(range(16)), at_least=32)
CODE = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=1, max_size=1)
NAME = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=2, max_size=2)
DATA = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=251)
OPTIONAL = st.dictionaries(NAME.filter(lambda name: name != "PB"), DATA, max_size=4)


def psec_unwrap(kbpk: bytes, block: str) -> tuple[psec.tr31.Header, bytes]:
    """What psec reads; old versions rest on TDES, of which `cryptography` warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        return psec.tr31.unwrap(kbpk, block)


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: row["key_block"][:16])
def test_published_blocks_open(row: dict[str, str]) -> None:
    """Each published block holds its published key and KCV; ours reads version D only."""
    kbpk, block, key = bytes.fromhex(row["kbpk"]), row["key_block"], bytes.fromhex(row["key"])
    assert psec_unwrap(kbpk, block)[1] == key
    algorithm = KeyAlgorithm.TDES if block[7] == "T" else KeyAlgorithm(f"AES-{8 * len(key)}")
    assert key_check_value(algorithm, key) == row["kcv"]
    if block[0] == "D":
        header, opened = BlockProtection(kbpk).unwrap(block.encode())
        assert opened == key
        assert f"{header.usage}{header.algorithm}{header.mode}" == block[5:9]
        assert header.exportability == block[11]
    else:
        with pytest.raises(KeyBlockInvalid, match="version D"):
            PROTECTION.unwrap(block.encode())


@given(CODE, CODE, CODE, NAME, OPTIONAL, st.binary(min_size=1, max_size=48), st.integers(0, 40))
def test_a_second_implementation_reads_what_is_written(
    algorithm: str,
    mode: str,
    exportability: str,
    usage: str,
    optional: dict[str, str],
    key: bytes,
    more: int,
) -> None:
    """The other reads every block to the same header and key, and so does the reader itself."""
    header = BlockHeader(usage, algorithm, mode, exportability, tuple(optional.items()))
    block = PROTECTION.wrap(header, key, at_least=len(key) + more)
    assert PROTECTION.unwrap(block) == (header, key)
    assert read_header(block) == header
    read, opened = psec.tr31.unwrap(KBPK, block.decode())
    assert opened == key
    assert (read.key_usage, read.algorithm, read.mode_of_use) == (usage, algorithm, mode)
    assert (read.exportability, dict(read.blocks)) == (exportability, optional)


@given(OPTIONAL, st.sampled_from([16, 24, 32]))
def test_a_second_implementations_blocks_are_read(optional: dict[str, str], length: int) -> None:
    """What psec writes opens here, its padding by default included.

    But for one spelling: where four characters are missing, it pads with twenty.
    """
    assume(sum(4 + len(data) for data in optional.values()) % 16 != 12)
    header = psec.tr31.Header("D", "K1", "A", "D", "00", "N")
    for name, data in optional.items():
        header.blocks[name] = data
    block = psec.tr31.wrap(KBPK, header, bytes(range(length)))
    assert PROTECTION.unwrap(block.encode()) == (
        BlockHeader("K1", "A", "D", "N", tuple(optional.items())),
        bytes(range(length)),
    )


@given(st.data())
def test_no_bit_of_a_block_can_change(data: st.DataObject) -> None:
    """Not in the header, the optional blocks, the key or the MAC; not even a letter's case."""
    bit = data.draw(st.integers(0, 8 * len(BLOCK) - 1))
    flipped = bytearray(BLOCK)
    flipped[bit // 8] ^= 1 << bit % 8
    with pytest.raises(KeyBlockInvalid):
        PROTECTION.unwrap(bytes(flipped))


@given(st.data())
def test_no_character_can_be_lost_or_won(data: st.DataObject) -> None:
    """A block cut short, grown, or with a blank between its digits does not open."""
    at = data.draw(st.integers(0, len(BLOCK) - 1))
    inserted = data.draw(st.sampled_from([b" ", b"\n", b"0", b"00", b"A", b" " * 16]))
    for changed in (BLOCK[:at], BLOCK[at + 1 :], BLOCK[:at] + inserted + BLOCK[at:]):
        with pytest.raises(KeyBlockInvalid):
            PROTECTION.unwrap(changed)


@given(st.binary(max_size=300))
def test_noise_is_no_block(noise: bytes) -> None:
    """Whatever is read that is no block, the answer is the one error."""
    for text in (noise, b"D0144K1AE00E0100" + noise):
        with pytest.raises(KeyBlockInvalid):
            PROTECTION.unwrap(text)


def respelled(start: int, old: str, new: str) -> bytes:
    """The sample block with one part spelt anew, and its length as named."""
    text = BLOCK.decode()
    assert text[start : start + len(old)] == old
    text = text[:start] + new + text[start + len(old) :]
    return f"D{len(text):04}{text[5:]}".encode()


@pytest.mark.parametrize(
    "block",
    [
        BLOCK[:16] + BLOCK[16:].lower(),
        BLOCK[:-32] + BLOCK[-32:].lower(),
        respelled(14, "00", "01"),
        respelled(16, "LB25", "LB000225"),
        respelled(16, "LB25", "LB03"),
        respelled(12, "02", "01"),
        respelled(12, "02", "99"),
    ],
    ids=["lower", "lower-mac", "reserved", "long-form", "short", "fewer", "more"],
)
def test_another_spelling_is_refused(block: bytes) -> None:
    """What other readers overlook is refused, before or after the MAC."""
    with pytest.raises(KeyBlockInvalid):
        PROTECTION.unwrap(block)


def sealed(text: str, clear: bytes) -> bytes:
    """A block of this very header and key data, under a MAC that is right."""

    def cmac(key: bytes, message: bytes) -> bytes:
        mac = CMAC(AES(key))
        mac.update(message)
        return mac.finalize()

    def derived(use: int) -> bytes:
        return b"".join(cmac(KBPK, bytes([n, 0, use, 0, 0, 4, 1, 0])) for n in (1, 2))

    tag = cmac(derived(1), text.encode() + clear)
    encryptor = Cipher(AES(derived(0)), CBC(tag)).encryptor()
    return f"{text}{encryptor.update(clear).hex().upper()}{tag.hex().upper()}".encode()


KEY_DATA = (128).to_bytes(2, "big") + bytes(range(16)) + bytes(14)


@pytest.mark.parametrize(
    ("text", "clear"),
    [
        ("D0112K1AE00E0001", KEY_DATA),
        ("D0113K1AE00E0000", KEY_DATA),
        ("D0144K1AE00E0200PB10000000000000PB10000000000000", KEY_DATA),
        ("D0128K1AE00E0100PB10000000000000", KEY_DATA),
        ("D0128K1AE00E0200PB08ABCDLB080000", KEY_DATA),
        ("D0128K1AE00E0200LB080000PB08ABCD", KEY_DATA),
        ("D0128K1AE00E0200LB080000LB080000", KEY_DATA),
        ("D0128K1AE00E0100LB0002000E000000", KEY_DATA),
        ("D0128k1AE00E0100LB10000000000000", KEY_DATA),
        ("D0112K1AE00E0000", bytes(32)),
        ("D0112K1AE00E0000", (127).to_bytes(2, "big") + bytes(30)),
        ("D0112K1AE00E0000", (248).to_bytes(2, "big") + bytes(30)),
        ("D0080K1AE00E0000", b""),
    ],
)
def test_a_right_mac_is_not_enough(text: str, clear: bytes) -> None:
    """What another writer with the same key spells otherwise, or fills with no key, is refused."""
    assert PROTECTION.unwrap(sealed("D0112K1AE00E0000", KEY_DATA))[1] == bytes(range(16))
    assert PROTECTION.unwrap(sealed("D0128K1AE00E0100LB10000000000000", KEY_DATA))
    with pytest.raises(KeyBlockInvalid):
        PROTECTION.unwrap(sealed(text, clear))


def test_psec_overlooks_what_is_refused_here() -> None:
    """Why psec is the second opinion and not the reader: it opens a block in another spelling."""
    kbpk, block = bytes.fromhex(ANNEX_A74["kbpk"]), ANNEX_A74["key_block"]
    lower = block[:16] + block[16:].lower()
    assert psec.tr31.unwrap(kbpk, lower)[1].hex() == ANNEX_A74["key"]
    with pytest.raises(KeyBlockInvalid):
        BlockProtection(kbpk).unwrap(lower.encode())


@given(st.integers(0, 255))
def test_another_protection_key_opens_nothing(bit: int) -> None:
    """A KBPK that differs in one bit is another KBPK, and has another check value."""
    other = BlockProtection((int.from_bytes(KBPK) ^ 1 << bit).to_bytes(32))
    assert other.check != PROTECTION.check
    with pytest.raises(KeyBlockInvalid, match="not what was sealed"):
        other.unwrap(BLOCK)


def test_the_check_value_is_the_kcv_of_the_protection_key() -> None:
    """Five bytes of the CMAC of a zero block: what an operator compares with the HSM's."""
    assert PROTECTION.check[:6].lower() == key_check_value(KeyAlgorithm.AES_256, KBPK)
    assert len(PROTECTION.check) == 10


def test_a_block_does_not_tell_its_keys_length() -> None:
    """Keys of 16, 24 and 32 bytes make blocks of one length, padded at random."""
    blocks = [PROTECTION.wrap(HEADER, bytes(n), at_least=32) for n in (16, 16, 24, 32)]
    assert len({len(block) for block in blocks}) == 1
    assert blocks[0] != blocks[1]


@pytest.mark.parametrize("length", [0, 16, 24, 31, 33])
def test_a_protection_key_of_another_length_is_refused(length: int) -> None:
    """AES-256 only: nothing weaker protects a key."""
    with pytest.raises(ValueError, match="32 bytes"):
        BlockProtection(bytes(length))


@pytest.mark.parametrize(
    "bent",
    [
        {"usage": "K"},
        {"mode": "EE"},
        {"algorithm": "a"},
        {"optional": (("LB", "a"), ("LB", "b"))},
        {"optional": (("PB", "0000"),)},
        {"optional": (("L", "a"),)},
        {"optional": (("LB", "ä"),)},
        {"optional": (("LB", "a" * 252),)},
        {"optional": (("LB", "\n"),)},
    ],
    ids=repr,
)
def test_a_header_that_cannot_be_read_back_is_not_written(bent: dict[str, Any]) -> None:
    """A mistake of the caller is an error at once, not a block that nobody opens."""
    fields = {"usage": "K1", "algorithm": "A", "mode": "E", "exportability": "E", **bent}
    with pytest.raises(ValueError, match=r"cannot be written|optional block"):
        PROTECTION.wrap(BlockHeader(**fields), bytes(16), at_least=32)


@pytest.mark.parametrize(("length", "at_least"), [(0, 32), (17, 16)])
def test_a_key_that_is_empty_or_too_long_is_not_wrapped(length: int, at_least: int) -> None:
    """Padding never goes missing because a key was longer than its kind."""
    with pytest.raises(ValueError, match="longest kind"):
        PROTECTION.wrap(HEADER, bytes(length), at_least=at_least)
