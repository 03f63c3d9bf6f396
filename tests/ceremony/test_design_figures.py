"""The figures of the design, literally: who changes one changes the contract."""

import pytest

from ceremony import (
    challenges,
    checks,
    encoding,
    eppcertificate,
    keys,
    qr,
    registry,
    state,
    verification,
)
from ceremony.checks import Facts
from ceremony.release_rule import CHECKS
from ceremony.trust import MIN_THRESHOLD
from keymanagement import registrymemory, release, settlement


@pytest.mark.parametrize(
    ("figure", "designed"),
    [
        (checks.SMS_CODE_SECONDS, 10 * 60),
        (checks.RESEND_SECONDS, 60),
        (checks.APPLICATION_SECONDS, 24 * 60 * 60),
        (checks.APPROVAL_SECONDS, 60 * 60),
        (challenges.VALID_SECONDS, 2 * 60),
        (checks.CLOCK_SKEW_SECONDS, 5 * 60),
        (qr.VALID_SECONDS, 2 * 60),
        (qr.RENEWAL_SECONDS, 30 * 2),
        (state.ATTEMPTS, 5),
        (state.DAILY_ATTEMPTS, 10),
        (state.CONFIRMATION_TRIES, 3),
        (state.REWRAPS, 3),
        (release.TOKEN_SECONDS, 24 * 60 * 60),
        (release.WRONG_CODES, 5),
        (settlement.WRONG_KCVS, 5),
        (keys.MIN_RSA_BITS, 2048),
        (keys.MAX_RSA_BITS, 4096),
        (eppcertificate.MIN_EXPONENT, 2**16 + 1),
        (registry.MAX_STATEMENTS, 8),
        (registrymemory.PAGE, 1000),
        (MIN_THRESHOLD, 2),
        (encoding.MAX_JSON_BYTES, 64 * 1024),
        (verification.MAX_STATEMENT_CHARS, 32 * 1024),
        (qr.MAX_TOKEN_CHARS, 160),
    ],
)
def test_a_figure_is_the_designs(figure: int, designed: int) -> None:
    """Sections 2 to 4: deadlines in seconds, and how often something may be tried."""
    assert figure == designed


def test_what_was_not_found_out_helps_nobody() -> None:
    """Facts that nobody looked for: no code is right, none was sent, nothing was given."""
    facts = Facts(now=0, terminal=None, standing=None)
    assert (facts.code_right, facts.code_n, facts.qr) == (False, 0, None)
    assert (facts.attempts, facts.daily_attempts, facts.tries) == (0, 0, 0)
    assert (facts.tokens, facts.formats) == (frozenset(), frozenset())


def test_a_release_record_names_every_check() -> None:
    """Design, section 3: the record says what was passed, and auditors search for the words."""
    assert CHECKS == (
        "signatures",
        "registry-entries",
        "dual-control",
        "qr-code",
        "sms-code",
        "approval-code",
        "expiry",
    )
