"""The encodings have one spelling for one value, and refuse every other."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ceremony.encoding import (
    MAX_JSON_BYTES,
    MAX_NESTING,
    EncodingError,
    b64,
    b64url,
    canonical_json,
    from_b64,
    from_b64url,
    from_hex,
    sha256_hex,
    strict_json,
)

SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@given(st.binary(max_size=100))
def test_binary_survives_each_encoding(data: bytes) -> None:
    """Whatever is encoded decodes to the same bytes."""
    assert from_b64url(b64url(data)) == data
    assert from_b64(b64(data)) == data
    assert from_hex(data.hex()) == data


@given(st.text(max_size=40))
def test_what_base64url_accepts_it_would_write(text: str) -> None:
    """A text is refused or is exactly the encoding of what it decodes to: no second spelling."""
    with contextlib.suppress(EncodingError):
        assert b64url(from_b64url(text)) == text


@given(st.text(alphabet="ABCDabcd0123+/=-_ \n", max_size=40))
def test_what_base64_accepts_it_would_write(text: str) -> None:
    """The same for padded base64."""
    with contextlib.suppress(EncodingError):
        assert b64(from_b64(text)) == text


@pytest.mark.parametrize(
    "text", ["QQ==", "QQ=", "Q", "QR", "Q+8A", "Q/8A", "QU JD", "QUJD\n", "QÜJD", "QUJ\ud800"]
)
def test_base64url_in_another_spelling_is_refused(text: str) -> None:
    """Padding, standard alphabet, white space, unused bits, foreign characters: all refused."""
    with pytest.raises(EncodingError):
        from_b64url(text)


@pytest.mark.parametrize("text", ["QQ", "QR==", "QQ==\n", "Q-8A", "QQ==QQ==", "Ü==="])
def test_base64_in_another_spelling_is_refused(text: str) -> None:
    """Missing padding, unused bits and the URL alphabet are refused."""
    with pytest.raises(EncodingError):
        from_b64(text)


@pytest.mark.parametrize("text", ["AB", "abc", "0x12", "ab cd", "ab\n", "\uff10\uff11", "gg"])
def test_hexadecimal_in_another_spelling_is_refused(text: str) -> None:
    """Upper case, odd length, separators, full-width digits: all refused."""
    with pytest.raises(EncodingError):
        from_hex(text)


@given(st.dictionaries(st.text(max_size=5), VALUES, max_size=4))
def test_canonical_json_reads_back(document: dict[str, Any]) -> None:
    """Canonical JSON is strict JSON, independent of the members' order."""
    turned = dict(reversed(list(document.items())))
    written = canonical_json(document)
    assert canonical_json(turned) == written
    if json.dumps(document).count("[") + json.dumps(document).count("{") <= MAX_NESTING:
        assert strict_json(written) == document


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '"a"',
        "null",
        "{",
        '{"a":1}}',
        '{"a":1}{"a":1}',
        '{"a":1,"a":1}',
        '{"a":{"b":1,"b":2}}',
        '{"a":1,"\\u0061":2}',
        '{"a":NaN}',
        '{"a":Infinity}',
        '{"a":-Infinity}',
        "{'a':1}",
        '{"a":1,}',
        '{"a":01}',
        '{"a":"\n"}',
        "\ufeff{}",
        '{"a":' + "9" * 5000 + "}",
        '{"a":' + "[" * 9 + "]" * 9 + "}",
        '{"a":"' + "x" * MAX_JSON_BYTES + '"}',
    ],
)
def test_ambiguous_json_is_refused(text: str) -> None:
    """Whatever two readers could read differently is no JSON here, as text and as bytes."""
    for form in (text, text.encode()):
        with pytest.raises(EncodingError):
            strict_json(form)


def test_nesting_is_bounded_before_it_is_parsed() -> None:
    """Eight levels pass, nine do not; brackets inside strings are text."""
    assert strict_json('{"a":' + "[" * 7 + "]" * 7 + "}")
    with pytest.raises(EncodingError):
        strict_json('{"a":' + "[" * 8 + "]" * 8 + "}")
    assert strict_json('{"a":"[[[[[[[[[[{{{{\\"[["}') == {"a": '[[[[[[[[[[{{{{"[['}
    with pytest.raises(EncodingError):
        strict_json('{"a":' + "[" * 30_000)


def test_bytes_that_are_not_utf8_are_refused() -> None:
    """Only UTF-8 is JSON (RFC 8259 section 8.1)."""
    for data in (b'{"a":"\xff"}', '{"a":1}'.encode("utf-16"), b"\xc0\x80"):
        with pytest.raises(EncodingError):
            strict_json(data)


def test_digests_are_sha256() -> None:
    """FIPS 180-4's example: SHA-256 of "abc"."""
    assert sha256_hex(b"abc") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
