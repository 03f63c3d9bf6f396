"""Encodings at their edges: every last character, the largest document, what is never written."""

import json
import string

import pytest

from ceremony.encoding import (
    EncodingError,
    b64,
    b64url,
    canonical_json,
    from_b64,
    from_b64url,
    from_hex,
    strict_json,
)

ALPHABET = string.ascii_letters + string.digits


@pytest.mark.parametrize("last", [*ALPHABET, "-", "_"])
def test_every_character_may_be_the_last(last: str) -> None:
    """Padding is all that is taken off, never a digit of the value."""
    assert b64url(from_b64url(f"AAA{last}")) == f"AAA{last}"
    standard = last.translate({ord("-"): "+", ord("_"): "/"})
    assert b64(from_b64(f"AAA{standard}")) == f"AAA{standard}"


@pytest.mark.parametrize(
    "text", ["A", "AB", "AAB", "AA=", "AA==", "AAA=", "AAAAA", "A+AA", "A/AA", "AA AA", "AAAA\n"]
)
def test_what_would_be_written_otherwise_is_refused(text: str) -> None:
    """Odd lengths, unused bits that are not zero, padding, the other alphabet, white space."""
    with pytest.raises(EncodingError):
        from_b64url(text)


@pytest.mark.parametrize("text", ["AA", "AA=", "AB==", "AAB=", "A-AA", "AA\nAA", "AAAA=", "\u00fc"])
def test_standard_base64_has_one_form_too(text: str) -> None:
    """The form for DER is padded, canonical, and without line breaks."""
    with pytest.raises(EncodingError):
        from_b64(text)


@pytest.mark.parametrize("text", ["a", "0G", "AB", "0x00", "00 00", "00\n"])
def test_hexadecimal_is_lower_case_and_whole(text: str) -> None:
    """Half an octet, upper case, prefixes and separators are refused."""
    with pytest.raises(EncodingError):
        from_hex(text)


def test_json_is_written_in_utf_8() -> None:
    """Characters stand for themselves, members are sorted, and nothing is spaced out."""
    assert canonical_json({"b": "\u00fc", "a": [1, None]}) == b'{"a":[1,null],"b":"\xc3\xbc"}'


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_json_number_is_not_written(number: float) -> None:
    """NaN and Infinity are refused by every reader here, so nobody may sign them."""
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"a": number})


def test_a_document_has_at_most_64_kib() -> None:
    """65,536 bytes are read, one more is not: as bytes and as text."""
    largest = json.dumps({"a": "x" * (65_536 - 9)})
    assert len(largest) == 65_536
    assert strict_json(largest) == strict_json(largest.encode())
    for document in (largest + " ", largest.encode() + b" "):
        with pytest.raises(EncodingError):
            strict_json(document)


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_a_document_is_at_most_eight_deep(opening: str) -> None:
    """Eight levels are read and nine are not; brackets inside of strings do not count."""
    closing = "]" if opening == "[" else "}"

    def nested(levels: int) -> str:
        inner = opening * (levels - 1) + '"[{\\"[{"' + closing * (levels - 1)
        return f'{{"a":{inner}}}'

    assert strict_json(nested(8))
    assert strict_json(f'{{"b":{{}},"c":[],"a":{nested(7)}}}')
    with pytest.raises(EncodingError):
        strict_json(nested(9))


def test_closed_levels_do_not_add_up() -> None:
    """Many levels beside each other are not deep."""
    assert len(strict_json(json.dumps({str(n): [[n]] for n in range(50)}))) == 50


def test_a_closed_level_gives_back_one() -> None:
    """What was closed before is no credit: nine deep is nine deep behind any number of siblings."""
    deep = '{"a":' * 8 + "1" + "}" * 8
    for siblings in ('"b":{}', '"b":{},"c":[[]]', '"b":"}}]]"'):
        with pytest.raises(EncodingError):
            strict_json(f'{{{siblings},"a":{deep}}}')


def test_an_escape_ends_with_its_character() -> None:
    """Behind a string with an escape in it levels count as anywhere else."""
    deep = '{"a":' * 8 + "1" + "}" * 8
    assert strict_json(f'{{"b":"\\n","a":{deep[5:-1]}}}')
    with pytest.raises(EncodingError):
        strict_json(f'{{"b":"\\n","a":{deep}}}')
