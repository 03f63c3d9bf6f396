"""The reducer at its edges: codes to the second, states that met again, refused openings."""

from dataclasses import replace
from typing import Any

import pytest

from ceremony.checks import first_check
from ceremony.reasons import Reason
from ceremony.reducer import code_due, code_sent, further, open_request, release_refused
from ceremony.stages import FINAL, Stage
from ceremony.state import CeremonyState
from tests.support.drive import Drive, drive_to
from tests.support.world import SAMPLE_DIGEST, World

NOW = World.make().now


def judged(sent: tuple[int, ...], **found: Any) -> tuple[Reason, ...]:
    """What the first check says of an application when codes were sent at these times."""
    drive = Drive.open(World.make())
    state = drive.state.model_copy(update={"codes_sent_at": sent})
    facts = replace(drive.facts(code_n=len(sent)), **found)
    return first_check(state, drive.world.application(drive.request), facts)


@pytest.mark.parametrize(
    ("sent", "found", "reasons"),
    [
        ((NOW - 600,), {}, ()),
        ((NOW - 601,), {}, (Reason.SMS_CODE_EXPIRED,)),
        ((NOW - 700, NOW - 600), {}, ()),
        ((NOW, NOW - 601), {}, (Reason.SMS_CODE_EXPIRED,)),
        ((), {}, (Reason.SMS_CODE_NOT_SENT,)),
        ((NOW,), {"code_n": 0}, (Reason.SMS_CODE_NOT_SENT,)),
        ((NOW,), {"code_n": 2}, (Reason.SMS_CODE_NOT_SENT,)),
        ((NOW - 60, NOW), {"code_n": 1}, (Reason.SMS_CODE_NOT_SENT,)),
    ],
)
def test_the_newest_code_lives_ten_minutes(
    sent: tuple[int, ...], found: dict[str, Any], reasons: tuple[Reason, ...]
) -> None:
    """Only the newest code that was sent counts, until its 600th second; a code 0 never does."""
    assert judged(sent, **found) == reasons


@pytest.mark.parametrize(("attempts", "reasons"), [(4, ()), (5, (Reason.ATTEMPTS_EXHAUSTED,))])
def test_the_fifth_wrong_attempt_is_the_last(attempts: int, reasons: tuple[Reason, ...]) -> None:
    """Four wrong ones leave one."""
    assert judged((NOW,), attempts=attempts) == reasons


def test_a_further_code_is_due_a_minute_after_the_newest() -> None:
    """Not a minute after the first one."""
    state = Drive.open(World.make()).state.model_copy(update={"codes_sent_at": (NOW, NOW + 60)})
    assert not code_due(state, 3, NOW + 119, 60)
    assert code_due(state, 3, NOW + 120, 60)


@pytest.mark.parametrize("n", [None, 1, 2, 3])
def test_codes_passed_over_count_as_sent(n: int | None) -> None:
    """Code n is the n-th, whatever became of those before; without a number it is the next."""
    state = code_sent(Drive.open(World.make()).state, NOW, n)
    assert state.codes_sent_at == (NOW,) * (n or 1)
    assert code_sent(state, NOW + 60).codes_sent_at == (*state.codes_sent_at, NOW + 60)


def test_a_refused_opening_names_the_gravest_reason_and_nobody() -> None:
    """FAILED at once; what the registry does not say stays empty."""
    world = World.make()
    standing = world.standing()
    request = world.request(epp_fingerprint=SAMPLE_DIGEST, formats=("unheard-of",))
    facts = replace(Drive.open(world).facts(), standing=standing)
    refused = open_request(request, facts)
    assert refused.verdict.reasons == (Reason.WRONG_EPP, Reason.FORMAT_UNSUPPORTED)
    assert (refused.state.stage, refused.state.reason) == (Stage.FAILED, Reason.WRONG_EPP)
    nobody = open_request(request, replace(facts, standing=None)).state
    assert nobody.reason is Reason.REGISTRY_INCOMPLETE
    assert (nobody.branch, nobody.registry_digest) == ("", "")
    assert (nobody.first_staff_no, nobody.second_staff_no) == ("", "")


def both_ways(one: CeremonyState, other: CeremonyState) -> CeremonyState:
    """The further of two states, whichever is named first."""
    assert further(one, other) == further(other, one)
    return further(one, other)


@pytest.mark.parametrize("used", ["attempts_left", "tries_left", "rewraps_left"])
def test_of_two_states_the_one_that_used_up_more_is_further(used: str) -> None:
    """At one stage, attempts, tries and re-wraps all tell how far a request got."""
    fresh = drive_to(Stage.AWAITING_RECEIPT).state
    worn = fresh.model_copy(update={used: getattr(fresh, used) - 1, "qr_digest": "a" * 64})
    assert both_ways(fresh, worn) == worn


def test_a_receipt_is_further_than_none() -> None:
    """However much the other state has used up."""
    fresh = drive_to(Stage.AWAITING_RECEIPT).state
    answered = fresh.model_copy(update={"receipt_digest": SAMPLE_DIGEST})
    worn = fresh.model_copy(update={"rewraps_left": 0})
    assert both_ways(answered, worn).receipt_digest == SAMPLE_DIGEST
    assert both_ways(answered, worn).rewraps_left == 0


@pytest.mark.parametrize("stage", sorted(FINAL))
def test_an_end_is_further_than_any_wait(stage: Stage) -> None:
    """However much the waiting state has used up, and though its receipt is in."""
    waiting = drive_to(Stage.AWAITING_RECEIPT).state
    worn = waiting.model_copy(update={"rewraps_left": 0, "receipt_digest": SAMPLE_DIGEST})
    ended = waiting.model_copy(update={"stage": stage})
    assert both_ways(ended, worn).stage is stage


def test_a_refused_confirmation_fails_for_its_gravest_reason() -> None:
    """The first of several reasons is the one that the request ends with."""
    drive = drive_to(Stage.AWAITING_CONFIRMATION)
    assert drive.application is not None
    bent = drive.world.confirmation(
        drive.application, qr_digest=SAMPLE_DIGEST, epp_fingerprint=SAMPLE_DIGEST
    )
    assert drive.submit(bent).reasons == (Reason.QR_REFUSED, Reason.WRONG_EPP)
    assert (drive.state.stage, drive.state.reason) == (Stage.FAILED, Reason.QR_REFUSED)


@pytest.mark.parametrize("tries", [2, 3, 4])
def test_tries_that_were_counted_elsewhere_leave_none_and_no_less(tries: int) -> None:
    """However many the database knows: none is left, and the request has failed."""
    drive = drive_to(Stage.AWAITING_CONFIRMATION)
    failed = release_refused(drive.state, Reason.APPROVAL_CODE_WRONG, tries)
    assert (failed.stage, failed.tries_left) == (Stage.FAILED, 0)
    assert failed.reason is Reason.CONFIRMATION_TRIES_EXHAUSTED
    first = release_refused(drive.state, Reason.APPROVAL_CODE_WRONG)
    assert (first.stage, first.tries_left) == (Stage.AWAITING_CONFIRMATION, 2)
