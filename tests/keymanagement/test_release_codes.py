"""Codes at a release: the key worker recomputes them, and counts the wrong ones by itself."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ceremony.reasons import Reason
from keymanagement.release import WRONG_CODES
from tests.support.keybench import KeyBench, require_refused

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


def test_five_wrong_codes_and_nothing_more_is_looked_at(bench: KeyBench) -> None:
    """The key worker counts by itself: after five, even the right code is refused."""
    case = bench.authorised()
    for _ in range(WRONG_CODES):
        wrong = bench.confirmed_anew(case, WRONG_APPROVAL)
        require_refused(bench, bench.command(wrong), Reason.APPROVAL_CODE_WRONG)
    require_refused(bench, bench.command(case), Reason.CONFIRMATION_TRIES_EXHAUSTED)
    assert bench.journal.wrong_codes(case.request_id) == WRONG_CODES


def test_four_wrong_codes_leave_one_try(bench: KeyBench) -> None:
    """The fifth try counts if it is right; refusals for other reasons are not tries."""
    case = bench.authorised()
    for _ in range(WRONG_CODES - 1):
        bench.release(bench.command(bench.confirmed_anew(case, WRONG_APPROVAL)))
        bench.release(bench.command(bench.confirmed_anew(case, qr_digest=OTHER_DIGEST)))
    assert bench.release(bench.command(case)).refused is None


def test_another_id_gives_no_further_tries(bench: KeyBench) -> None:
    """A guess under an invented request id, or filed under an invented digest, is not judged."""
    case = bench.authorised()
    for n in range(WRONG_CODES + 1):
        wrong = bench.confirmed_anew(case, WRONG_APPROVAL)
        invented = bench.command(wrong, request_id=f"{n:024}")
        assert bench.release(invented).refused is Reason.WRONG_REQUEST
        bench.archive.file(case.request, digest=f"{n:064x}")
        misfiled = bench.command(wrong, request_id="A" * 24, request=f"{n:064x}")
        assert bench.release(misfiled).refused is Reason.STATEMENT_MISSING
    assert bench.journal.wrong_codes(case.request_id) == 0
    assert bench.release(bench.command(case)).refused is None


def test_of_many_guesses_at_once_five_count(bench: KeyBench) -> None:
    """Forty guesses in parallel tell no more than five in turn would."""
    case = bench.authorised()
    guesses = [
        bench.command(bench.confirmed_anew(case, f"{n:04}"))
        for n in range(40)
        if f"{n:04}" != bench.world.approval_code(case.request)
    ]
    release = bench.key_release()
    with ThreadPoolExecutor(8) as executor:
        refused = [one.refused for one in executor.map(release.release, guesses)]
    assert refused.count(Reason.APPROVAL_CODE_WRONG) == WRONG_CODES
    assert set(refused) == {Reason.APPROVAL_CODE_WRONG, Reason.CONFIRMATION_TRIES_EXHAUSTED}
    require_refused(bench, bench.command(case), Reason.CONFIRMATION_TRIES_EXHAUSTED)


def test_a_right_code_that_comes_with_the_fifth_wrong_one_is_refused(bench: KeyBench) -> None:
    """Five wrong codes counted while a right one was being judged: it is one guess too many."""
    case = bench.authorised()

    def clock() -> float:
        for _ in range(WRONG_CODES):
            bench.journal.count_wrong_code(case.request_id)
        return bench.world.now

    bench.clock = clock
    require_refused(bench, bench.command(case), Reason.CONFIRMATION_TRIES_EXHAUSTED)
