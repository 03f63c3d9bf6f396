"""A QR code is made by Keyfill alone, for one request, and only its newest two count."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ceremony.encoding import b64url, from_b64url, sha256_hex
from ceremony.qr import (
    MAX_TOKEN_CHARS,
    RENEWAL_SECONDS,
    VALID_SECONDS,
    QrContents,
    QrError,
    QrSeal,
    current,
    qr_digest,
    qr_text,
    token_of,
)
from ceremony.reasons import Reason
from tests.support.deployment import QR_KEY
from tests.support.identities import AUDIENCE, ORIGIN

SEAL = QrSeal(QR_KEY, AUDIENCE)
REQUEST_ID = b64url(bytes(range(18)))
CONTENTS = QrContents(REQUEST_ID, "ATM-0001", 3, 1_800_000_300)

NUMBERS = st.integers(0, 2**32 - 1)
TERMINALS = st.from_regex(r"[A-Z0-9][A-Z0-9-]{0,31}", fullmatch=True)


@given(st.binary(min_size=18, max_size=18), TERMINALS, NUMBERS, st.integers(0, 2**40))
def test_what_is_sealed_opens(request_id: bytes, terminal_no: str, n: int, expires: int) -> None:
    """Opening gives the contents; sealing again gives the same token: nothing need be stored."""
    contents = QrContents(b64url(request_id), terminal_no, n, expires)
    token = SEAL.token(contents)
    assert SEAL.open(token) == contents
    assert SEAL.token(contents) == token
    assert len(token) <= MAX_TOKEN_CHARS


@given(st.integers(0, 10_000), st.integers(0, 7))
def test_a_flipped_bit_is_refused(position: int, bit: int) -> None:
    """Every bit of the token is authenticated."""
    data = bytearray(from_b64url(SEAL.token(CONTENTS)))
    data[position % len(data)] ^= 1 << bit
    with pytest.raises(QrError) as refusal:
        SEAL.open(b64url(bytes(data)))
    assert (str(refusal.value), refusal.value.reason) == ("qr-refused", Reason.QR_REFUSED)


@given(st.text(max_size=200) | st.binary(max_size=120).map(b64url))
def test_junk_is_refused(token: str) -> None:
    """No text that Keyfill did not seal opens, whatever its length."""
    with pytest.raises(QrError):
        SEAL.open(token)


def test_every_part_changes_the_token() -> None:
    """Request, terminal, ordinal, expiry, key and deployment: none may be exchanged."""
    others = [
        SEAL.token(QrContents(b64url(bytes(18)), "ATM-0001", 3, 1_800_000_300)),
        SEAL.token(QrContents(REQUEST_ID, "ATM-0002", 3, 1_800_000_300)),
        SEAL.token(QrContents(REQUEST_ID, "ATM-0001", 4, 1_800_000_300)),
        SEAL.token(QrContents(REQUEST_ID, "ATM-0001", 3, 1_800_000_301)),
        QrSeal(bytes(reversed(QR_KEY)), AUDIENCE).token(CONTENTS),
        QrSeal(QR_KEY, "keyfill-elsewhere").token(CONTENTS),
    ]
    assert len({SEAL.token(CONTENTS), *others}) == 7
    for foreign in others[4:]:
        with pytest.raises(QrError):
            SEAL.open(foreign)


@pytest.mark.parametrize(
    "contents",
    [
        QrContents(b64url(bytes(17)), "ATM-0001", 0, 0),
        QrContents(b64url(bytes(19)), "ATM-0001", 0, 0),
        QrContents("", "ATM-0001", 0, 0),
        QrContents("!" * 24, "ATM-0001", 0, 0),
        QrContents(REQUEST_ID, "ATM-0001", -1, 0),
        QrContents(REQUEST_ID, "ATM-0001", 2**32, 0),
        QrContents(REQUEST_ID, "ATM-0001", 0, 2**64),
        QrContents(REQUEST_ID, "ATM-0001", 0, -1),
    ],
)
def test_contents_that_do_not_fit_are_not_sealed(contents: QrContents) -> None:
    """A request id of another length would shift its bytes into the ordinal's."""
    with pytest.raises(QrError):
        SEAL.token(contents)


@given(st.integers(0, 3_600))
def test_exactly_the_newest_two_count(after: int) -> None:
    """A code is due every 60 s and lives 120 s: of all codes shown, the last two are valid."""
    opened, now = 1_800_000_000, 1_800_000_000 + after
    shown = {
        current(REQUEST_ID, "ATM-0001", opened_at=opened, now=moment)
        for moment in range(opened, now + 1)
    }
    newest = max(one.n for one in shown)
    valid = {one.n for one in shown if one.expires_at > now}
    assert valid == {n for n in (newest - 1, newest) if n >= 0}
    assert VALID_SECONDS == 2 * RENEWAL_SECONDS


def test_a_clock_before_the_opening_shows_the_first_code() -> None:
    """A little disagreement between clocks makes no negative ordinal."""
    assert current(REQUEST_ID, "ATM-0001", opened_at=100, now=90) == QrContents(
        REQUEST_ID, "ATM-0001", 0, 220
    )


def test_the_text_is_a_url_with_the_token_in_its_fragment() -> None:
    """The token comes back out of the text of this origin, and of no other."""
    token = SEAL.token(CONTENTS)
    text = qr_text(ORIGIN, token)
    assert text == f"https://keyfill.test/a#{token}"
    assert token_of(text, ORIGIN) == token
    for foreign in (
        token,
        f"https://evil.example/a#{token}",
        f"https://keyfill.test.evil.example/a#{token}",
        f"http://keyfill.test/a#{token}",
        f"https://keyfill.test/b#{token}",
        f"https://keyfill.test/a?{token}",
        f" {text}",
        f"{ORIGIN}/a#{'A' * (MAX_TOKEN_CHARS + 1)}",
    ):
        with pytest.raises(QrError):
            token_of(foreign, ORIGIN)


def test_statements_name_a_code_by_its_digest() -> None:
    """SHA-256 over the token's ASCII; a token that is not ASCII breaks nothing."""
    token = SEAL.token(CONTENTS)
    assert qr_digest(token) == sha256_hex(token.encode())
    assert len(qr_digest("\u00fc")) == 64


def test_the_key_has_64_bytes() -> None:
    """AES-256-SIV needs two keys; anything else is refused at the start."""
    for length in (0, 32, 48, 63, 65):
        with pytest.raises(ValueError, match="64 bytes"):
            QrSeal(bytes(length), AUDIENCE)
