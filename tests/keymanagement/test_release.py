"""A release happens once per request, a token once per confirmation, whatever is repeated."""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ceremony.messages import ReleaseOutcome
from ceremony.reasons import Reason
from ceremony.release_rule import CHECKS
from ceremony.statements import ReleaseRecordPayload
from ceremony.verification import EnrolledKey, peek, verify
from keymanagement.checkvalue import key_check_value
from keymanagement.journal import MOST_REWRAPS, Journal
from keymanagement.journalerrors import JournalUnavailable
from keymanagement.port import KeyAlgorithm
from tests.support.identities import AUDIENCE, signing_key
from tests.support.keybench import RECORD_KEY, KeyBench
from tests.support.keyprocess import Elsewhere
from tests.support.keytokens import sample_kdh, sample_kdh_files


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[KeyBench]:
    """A key worker."""
    bench = KeyBench.make(tmp_path)
    yield bench
    bench.close()


def token_of(outcome: ReleaseOutcome) -> str:
    """The token's digest of an outcome that was not refused."""
    assert outcome.refused is None
    assert outcome.token_digest is not None
    return outcome.token_digest


def test_an_authorised_confirmation_gets_a_key_that_only_its_epp_opens(bench: KeyBench) -> None:
    """The token opens with the EPP's key, and the journal's KCV is that of the key in it."""
    case = bench.authorised()
    clear = bench.clear_key(token_of(bench.release(bench.command(case))))
    kcv = key_check_value(KeyAlgorithm.AES_128, clear)
    assert len(clear) == 16
    assert bench.journal.kcv_of(case.request_id) == kcv
    with pytest.raises(ValueError, match="ecryption"):
        bench.clear_key(bench.archive.tokens[0].token_digest, bench.world.other.epp)


def test_a_fault_of_the_journal_is_not_an_answer(
    bench: KeyBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is raised, so that the call is repeated: a refusal would end the request for good."""
    command = bench.command(bench.authorised())

    def locked(*_: Any, **__: Any) -> None:
        raise JournalUnavailable("locked")

    with monkeypatch.context() as broken:
        broken.setattr(Journal, "rely_on", locked)
        with pytest.raises(JournalUnavailable):
            bench.release(command)
    token_of(bench.release(command))


def test_the_same_confirmation_gets_the_same_bytes(bench: KeyBench) -> None:
    """Asked again, also by another key worker and after expiry, the answer is the first one's."""
    command = bench.command(bench.authorised())
    first = bench.release(command)
    bench.world.pass_time(400_000)
    assert bench.release(command) == first
    other = bench.restart()
    assert other.release(command) == first
    assert (bench.manager.made, other.manager.made) == (1, 0)
    assert [one.token_digest for one in bench.archive.tokens] == [first.token_digest]
    other.close()


def test_a_lost_publication_is_made_up_for(bench: KeyBench) -> None:
    """The records forgot key and token: the same confirmation publishes the same rows again."""
    command = bench.command(bench.authorised())
    bench.release(command)
    published = (list(bench.archive.keys), list(bench.archive.tokens))
    bench.archive.keys.clear()
    bench.archive.tokens.clear()
    bench.release(command)
    assert (bench.archive.keys, bench.archive.tokens) == published


def test_threads_release_one_key(bench: KeyBench) -> None:
    """Sixteen calls for two confirmations at once: one key, one token each."""
    case = bench.authorised()
    commands = [bench.command(case), bench.command(bench.confirmed_anew(case))]
    release = bench.key_release()
    with ThreadPoolExecutor(8) as executor:
        outcomes = list(executor.map(release.release, commands * 8))
    digests = {token_of(one) for one in outcomes}
    assert [token_of(one) for one in outcomes[:2]] * 8 == [token_of(one) for one in outcomes]
    assert len(digests) == 2
    assert len({bench.clear_key(digest) for digest in digests}) == 1
    assert len(bench.journal.tokens_of(case.request_id)) == 2


def test_two_processes_release_one_key(bench: KeyBench) -> None:
    """Two key workers on one journal, at the same moment: one key, the same bytes from both."""
    case = bench.authorised()
    elsewhere = Elsewhere(
        journal=bench.folder / "journal.db",
        trust_file=bench.world.trust_file,
        now=bench.world.now,
        kdh=sample_kdh_files(),
        archive=bench.archive,
        command=bench.command(case),
    )
    spawning = multiprocessing.get_context("spawn")
    gate, found = spawning.Barrier(2), spawning.Queue()
    processes = [spawning.Process(target=elsewhere.run, args=(gate, found)) for _ in range(2)]
    for process in processes:
        process.start()
    answers = [found.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(60)
    assert answers[0] == answers[1]
    held = bench.journal.tokens_of(case.request_id)
    assert [one.token_digest for one in held] == [answers[0].token_digest]
    assert answers[0].values == tuple(one.value for one in held)


def test_a_new_nonce_gets_the_same_key_wrapped_again_three_times_at_most(bench: KeyBench) -> None:
    """A lost EPP nonce costs a wrapping, never a second key; the fourth is refused."""
    case = bench.released()
    keys = {bench.clear_key(bench.archive.tokens[0].token_digest)}
    for _ in range(MOST_REWRAPS):
        again = bench.command(bench.confirmed_anew(case))
        digest = token_of(bench.release(again))
        assert token_of(bench.release(again)) == digest
        keys.add(bench.clear_key(digest))
    assert len(keys) == 1
    assert bench.manager.made == 1
    tokens = bench.journal.tokens_of(case.request_id)
    assert [one.ordinal for one in tokens] == [0, 1, 2, 3]
    refused = bench.release(bench.command(bench.confirmed_anew(case)))
    assert refused.refused is Reason.REWRAPS_EXHAUSTED
    assert bench.journal.tokens_of(case.request_id) == tokens
    assert len(bench.archive.tokens) == 4


def test_a_key_is_wrapped_again_after_the_approval_expired(bench: KeyBench) -> None:
    """Approvals authorise the key, which exists; the same key may still reach the same EPP."""
    case = bench.released()
    bench.world.pass_time(40_000)
    outcome = bench.release(bench.command(bench.confirmed_anew(case)))
    assert bench.clear_key(token_of(outcome)) == bench.clear_key(
        bench.archive.tokens[0].token_digest
    )


def test_a_nonce_is_answered_once(bench: KeyBench) -> None:
    """Another confirmation with an EPP nonce that was answered already is refused."""
    case = bench.released()
    nonce = case.confirmation.payload.krd_nonce
    again = bench.confirmed_anew(case, krd_nonce=nonce)
    assert bench.release(bench.command(again)).refused is Reason.NONCE_REUSED
    assert len(bench.journal.tokens_of(case.request_id)) == 1


@pytest.mark.parametrize("receipt", [True, False])
def test_after_settlement_nothing_is_wrapped_again(bench: KeyBench, receipt: bool) -> None:
    """Once the receipt is in, or given up, a new nonce gets nothing; the old answer stays."""
    case = bench.released()
    bench.settle(case.request_id, bench.receipt(case) if receipt else None)
    again = bench.release(bench.command(bench.confirmed_anew(case)))
    assert again.refused is Reason.WRONG_STAGE
    assert bench.release(bench.command(case)).token_digest == bench.archive.tokens[0].token_digest
    assert len(bench.archive.tokens) == 1


def test_a_command_for_anothers_confirmation_gets_nothing(bench: KeyBench) -> None:
    """A known confirmation under another request's id or terminal is refused, not answered."""
    one = bench.released()
    two = bench.authorised(request={"about": bench.world.other})
    assert bench.release(bench.command(two)).refused is None
    mixed = bench.command(two, confirmation=one.confirmation.digest)
    assert bench.release(mixed).refused is Reason.WRONG_REQUEST
    elsewhere = bench.command(one, terminal_no=bench.world.other.terminal_no)
    assert bench.release(elsewhere).refused is Reason.WRONG_TERMINAL
    assert len(bench.archive.tokens) == 2


def test_the_release_record_names_all_that_was_relied_on(bench: KeyBench) -> None:
    """It verifies with the record key alone, and names every digest, the token and the KCV's."""
    case = bench.released()
    (key,) = bench.archive.keys
    (token,) = bench.archive.tokens
    record_key = EnrolledKey(signing_key(RECORD_KEY, "EdDSA").public)
    said = verify(key.record, ReleaseRecordPayload, [record_key], audience=AUDIENCE).payload
    standing = bench.world.standing()
    assert (said.request_id, said.terminal_no) == (case.request_id, "ATM-0001")
    assert (said.request, said.application) == (case.request.digest, case.application.digest)
    assert (said.decision, said.confirmation) == (case.decision.digest, case.confirmation.digest)
    assert said.terminal_entry == standing.terminal.digest
    assert (said.first_entry, said.second_entry) == (standing.first.digest, standing.second.digest)
    assert said.checks == CHECKS
    assert (said.token_digest, said.key_algorithm) == (token.token_digest, "AES-128")
    kcv = bench.journal.kcv_of(case.request_id)
    assert said.kcv_digest == bench.journal.kcv_digest(case.request_id, kcv)
    assert kcv not in key.record
    assert said.iat == bench.world.now


def test_the_release_record_is_not_signed_by_the_kdh(bench: KeyBench) -> None:
    """Who may sign tokens may not sign records: the header names the record key."""
    bench.released()
    claimed = peek(bench.archive.keys[0].record)
    assert claimed.kid == signing_key(RECORD_KEY, "EdDSA").public.kid
    assert claimed.kid != sample_kdh().thumbprint
