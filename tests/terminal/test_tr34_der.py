"""Two hands for one encoding: what the server's encoder writes, the terminal's reader reads."""

import pytest
from cryptography import x509
from cryptography.hazmat.asn1 import decode_der
from hypothesis import given
from hypothesis import strategies as st

from keymanagement.tr34 import der as writing
from keymanagement.tr34 import identifiers as written
from terminal.tr34 import identifiers as read
from terminal.tr34.der import (
    INTEGER,
    OBJECT_ID,
    OCTETS,
    SEQUENCE,
    SET,
    UTC_TIME,
    NotDer,
    Reader,
    whole,
    wrapped,
)

NAMES = [
    "DATA",
    "SIGNED_DATA",
    "ENVELOPED_DATA",
    "CONTENT_TYPE",
    "MESSAGE_DIGEST",
    "SIGNING_TIME",
    "RANDOM_NONCE",
    "KEY_BLOCK_HEADER",
    "RSAES_OAEP",
    "MGF1",
    "P_SPECIFIED",
    "SHA256",
    "AES_128_CBC",
    "DES_EDE3_CBC",
]


@pytest.mark.parametrize("name", NAMES)
def test_both_sides_know_the_same_object_identifiers(name: str) -> None:
    """Encoded from dotted text on one side, written as octets on the other."""
    assert whole(getattr(written, name), OBJECT_ID).value == getattr(read, name)


@given(st.lists(st.binary(max_size=300), max_size=6))
def test_what_is_written_is_read(values: list[bytes]) -> None:
    """Members of every length come back, in order in a SEQUENCE and sorted in a SET."""
    leaves = [writing.octets(one) for one in values]
    encoded = writing.sequence(*leaves)
    assert encoded == wrapped(SEQUENCE, *leaves)
    assert [one.value for one in whole(encoded).members().all(OCTETS)] == values
    in_set = whole(writing.set_of(*leaves), SET).members().all(OCTETS)
    assert [one.raw for one in in_set] == sorted(leaves)


@given(st.integers(-(2**70), 2**70))
def test_integers_agree(number: int) -> None:
    """Both sides and the library have one encoding of a number."""
    encoded = writing.integer(number)
    assert whole(encoded, INTEGER).integer() == number
    assert decode_der(int, encoded) == number


@given(st.integers(0, 2_500_000_000))
def test_times_have_seconds_and_a_z(seconds: int) -> None:
    """A UTCTime is 13 characters."""
    value = whole(writing.utc_time(seconds), UTC_TIME).value
    assert len(value) == 13
    assert value.endswith(b"Z")


@pytest.mark.parametrize(
    "encoded",
    [
        b"",
        b"\x04",
        b"\x04\x01",
        b"\x04\x80\x00\x00",
        b"\x04\x81\x01\x00",
        b"\x04\x82\x00\x80" + bytes(128),
        b"\x04\x84\x00\x00\x00\x80" + bytes(128),
        b"\x04\x82\x01",
        b"\x04\x00\x00",
        b"\x05\x00",
        b"\x1f\x04\x00",
    ],
    ids=[
        "nothing",
        "no length",
        "cut short",
        "indefinite",
        "a long length of a short",
        "a leading zero",
        "too many digits",
        "a cut length",
        "something after",
        "another tag",
        "a long tag",
    ],
)
def test_what_is_not_der_is_refused(encoded: bytes) -> None:
    """One encoding for one value, or none."""
    with pytest.raises(NotDer):
        whole(encoded, OCTETS)


@pytest.mark.parametrize("encoded", [b"\x02\x00", b"\x02\x02\x00\x01", b"\x02\x02\xff\xff"])
def test_an_integer_has_its_shortest_form(encoded: bytes) -> None:
    """No padding, and something at all."""
    with pytest.raises(NotDer):
        whole(encoded, INTEGER).integer()


def test_a_reader_stops_where_it_should() -> None:
    """A second member, a missing one, one of another type."""
    two = wrapped(SEQUENCE, wrapped(OCTETS), wrapped(OCTETS))
    with pytest.raises(NotDer):
        whole(two).only(OCTETS)
    with pytest.raises(NotDer):
        whole(wrapped(SEQUENCE)).only(OCTETS)
    with pytest.raises(NotDer):
        whole(wrapped(OCTETS, b"\x01"), OCTETS).integer()
    with pytest.raises(NotDer):
        Reader(wrapped(0x1F)).take(0x1F)
    assert Reader(b"").take_if(OCTETS) is None


def test_dotted_text_is_encoded_by_the_library() -> None:
    """The identifier of randomNonce, which no table of the library has."""
    assert x509.ObjectIdentifier("1.2.840.113549.1.9.25.3").dotted_string in str(
        decode_der(x509.ObjectIdentifier, written.RANDOM_NONCE)
    )
