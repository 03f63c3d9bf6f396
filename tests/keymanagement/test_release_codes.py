"""Codes at a release: the key worker recomputes them, and counts the wrong ones by itself.

Nobody else judges an approval code: three tries, one for each confirmation, each written down
before it is judged.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ceremony.codes import TypedCode
from ceremony.reasons import Reason
from ceremony.release_rule import confirmed
from ceremony.state import CONFIRMATION_TRIES
from keymanagement.release import WRONG_CODES
from tests.support.keybench import KeyBench, require_refused
from tests.support.keyfakes import PowerCut

WRONG_APPROVAL = "0000"
OTHER_DIGEST = "77" * 32


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[KeyBench]:
    """A key worker."""
    bench = KeyBench.make(tmp_path)
    yield bench
    bench.close()


def test_swapped_codes_are_refused(bench: KeyBench) -> None:
    """An SMS code's MAC is worth nothing as an approval code's, nor the other way round."""
    case = bench.authorised()
    filed = bench.archive.statements
    applied, confirmed = filed[case.application.digest], filed[case.confirmation.digest]
    filed[case.application.digest] = replace(applied, code=confirmed.code)
    require_refused(bench, bench.command(case), Reason.SMS_CODE_WRONG)
    filed[case.application.digest] = applied
    filed[case.confirmation.digest] = replace(confirmed, code=applied.code)
    require_refused(bench, bench.command(case), Reason.APPROVAL_CODE_WRONG)


def test_a_code_that_travelled_with_another_statement_is_refused(bench: KeyBench) -> None:
    """A right code's MAC is bound to the statement that it was typed with."""
    case = bench.authorised()
    again = bench.confirmed_anew(case, WRONG_APPROVAL)
    filed = bench.archive.statements
    right = filed[case.confirmation.digest].code
    filed[again.confirmation.digest] = replace(filed[again.confirmation.digest], code=right)
    require_refused(bench, bench.command(again), Reason.APPROVAL_CODE_WRONG)


@pytest.mark.parametrize(
    ("member", "gone", "reason"),
    [
        ("application", {"qr_n": None}, Reason.QR_REFUSED),
        ("application", {"qr_expires_at": None}, Reason.QR_REFUSED),
        ("application", {"qr_n": -1}, Reason.QR_REFUSED),
        ("application", {"qr_n": 2**70}, Reason.QR_REFUSED),
        ("application", {"code": None}, Reason.SMS_CODE_WRONG),
        ("confirmation", {"code": None}, Reason.APPROVAL_CODE_WRONG),
    ],
)
def test_what_was_typed_must_be_there(
    bench: KeyBench, member: str, gone: dict[str, Any], reason: Reason
) -> None:
    """Without its QR code's numbers or a typed code, a statement authorises nothing."""
    case = bench.authorised()
    digest = getattr(case, member).digest
    bench.archive.statements[digest] = replace(bench.archive.statements[digest], **gone)
    require_refused(bench, bench.command(case), reason)


def test_three_wrong_codes_and_nothing_more_is_looked_at(bench: KeyBench) -> None:
    """The key worker counts by itself: after three, even the right code is refused."""
    case = bench.authorised()
    for _ in range(CONFIRMATION_TRIES):
        wrong = bench.confirmed_anew(case, WRONG_APPROVAL)
        require_refused(bench, bench.command(wrong), Reason.APPROVAL_CODE_WRONG)
    require_refused(bench, bench.command(case), Reason.CONFIRMATION_TRIES_EXHAUSTED)
    assert bench.journal.wrong_tries(case.request_id) == CONFIRMATION_TRIES


def test_two_wrong_codes_leave_one_try(bench: KeyBench) -> None:
    """The third try counts if it is right; refusals for other reasons are not tries."""
    case = bench.authorised()
    for _ in range(CONFIRMATION_TRIES - 1):
        bench.release(bench.command(bench.confirmed_anew(case, WRONG_APPROVAL)))
        bench.release(bench.command(bench.confirmed_anew(case, qr_digest=OTHER_DIGEST)))
    assert bench.release(bench.command(case)).refused is None


def test_the_same_confirmation_again_is_the_same_try(bench: KeyBench) -> None:
    """A retry, a reset or another key worker gets the same answer, and uses up nothing more."""
    case = bench.authorised()
    wrong = bench.command(bench.confirmed_anew(case, WRONG_APPROVAL))
    for _ in range(CONFIRMATION_TRIES + 1):
        require_refused(bench, wrong, Reason.APPROVAL_CODE_WRONG)
    again = bench.restart()
    assert again.release(wrong).refused is Reason.APPROVAL_CODE_WRONG
    assert again.journal.wrong_tries(case.request_id) == 1
    assert again.release(bench.command(case)).refused is None
    again.close()


def test_a_confirmation_has_one_code(bench: KeyBench) -> None:
    """Whoever edits the code beside a judged confirmation has no second guess, nor a first."""
    case = bench.authorised()
    wrong = bench.confirmed_anew(case, WRONG_APPROVAL)
    require_refused(bench, bench.command(wrong), Reason.APPROVAL_CODE_WRONG)
    bench.file_confirmation(wrong)
    require_refused(bench, bench.command(wrong), Reason.APPROVAL_CODE_WRONG)
    assert bench.journal.wrong_tries(case.request_id) == 1
    assert bench.release(bench.command(case)).refused is None


def test_a_crash_at_the_comparison_gives_no_further_try(
    bench: KeyBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A try counts before its code is compared; the same confirmation again finishes it."""
    case = bench.authorised()
    guesses = [bench.confirmed_anew(case, WRONG_APPROVAL) for _ in range(CONFIRMATION_TRIES - 1)]

    def die(*_: object) -> None:
        raise PowerCut

    with monkeypatch.context() as dying:
        dying.setattr("keymanagement.release.confirmed", die)
        for one in (*guesses, case):
            with pytest.raises(PowerCut):
                bench.release(bench.command(one))
    assert bench.journal.wrong_tries(case.request_id) == CONFIRMATION_TRIES
    fourth = bench.confirmed_anew(case)
    require_refused(bench, bench.command(fourth), Reason.CONFIRMATION_TRIES_EXHAUSTED)
    require_refused(bench, bench.command(guesses[0]), Reason.APPROVAL_CODE_WRONG)
    assert bench.release(bench.command(case)).refused is None
    assert bench.release(bench.command(fourth)).refused is None


def test_a_right_code_is_no_try(bench: KeyBench) -> None:
    """A release and three re-wraps use up none, and after them a wrong one is still judged."""
    case = bench.released()
    for _ in range(CONFIRMATION_TRIES):
        assert bench.release(bench.command(bench.confirmed_anew(case))).refused is None
    assert bench.journal.wrong_tries(case.request_id) == 0
    wrong = bench.confirmed_anew(case, WRONG_APPROVAL)
    assert bench.release(bench.command(wrong)).refused is Reason.APPROVAL_CODE_WRONG


def test_a_re_wrap_has_no_tries_of_its_own(bench: KeyBench) -> None:
    """Wrong codes before and after the release add up."""
    case = bench.authorised()
    for _ in range(CONFIRMATION_TRIES - 1):
        bench.release(bench.command(bench.confirmed_anew(case, WRONG_APPROVAL)))
    assert bench.release(bench.command(case)).refused is None
    refused = [
        bench.release(bench.command(bench.confirmed_anew(case, code))).refused
        for code in (WRONG_APPROVAL, WRONG_APPROVAL, None)
    ]
    assert refused[0] is Reason.APPROVAL_CODE_WRONG
    assert set(refused[1:]) == {Reason.CONFIRMATION_TRIES_EXHAUSTED}
    # What was given already is given again.
    assert bench.release(bench.command(case)).refused is None


def test_wrong_sms_codes_have_a_limit_of_their_own(bench: KeyBench) -> None:
    """Five, then none is looked at; tries of the approval code are not among them."""
    case = bench.authorised()
    filed = bench.archive.statements[case.application.digest]
    assert filed.code is not None
    bench.release(bench.command(bench.confirmed_anew(case, WRONG_APPROVAL)))
    bench.archive.statements[case.application.digest] = replace(filed, code=TypedCode(1, "wrong"))
    for _ in range(WRONG_CODES):
        require_refused(bench, bench.command(case), Reason.SMS_CODE_WRONG)
    require_refused(bench, bench.command(case), Reason.ATTEMPTS_EXHAUSTED)
    bench.archive.statements[case.application.digest] = filed
    require_refused(bench, bench.command(case), Reason.ATTEMPTS_EXHAUSTED)
    assert bench.journal.wrong_tries(case.request_id) == 1


def test_another_id_gives_no_further_tries(bench: KeyBench) -> None:
    """A guess under an invented request id, or filed under an invented digest, is not judged."""
    case = bench.authorised()
    for n in range(CONFIRMATION_TRIES + 1):
        wrong = bench.confirmed_anew(case, WRONG_APPROVAL)
        invented = bench.command(wrong, request_id=f"{n:024}")
        assert bench.release(invented).refused is Reason.WRONG_REQUEST
        bench.archive.file(case.request, digest=f"{n:064x}")
        misfiled = bench.command(wrong, request_id="A" * 24, request=f"{n:064x}")
        assert bench.release(misfiled).refused is Reason.STATEMENT_MISSING
    assert bench.journal.wrong_tries(case.request_id) == 0
    assert bench.release(bench.command(case)).refused is None


def test_of_many_guesses_at_once_three_are_evaluated(bench: KeyBench) -> None:
    """Forty guesses in parallel, by two key workers, tell no more than three in turn would."""
    case = bench.authorised()
    guesses = [
        bench.command(bench.confirmed_anew(case, f"{n:04}"))
        for n in range(40)
        if f"{n:04}" != bench.world.approval_code(case.request)
    ]
    other = bench.restart()
    workers = (bench.key_release(), other.key_release())
    with ThreadPoolExecutor(8) as executor:
        answers = [executor.submit(workers[n % 2].release, one) for n, one in enumerate(guesses)]
        refused = [one.result().refused for one in answers]
    assert refused.count(Reason.APPROVAL_CODE_WRONG) == CONFIRMATION_TRIES
    assert set(refused) == {Reason.APPROVAL_CODE_WRONG, Reason.CONFIRMATION_TRIES_EXHAUSTED}
    require_refused(bench, bench.command(case), Reason.CONFIRMATION_TRIES_EXHAUSTED)
    other.close()


def test_a_guess_counts_before_it_is_compared(
    bench: KeyBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While three guesses are being compared, a fourth is not, though none has been found wrong."""
    case = bench.authorised()
    guesses = [bench.command(bench.confirmed_anew(case, WRONG_APPROVAL)) for _ in range(4)]
    compared = []

    def compare(*args: Any) -> Any:
        compared.append(args)
        # Each comparison waits for the next guess: all of them are under way at once.
        if len(compared) <= CONFIRMATION_TRIES:
            answers.append(bench.release(guesses[len(compared)]).refused)
        return confirmed(*args)

    answers: list[Reason | None] = []
    monkeypatch.setattr("keymanagement.release.confirmed", compare)
    answers.append(bench.release(guesses[0]).refused)
    assert len(compared) == CONFIRMATION_TRIES
    assert answers[0] is Reason.CONFIRMATION_TRIES_EXHAUSTED
    assert answers[1:] == [Reason.APPROVAL_CODE_WRONG] * CONFIRMATION_TRIES


def test_a_right_sms_code_that_comes_with_the_fifth_wrong_one_is_refused(bench: KeyBench) -> None:
    """Five wrong codes counted while a right one was being judged: it is one guess too many."""
    case = bench.authorised()

    def clock() -> float:
        for _ in range(WRONG_CODES):
            bench.journal.count_wrong_code(case.request_id)
        return bench.world.now

    bench.clock = clock
    require_refused(bench, bench.command(case), Reason.ATTEMPTS_EXHAUSTED)
