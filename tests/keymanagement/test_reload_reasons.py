"""A terminal that has a key gets another only for a stated reason; the key worker sees to it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ceremony.reasons import Reason
from tests.support.keybench import KeyBench, require_refused


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[KeyBench]:
    """A key worker."""
    bench = KeyBench.make(tmp_path)
    yield bench
    bench.close()


ANOTHER = {"reload_reason": "planned replacement"}
SAYS_NOTHING = [{"reload_reason": None}, {"reload_reason": ""}, {"reload_reason": " \u00a0"}]


@pytest.mark.parametrize("said", SAYS_NOTHING)
def test_another_key_needs_a_reason(bench: KeyBench, said: dict[str, str | None]) -> None:
    """The key worker's own journal knows of the active key, whatever the terminal says it has."""
    first = bench.released(request={"reload_reason": None})
    assert bench.settle(first.request_id, bench.receipt(first)).active
    made = bench.manager.made
    case = bench.authorised(request=said)
    outcome = bench.release(bench.command(case))
    assert (outcome.refused, outcome.token_digest) == (Reason.RELOAD_REASON_MISSING, None)
    assert bench.journal.release_of(case.request_id) is None
    assert bench.manager.made == made
    assert bench.release(bench.command(bench.authorised(request=ANOTHER))).refused is None


@pytest.mark.parametrize("said", SAYS_NOTHING)
def test_an_epp_that_has_a_key_needs_a_reason(bench: KeyBench, said: dict[str, str | None]) -> None:
    """A key that the journal knows nothing of is one too: the EPP's own word is enough."""
    case = bench.authorised(request={**said, "current_kcv": "a1b2c3"})
    require_refused(bench, bench.command(case), Reason.RELOAD_REASON_MISSING)


def test_an_epp_with_another_key_than_the_active_one_is_reloaded(bench: KeyBench) -> None:
    """After a lost receipt the EPP's key is not the active one: a reload is the remedy."""
    first = bench.released()
    assert bench.settle(first.request_id, bench.receipt(first)).active
    other = "000000" if bench.journal.kcv_of(first.request_id) != "000000" else "111111"
    case = bench.authorised(request={**ANOTHER, "current_kcv": other})
    assert bench.release(bench.command(case)).refused is None


def test_an_unconfirmed_key_is_no_active_key(bench: KeyBench) -> None:
    """A key that nobody confirmed gives no reason to ask for one."""
    first = bench.released()
    assert not bench.settle(first.request_id, None).active
    case = bench.authorised(request={"reload_reason": None})
    assert bench.release(bench.command(case)).refused is None
