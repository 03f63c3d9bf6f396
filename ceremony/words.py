"""The words of a fingerprint: six short words that two people can compare over the telephone.

The words come from the lists of BIP-39, of 2048 words each; this is not a BIP-39 mnemonic, and it
has no checksum. Six words are 66 bits of the fingerprint: enough for people to notice another
certificate, never a reason for a program to accept one. Programs compare all 256 bits.

Chinese words are single characters. Read aloud, some sound alike, so what is heard there is less
than 66 bits; what is seen on two screens is all of them.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

from mnemonic import Mnemonic

WordLanguage = Literal["en", "zh-CN"]

WORDS: Final = 6
BITS_PER_WORD: Final = 11

_FINGERPRINT: Final = re.compile(r"[0-9a-f]{64}\Z")
_FINGERPRINT_BITS: Final = 256
_LISTS: Final[Mapping[WordLanguage, tuple[str, ...]]] = MappingProxyType(
    {
        "en": tuple(Mnemonic("english").wordlist),
        "zh-CN": tuple(Mnemonic("chinese_simplified").wordlist),
    }
)


def fingerprint_words(fingerprint: str, language: WordLanguage) -> tuple[str, ...]:
    """Give the six words of a SHA-256 fingerprint, written as 64 lower-case hexadecimal digits.

    The fingerprint is read as one number, most significant bit first: word 1 is the word whose
    place in the list (from 0) is bits 1 to 11, word 6 that of bits 56 to 66; the other bits do
    not count. So the words of both languages stand at the same places of their lists.

    Raises:
        ValueError: if the fingerprint is malformed.
        KeyError: if there is no list for the language.
    """
    if not _FINGERPRINT.match(fingerprint):
        raise ValueError("not a SHA-256 fingerprint")
    words = _LISTS[language]
    number = int(fingerprint, 16)
    return tuple(
        words[number >> (_FINGERPRINT_BITS - BITS_PER_WORD * n) & (1 << BITS_PER_WORD) - 1]
        for n in range(1, WORDS + 1)
    )
