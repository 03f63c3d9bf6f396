"""Claims about the words of a fingerprint: known vectors, the order of the bits, what is refused.

The vectors are computed by hand from the lists of BIP-39 (bitcoin/bips, bip-0039, english.txt and
chinese_simplified.txt): word 0 is `abandon` / 的, word 1 `ability` / 一, word 1024 `length` / 熟,
word 2047 `zoo` / 歇.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mnemonic import Mnemonic

from ceremony.words import WordLanguage, fingerprint_words

fingerprints = st.binary(min_size=32, max_size=32).map(bytes.hex)


@pytest.mark.parametrize(
    ("fingerprint", "english", "chinese"),
    [
        ("00" * 32, ("abandon",) * 6, ("的",) * 6),
        ("ff" * 32, ("zoo",) * 6, ("歇",) * 6),
        # The first bit alone is the highest of the first word: 1024.
        ("80" + "00" * 31, ("length", *["abandon"] * 5), ("熟", *["的"] * 5)),
        # Bit 11 is the lowest of the first word.
        ("0020" + "00" * 30, ("ability", *["abandon"] * 5), ("一", *["的"] * 5)),
        # Bit 12 is the highest of the second.
        ("0010" + "00" * 30, ("abandon", "length", *["abandon"] * 4), ("的", "熟", *["的"] * 4)),
        # Bit 66, the last that counts, is the lowest of the sixth; bit 67 counts no more.
        ("00" * 8 + "40" + "00" * 23, (*["abandon"] * 5, "ability"), (*["的"] * 5, "一")),
        ("00" * 8 + "3f" + "ff" * 23, ("abandon",) * 6, ("的",) * 6),
    ],
)
def test_known_vectors(
    fingerprint: str, english: tuple[str, ...], chinese: tuple[str, ...]
) -> None:
    """Every bit stands where the docstring says, in both languages."""
    assert fingerprint_words(fingerprint, "en") == english
    assert fingerprint_words(fingerprint, "zh-CN") == chinese


@given(fingerprints)
def test_the_words_are_those_of_a_bip39_mnemonic(fingerprint: str) -> None:
    """BIP-39 reads its entropy in the same order: its first six words are ours."""
    for language, name in (("en", "english"), ("zh-CN", "chinese_simplified")):
        mnemonic = Mnemonic(name).to_mnemonic(bytes.fromhex(fingerprint))
        ours = fingerprint_words(fingerprint, language)  # type: ignore[arg-type]
        assert list(ours) == mnemonic.split(" ")[:6]


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_two_fingerprints_that_differ_early_differ_in_a_word(language: WordLanguage) -> None:
    """Turning any one of the first 66 bits changes exactly one word; turning a later one, none."""
    base = int.from_bytes(bytes(range(32)))
    words = fingerprint_words(f"{base:064x}", language)
    for bit in range(256):
        turned = fingerprint_words(f"{base ^ 1 << 255 - bit:064x}", language)
        differing = [n for n in range(6) if turned[n] != words[n]]
        assert differing == ([bit // 11] if bit < 66 else [])


@pytest.mark.parametrize(
    "fingerprint",
    ["", "00", "00" * 31, "00" * 33, "0" * 63 + "g", "AB" * 32, "00" * 32 + "\n", "\u0660" * 64],
)
def test_a_malformed_fingerprint_is_refused(fingerprint: str) -> None:
    """Anything but 64 lower-case hexadecimal digits: ValueError, and no words."""
    with pytest.raises(ValueError, match="SHA-256"):
        fingerprint_words(fingerprint, "en")


def test_an_unknown_language_is_refused() -> None:
    """There is no falling back to another language's words: they would not match."""
    with pytest.raises(KeyError):
        fingerprint_words("00" * 32, "de")  # type: ignore[arg-type]
