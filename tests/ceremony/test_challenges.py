"""A challenge is ours, for two minutes, and nothing is stored."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ceremony.challenges import VALID_SECONDS, Challenges
from ceremony.encoding import b64url, from_b64url
from ceremony.reasons import Reason
from ceremony.verification import StatementError
from tests.support.deployment import CHALLENGE_KEY, START

CHALLENGES = Challenges(CHALLENGE_KEY)


def _refused(text: str, now: int = START) -> None:
    with pytest.raises(StatementError) as refusal:
        CHALLENGES.check(text, now)
    assert refusal.value.reason is Reason.CHALLENGE_REFUSED


def test_a_challenge_holds_for_two_minutes() -> None:
    """From its second to 120 seconds later, and not before."""
    challenge = CHALLENGES.issue(START)
    CHALLENGES.check(challenge, START)
    CHALLENGES.check(challenge, START + VALID_SECONDS)
    _refused(challenge, START + VALID_SECONDS + 1)
    _refused(challenge, START - 1)


def test_challenges_differ() -> None:
    """Two of one second are two."""
    assert len({CHALLENGES.issue(START) for _ in range(100)}) == 100


def test_another_keys_challenge_is_refused() -> None:
    """Only the deployment's own key issues challenges."""
    _refused(Challenges(bytes(32)).issue(START))


@given(st.integers(0, 39), st.integers(0, 7))
def test_a_flipped_bit_is_refused(position: int, bit: int) -> None:
    """Time, randomness and MAC are all authenticated."""
    data = bytearray(from_b64url(CHALLENGES.issue(START)))
    assert len(data) == 40
    data[position] ^= 1 << bit
    _refused(b64url(bytes(data)))


@given(st.text(max_size=80) | st.binary(max_size=60).map(b64url))
def test_junk_is_refused(text: str) -> None:
    """Whatever is no challenge is refused, never an error."""
    _refused(text)


def test_the_key_has_at_least_32_bytes() -> None:
    """A short key is refused at the start."""
    with pytest.raises(ValueError, match="32 bytes"):
        Challenges(bytes(31))
