"""Codes are derived for one request, person, number and EPP; what is typed is bound to all."""

from dataclasses import replace
from typing import Literal

import pytest
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.hotp import HOTP
from hypothesis import given
from hypothesis import strategies as st

from ceremony.codes import MAX_CODES, CodeBook, CodeScope, EdgeSeal, TypedCode
from tests.support.deployment import EDGE_KEY, SMS_SECRET
from tests.support.world import SAMPLE_DIGEST

# RFC 4226 appendix D: secret 0x3132...30, counters 0 to 9.
RFC_4226_SECRET = b"12345678901234567890"
RFC_4226_CODES = [
    "755224",
    "287082",
    "359152",
    "969429",
    "338314",
    "254676",
    "287922",
    "162583",
    "399871",
    "520489",
]
BOOK = CodeBook(SMS_SECRET)
SCOPE = CodeScope("A" * 24, "person-1", "+4915112345678", SAMPLE_DIGEST)
EDGE = EdgeSeal(EDGE_KEY)


def test_the_hotp_library_agrees_with_the_rfc() -> None:
    """RFC 4226 appendix D, all ten values."""
    hotp = HOTP(RFC_4226_SECRET, 6, SHA1())  # noqa: S303 - the RFC's own vectors
    assert [hotp.generate(n).decode() for n in range(10)] == RFC_4226_CODES


def test_codes_have_their_digits_and_repeat() -> None:
    """Six digits by SMS, four of approval, and the same after a retry or a restart."""
    codes = [BOOK.sms_code(SCOPE, n) for n in range(1, MAX_CODES + 1)]
    assert all(len(code) == 6 and code.isdigit() for code in codes)
    assert codes == [CodeBook(SMS_SECRET).sms_code(SCOPE, n) for n in range(1, MAX_CODES + 1)]
    approval = BOOK.approval_code(SCOPE)
    assert len(approval) == 4
    assert approval.isdigit()
    assert approval == CodeBook(SMS_SECRET).approval_code(SCOPE)


@pytest.mark.parametrize("n", [-1, 0, 4, 2**63])
def test_there_are_three_codes(n: int) -> None:
    """No request has a code 0 or 4."""
    with pytest.raises(ValueError, match="1 to 3"):
        BOOK.sms_code(SCOPE, n)


def _fingerprint(book: CodeBook, scope: CodeScope) -> tuple[str, ...]:
    # Several codes together: one alone collides once in a million.
    return (*(book.sms_code(scope, n) for n in (1, 2, 3)), book.approval_code(scope))


def test_every_part_of_the_scope_separates() -> None:
    """Another request, person, number, EPP or secret has other codes."""
    scopes = [
        SCOPE,
        replace(SCOPE, request_id="B" * 24),
        replace(SCOPE, person="person-2"),
        replace(SCOPE, number="+4915112345679"),
        replace(SCOPE, epp_fingerprint="a5" * 32),
    ]
    books = [BOOK, CodeBook(bytes(32))]
    assert len({_fingerprint(book, scope) for book in books for scope in scopes}) == 10


def test_parts_do_not_run_into_each_other() -> None:
    """Moving a character from one part to the next is another scope."""
    one = CodeScope("A" * 24, "person-11", "+4915112345678", SAMPLE_DIGEST)
    other = CodeScope("A" * 24, "person-1", "1+4915112345678", SAMPLE_DIGEST)
    assert _fingerprint(BOOK, one) != _fingerprint(BOOK, other)


def test_the_approval_code_is_no_part_of_an_sms_code() -> None:
    """It has its own label: knowing the SMS codes of many requests tells nothing of it."""
    scopes = [replace(SCOPE, person=f"person-{n}") for n in range(300)]
    same = sum(
        BOOK.approval_code(scope) in {BOOK.sms_code(scope, n)[-4:] for n in (1, 2, 3)}
        for scope in scopes
    )
    assert same < 5


def test_a_scope_does_not_print_the_number() -> None:
    """Its representation may reach a log."""
    assert SCOPE.number not in repr(SCOPE)


Purpose = Literal["sms", "approval"]


def test_a_typed_code_matches_what_was_issued() -> None:
    """The right code with the right statement matches; a wrong code does not."""
    for purpose in ("sms", "approval"):
        typed = EDGE.seal(purpose, SCOPE.request_id, 1, SAMPLE_DIGEST, "123456")
        assert EDGE.matches(typed, purpose, SCOPE.request_id, SAMPLE_DIGEST, "123456")
        assert not EDGE.matches(typed, purpose, SCOPE.request_id, SAMPLE_DIGEST, "123457")


def test_each_field_is_bound_into_the_mac() -> None:
    """Moved to another purpose, request, number, statement or key, a typed code is worthless."""
    typed = EDGE.seal("sms", SCOPE.request_id, 1, SAMPLE_DIGEST, "123456")
    right: tuple[Purpose, str, str, str] = ("sms", SCOPE.request_id, SAMPLE_DIGEST, "123456")
    assert EDGE.matches(typed, *right)
    assert not EDGE.matches(typed, "approval", *right[1:])
    assert not EDGE.matches(typed, "sms", "B" * 24, *right[2:])
    assert not EDGE.matches(typed, "sms", right[1], "a5" * 32, right[3])
    assert not EDGE.matches(TypedCode(2, typed.mac), *right)
    assert not EdgeSeal(bytes(32)).matches(typed, *right)


@given(st.text(max_size=80))
def test_no_other_mac_matches(mac: str) -> None:
    """Whatever stands in the MAC's place, comparing it is safe and fails."""
    typed = TypedCode(1, mac)
    assert not EDGE.matches(typed, "sms", SCOPE.request_id, SAMPLE_DIGEST, "123456")


def test_secrets_have_at_least_32_bytes() -> None:
    """Short secrets are refused at the start."""
    with pytest.raises(ValueError, match="32 bytes"):
        CodeBook(bytes(31))
    with pytest.raises(ValueError, match="32 bytes"):
        EdgeSeal(bytes(31))
