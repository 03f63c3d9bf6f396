"""The key worker dies at every step, before the act or after it; then it is asked again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ceremony.messages import ReleaseCommand, SettleCommand
from keymanagement.checkvalue import key_check_value
from keymanagement.journalrows import KeyState
from keymanagement.port import KeyAlgorithm
from tests.support.deaths import every_death, held_state
from tests.support.keybench import KeyBench
from tests.support.keyfakes import PowerCut


def died(act: Callable[[Any], object], command: ReleaseCommand | SettleCommand) -> bool:
    """Whether the act ended in a power cut."""
    try:
        act(command)
    except PowerCut:
        return True
    return False


def require_journal_first(bench: KeyBench) -> None:
    """No token is anywhere that the journal does not know."""
    for token in bench.archive.tokens:
        assert bench.journal.token_for(token.confirmation_digest) == token


def require_one_key(bench: KeyBench, request_id: str) -> None:
    """All published tokens of a request hold its one key, whose KCV the journal knows."""
    keys = {bench.clear_key(one.token_digest) for one in bench.archive.tokens}
    assert len(keys) == 1
    kcv = bench.journal.kcv_of(request_id)
    assert key_check_value(KeyAlgorithm.AES_128, keys.pop()) == kcv
    assert {one.host_block for one in bench.archive.keys} == {bench.archive.keys[0].host_block}


def test_a_release_that_died_at_any_step_is_made_up_for(tmp_path: Path) -> None:
    """Never a second key, never a token without its row; the repeat answers and publishes."""
    deaths = 0
    for bench, wire in every_death(tmp_path):
        case = bench.authorised()
        command = bench.command(case)
        release = bench.key_release(wire)
        deaths += died(release.release, command)
        require_journal_first(bench)
        before = bench.journal.tokens_of(case.request_id)
        again = bench.restart()
        outcome = again.release(command)
        assert outcome.refused is None
        assert before in {(), again.journal.tokens_of(case.request_id)}
        assert [one.token_digest for one in again.archive.tokens] == [outcome.token_digest]
        require_journal_first(again)
        require_one_key(again, case.request_id)
        again.close()
    assert deaths >= 30


def test_a_wrapping_that_died_at_any_step_is_made_up_for(tmp_path: Path) -> None:
    """Of a re-wrap too: one key, one further token, and none of the three is lost by a crash."""
    deaths = 0
    for bench, wire in every_death(tmp_path):
        case = bench.released()
        command = bench.command(bench.confirmed_anew(case))
        release = bench.key_release(wire)
        deaths += died(release.release, command)
        require_journal_first(bench)
        again = bench.restart()
        outcome = again.release(command)
        assert outcome.refused is None
        tokens = again.journal.tokens_of(case.request_id)
        assert [one.token_digest for one in tokens][1:] == [outcome.token_digest]
        assert tuple(again.archive.tokens) == tokens
        require_one_key(again, case.request_id)
        again.close()
    assert deaths >= 24


def test_another_confirmation_after_a_death_gets_the_same_key(tmp_path: Path) -> None:
    """The terminal asks with a new nonce after the crash: the key is the one that was made."""
    for bench, wire in every_death(tmp_path, (True,)):
        case = bench.authorised()
        command = bench.command(case)
        release = bench.key_release(wire)
        died(release.release, command)
        again = bench.restart()
        later = again.command(again.confirmed_anew(case))
        assert again.release(later).refused is None
        assert again.release(command).refused is None
        assert len(again.journal.tokens_of(case.request_id)) == 2
        require_one_key(again, case.request_id)
        again.close()


def test_a_settlement_that_died_at_any_step_is_made_up_for(tmp_path: Path) -> None:
    """Two keys of one terminal: the receipt of the second activates it once, whatever dies."""
    deaths = 0
    for bench, wire in every_death(tmp_path):
        old = bench.released()
        bench.settle(old.request_id, bench.receipt(old))
        new = bench.released()
        receipt = bench.receipt(new)
        command = settling(new.request_id, receipt)
        settlement = bench.key_settlement(wire)
        deaths += died(settlement.settle, command)
        states = [held_state(bench, one.request_id) for one in (old, new)]
        assert states in (
            [KeyState.ACTIVE, KeyState.RELEASED],
            [KeyState.RETIRED, KeyState.ACTIVE],
        )
        again = bench.restart()
        answer = again.settle(new.request_id, receipt)
        assert (answer.active, answer.kcv) == (True, again.journal.kcv_of(new.request_id))
        assert held_state(again, old.request_id) is KeyState.RETIRED
        key, kcv, retired = again.archive.settled[-1]
        assert (key.request_id, key.state, kcv) == (new.request_id, KeyState.ACTIVE, answer.kcv)
        assert [one.request_id for one in retired] == [old.request_id]
        again.close()
    assert deaths >= 12


def settling(request_id: str, receipt: str) -> SettleCommand:
    """The command to settle by a receipt."""
    return SettleCommand(request_id=request_id, terminal_no="ATM-0001", receipt=receipt)
