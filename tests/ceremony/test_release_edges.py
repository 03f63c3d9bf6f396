"""The release rule's times, to the second: what still counts, and what no longer does."""

from typing import Any

import pytest

from ceremony.reasons import Reason
from ceremony.release_rule import CHECKS, ReleaseRefused
from tests.support.releasecase import ReleaseCase
from tests.support.world import World

START = World.make().now
SKEW = 300  # design, section 3: iat of administrators is within 5 minutes


def answer(*, later: int = 0, **said: dict[str, Any]) -> Reason | None:
    """Why a case with these fields is refused so much later, or None."""
    case = ReleaseCase(**said)
    case.now += later
    try:
        assert case.ask().checks == CHECKS
    except ReleaseRefused as refusal:
        return refusal.reason
    return None


@pytest.mark.parametrize(("iat", "reason"), [(SKEW, None), (SKEW + 1, Reason.STALE)])
def test_a_decision_may_be_five_minutes_ahead(iat: int, reason: Reason | None) -> None:
    """A phone's clock may run fast by 300 seconds, and by no more."""
    fields = {"iat": START + iat, "expires_at": START + 3_600}
    assert answer(decision=fields) is reason


@pytest.mark.parametrize(
    ("iat", "reason"),
    [
        (-SKEW - 1, Reason.QR_EXPIRED),
        (-SKEW, None),
        (SKEW, None),
        (SKEW + 1, Reason.STALE),
    ],
)
def test_an_application_is_of_its_qr_codes_time(iat: int, reason: Reason | None) -> None:
    """Signed while the code was shown, give or take five minutes, and not in the future."""
    fields = {"iat": START + iat, "expires_at": START + 3_600}
    assert answer(application=fields) is reason


@pytest.mark.parametrize(("iat", "reason"), [(120 + SKEW, None), (121 + SKEW, Reason.QR_EXPIRED)])
def test_an_application_after_the_code_expired_is_too_late(iat: int, reason: Reason | None) -> None:
    """The code lives 120 seconds; later than that and five minutes, it was not this scan."""
    fields = {"iat": START + iat, "expires_at": START + 7_200}
    assert answer(application=fields, later=1_000) is reason


@pytest.mark.parametrize(("lasts", "reason"), [(86_400, None), (86_401, Reason.EXPIRY_TOO_LATE)])
def test_an_application_lasts_a_day_at_most(lasts: int, reason: Reason | None) -> None:
    """24 hours after it was signed, to the second."""
    assert answer(application={"expires_at": START + lasts}) is reason


@pytest.mark.parametrize(("lasts", "reason"), [(3_600, None), (3_601, Reason.EXPIRY_TOO_LATE)])
def test_an_approval_lasts_an_hour_at_most(lasts: int, reason: Reason | None) -> None:
    """One hour after it was signed, to the second."""
    assert answer(decision={"expires_at": START + lasts}) is reason


@pytest.mark.parametrize(("later", "reason"), [(99, None), (100, Reason.STATEMENT_EXPIRED)])
def test_an_application_ends_at_its_expiry(later: int, reason: Reason | None) -> None:
    """It holds until, not including, its `expires_at`."""
    assert answer(application={"expires_at": START + 100}, later=later) is reason
