"""What a receipt makes of a released key: active and the previous one retired, or unconfirmed."""

import hmac
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ceremony.messages import Settlement
from ceremony.reasons import Reason
from ceremony.release_rule import Entries
from keymanagement import settlement
from keymanagement.journal import Journal
from keymanagement.journalerrors import JournalUnavailable
from keymanagement.journalrows import KeyState, ReleaseIntent
from keymanagement.settlement import WRONG_KCVS
from tests.support.identities import jwk_signer
from tests.support.keybench import Case, KeyBench

WRONG_KCV = "000000"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[KeyBench]:
    """A key worker."""
    bench = KeyBench.make(tmp_path)
    yield bench
    bench.close()


def state_of(bench: KeyBench, case: Case) -> KeyState:
    """Where the journal says a request's key stands."""
    held = bench.journal.key_of(case.request_id)
    assert held is not None
    return held.state


def activated(bench: KeyBench) -> Case:
    """A request whose key is active."""
    case = bench.released()
    assert bench.settle(case.request_id, bench.receipt(case)).active
    bench.world.pass_time(10)
    return case


def unconfirmed(reason: Reason) -> Settlement:
    """The answer that confirms nothing, and tells no KCV."""
    return Settlement(active=False, reason=reason, kcv=None)


def test_the_right_kcv_activates_the_key_and_retires_the_previous_one(bench: KeyBench) -> None:
    """In the journal and in what is published; the KCV is told now, and not before."""
    old = activated(bench)
    new = bench.released()
    answer = bench.settle(new.request_id, bench.receipt(new))
    kcv = bench.journal.kcv_of(new.request_id)
    assert answer == Settlement(active=True, reason=Reason.LOADED, kcv=kcv)
    assert (state_of(bench, old), state_of(bench, new)) == (KeyState.RETIRED, KeyState.ACTIVE)
    key, told, retired = bench.archive.settled[-1]
    assert (key.request_id, key.state, told) == (new.request_id, KeyState.ACTIVE, kcv)
    assert [one.request_id for one in retired] == [old.request_id]


BENT: dict[str, tuple[Reason, Callable[[KeyBench], dict[str, Any]]]] = {
    "wrong KCV": (Reason.KCV_WRONG, lambda b: {"kcv": WRONG_KCV}),
    "refused": (Reason.TERMINAL_REFUSED, lambda b: {"outcome": "refused", "kcv": None}),
    "loaded without a KCV": (Reason.TERMINAL_REFUSED, lambda b: {"kcv": None}),
    "refused with the right KCV": (Reason.TERMINAL_REFUSED, lambda b: {"outcome": "refused"}),
    "foreign token": (Reason.TOKEN_UNKNOWN, lambda b: {"token_digest": "77" * 32}),
    "another request": (Reason.WRONG_REQUEST, lambda b: {"request_id": "A" * 24}),
    "another terminal": (
        Reason.WRONG_TERMINAL,
        lambda b: {"terminal_no": "ATM-0002", "signer": b.world.terminal.device},
    ),
    "another EPP": (Reason.WRONG_EPP, lambda b: {"epp_fingerprint": "77" * 32}),
    "another deployment": (Reason.WRONG_AUDIENCE, lambda b: {"aud": "elsewhere"}),
    "another device": (Reason.UNKNOWN_KEY, lambda b: {"signer": b.world.other.device}),
    "an administrator": (Reason.UNKNOWN_KEY, lambda b: {"signer": b.world.first.signer}),
}


@pytest.mark.parametrize("name", BENT)
def test_any_other_receipt_leaves_both_keys(bench: KeyBench, name: str) -> None:
    """The new key is unconfirmed, the previous one stays active, and no KCV is told."""
    reason, bend = BENT[name]
    old = activated(bench)
    new = bench.released()
    receipt = bench.receipt(new, **bend(bench))
    for _ in range(2):
        assert bench.settle(new.request_id, receipt) == unconfirmed(reason)
    assert (state_of(bench, old), state_of(bench, new)) == (KeyState.ACTIVE, KeyState.UNCONFIRMED)
    key, kcv, retired = bench.archive.settled[-1]
    assert (key.request_id, key.state, kcv, retired) == (
        new.request_id,
        KeyState.UNCONFIRMED,
        None,
        (),
    )


def test_no_receipt_leaves_both_keys(bench: KeyBench) -> None:
    """A passed deadline destroys nothing."""
    old, new = activated(bench), bench.released()
    assert bench.settle(new.request_id, None) == unconfirmed(Reason.RECEIPT_MISSING)
    assert (state_of(bench, old), state_of(bench, new)) == (KeyState.ACTIVE, KeyState.UNCONFIRMED)


def test_a_receipt_that_is_not_there_leaves_both_keys(bench: KeyBench) -> None:
    """A digest without a statement, or with another genuine statement filed under it."""
    old, new = activated(bench), bench.released()
    assert bench.settle(new.request_id, "77" * 32) == unconfirmed(Reason.STATEMENT_MISSING)
    genuine = bench.archive.statements[bench.receipt(new)]
    bench.archive.statements["88" * 32] = genuine
    assert bench.settle(new.request_id, "88" * 32) == unconfirmed(Reason.STATEMENT_MISSING)
    confirmation = new.confirmation.digest
    assert bench.settle(new.request_id, confirmation) == unconfirmed(Reason.WRONG_TYPE)
    assert state_of(bench, old) is KeyState.ACTIVE


@pytest.mark.parametrize("text", ["", "a.b.c", "{}", "\ud800", "x" * 1_000_000])
def test_garbage_leaves_both_keys(bench: KeyBench, text: str) -> None:
    """Whatever the records hold under a digest, the answer is a reason, not a fault."""
    case = bench.released()
    receipt = bench.receipt(case)
    bench.archive.statements[receipt] = replace(bench.archive.statements[receipt], text=text)
    assert not bench.settle(case.request_id, receipt).active
    assert state_of(bench, case) is KeyState.UNCONFIRMED


def test_the_receipt_of_another_request_settles_nothing(bench: KeyBench) -> None:
    """A genuine, right receipt of one request says nothing of another's key."""
    one, two = bench.released(), bench.released()
    receipt = bench.receipt(one)
    assert bench.settle(two.request_id, receipt) == unconfirmed(Reason.WRONG_REQUEST)
    assert state_of(bench, one) is KeyState.RELEASED
    assert bench.settle(one.request_id, receipt).active


def test_a_request_without_a_key_is_not_settled(bench: KeyBench) -> None:
    """Whatever is claimed of a request that was never released, nothing is written."""
    case = bench.authorised()
    assert bench.settle(case.request_id, None) == unconfirmed(Reason.RELEASE_REFUSED)
    assert bench.settle("A" * 24, "77" * 32) == unconfirmed(Reason.RELEASE_REFUSED)
    assert bench.archive.settled == []


@pytest.mark.parametrize("first", ["missing", "wrong", "refused"])
def test_a_later_right_receipt_activates_an_unconfirmed_key(bench: KeyBench, first: str) -> None:
    """The terminal found its network again: its receipt still counts, after any other."""
    case = bench.released()
    bent: dict[str, dict[str, Any]] = {
        "wrong": {"kcv": WRONG_KCV},
        "refused": {"outcome": "refused", "kcv": None},
    }
    early = bench.receipt(case, **bent[first]) if first in bent else None
    assert not bench.settle(case.request_id, early).active
    assert bench.settle(case.request_id, bench.receipt(case)).active
    assert state_of(bench, case) is KeyState.ACTIVE


def test_the_receipt_of_a_token_wrapped_again_counts(bench: KeyBench) -> None:
    """Any of the request's tokens may be the one that was loaded."""
    case = bench.confirmed_anew(bench.released())
    assert bench.release(bench.command(case)).refused is None
    assert bench.settle(case.request_id, bench.receipt(case)).active


def test_repeated_calls_get_the_same_answer(bench: KeyBench) -> None:
    """Also after the key was retired, and after the registry forgot the terminal."""
    case = bench.released()
    receipt = bench.receipt(case)
    answer = bench.settle(case.request_id, receipt)
    assert answer.active
    assert bench.settle(case.request_id, receipt) == answer
    bench.archive.registry.clear()
    assert bench.settle(case.request_id, receipt) == answer
    assert bench.archive.settled[-1] == bench.archive.settled[0]
    bench.register()
    bench.world.pass_time(10)
    later = activated(bench)
    assert bench.settle(case.request_id, receipt) == answer
    assert (state_of(bench, case), state_of(bench, later)) == (KeyState.RETIRED, KeyState.ACTIVE)
    assert bench.archive.settled[-1][0].state is KeyState.RETIRED


def test_after_activation_no_receipt_and_no_deadline_takes_it_back(bench: KeyBench) -> None:
    """A wrong receipt or a late deadline is told what stands."""
    case = activated(bench)
    kcv = bench.journal.kcv_of(case.request_id)
    stands = Settlement(active=True, reason=Reason.LOADED, kcv=kcv)
    assert bench.settle(case.request_id, bench.receipt(case, kcv=WRONG_KCV)) == stands
    assert bench.settle(case.request_id, None) == stands
    assert state_of(bench, case) is KeyState.ACTIVE


def test_an_older_key_does_not_come_back(bench: KeyBench) -> None:
    """A right receipt for a key older than the active one leaves it unconfirmed, repeatedly."""
    old = bench.released()
    bench.world.pass_time(10)
    new = activated(bench)
    receipt = bench.receipt(old)
    for _ in range(2):
        assert bench.settle(old.request_id, receipt) == unconfirmed(Reason.KEY_SUPERSEDED)
    assert (state_of(bench, old), state_of(bench, new)) == (KeyState.UNCONFIRMED, KeyState.ACTIVE)
    assert bench.archive.settled[-1][0].state is KeyState.UNCONFIRMED


def test_another_receipt_of_a_retired_key_changes_nothing(bench: KeyBench) -> None:
    """A key that was replaced is superseded, whatever its terminal says of it later."""
    old, new = activated(bench), activated(bench)
    right: dict[str, Any] = {}
    for bent in (right, {"kcv": WRONG_KCV}):
        answer = bench.settle(old.request_id, bench.receipt(old, **bent))
        assert answer == unconfirmed(Reason.KEY_SUPERSEDED)
    assert (state_of(bench, old), state_of(bench, new)) == (KeyState.RETIRED, KeyState.ACTIVE)


def test_a_revoked_administrator_does_not_undo_a_load(bench: KeyBench) -> None:
    """The receipt rests on the terminal's own entry: the key is in, whoever left since."""
    case = bench.released()
    entries = bench.world.entries()
    no = bench.world.terminal.terminal_no
    bench.archive.registry[no] = Entries(entries.terminal, first="revoked", second="revoked")
    assert bench.settle(case.request_id, bench.receipt(case)).active


def test_a_removed_terminal_confirms_nothing(bench: KeyBench) -> None:
    """Without an entry in force there is no key to verify its receipt by."""
    case = bench.released()
    receipt = bench.receipt(case)
    bench.archive.registry.clear()
    assert bench.settle(case.request_id, receipt) == unconfirmed(Reason.REGISTRY_CHANGED)
    bench.register()
    assert bench.settle(case.request_id, receipt).active


def test_an_older_entry_put_back_confirms_nothing(bench: KeyBench) -> None:
    """A device key that was replaced cannot retire a key: its entry's `seq` is too low."""
    world = bench.world
    stolen, officer = world.terminal.device, (world.feed, world.officers[0])
    old = replace(world.entries(), terminal=world.terminal_entry(signers=officer))
    world.terminal = replace(world.terminal, device=jwk_signer("the new device"))
    world.terminal_envelopes[world.terminal.terminal_no] = world.terminal_entry(seq=2)
    bench.register()
    case = bench.released()
    bench.archive.registry[world.terminal.terminal_no] = old
    receipt = bench.receipt(case, signer=stolen)
    assert bench.settle(case.request_id, receipt) == unconfirmed(Reason.SEQ_LOWERED)
    assert state_of(bench, case) is KeyState.UNCONFIRMED


def test_a_changed_device_key_needs_an_officer(bench: KeyBench) -> None:
    """The feed key alone cannot make a device that confirms a known terminal's keys."""
    case = bench.released()
    world = bench.world
    world.terminal = replace(world.terminal, device=jwk_signer("a device of the feed's"))
    no = world.terminal.terminal_no
    world.terminal_envelopes[no] = world.terminal_entry(seq=2)
    bench.register()
    receipt = bench.receipt(case)
    assert bench.settle(case.request_id, receipt) == unconfirmed(Reason.OFFICER_REQUIRED)
    signers = (world.feed, world.officers[2])
    world.terminal_envelopes[no] = world.terminal_entry(seq=3, signers=signers)
    bench.register()
    assert bench.settle(case.request_id, receipt).active


def test_another_terminals_entry_confirms_nothing(bench: KeyBench) -> None:
    """Whoever points the terminal's row at another terminal cannot sign in its name."""
    case = bench.released()
    world = bench.world
    bench.archive.registry[world.terminal.terminal_no] = world.entries(world.other)
    receipt = bench.receipt(case, signer=world.other.device)
    assert bench.settle(case.request_id, receipt) == unconfirmed(Reason.WRONG_TERMINAL)


def test_the_kcv_cannot_be_found_by_trying(bench: KeyBench) -> None:
    """After five wrong KCVs even the right one confirms nothing; a repeated receipt is one try."""
    case = bench.released()
    for n in range(WRONG_KCVS - 1):
        receipt = bench.receipt(case, kcv=f"00000{n}")
        for _ in range(2):
            assert bench.settle(case.request_id, receipt).reason is Reason.KCV_WRONG
    lucky = bench.restart()
    fifth = bench.receipt(case, kcv="00000f")
    right = bench.receipt(case)
    assert lucky.settle(case.request_id, fifth) == unconfirmed(Reason.KCV_WRONG)
    assert lucky.settle(case.request_id, right) == unconfirmed(Reason.KCV_WRONG)
    assert state_of(bench, case) is KeyState.UNCONFIRMED
    lucky.close()


def test_a_receipt_repeated_is_one_try(bench: KeyBench) -> None:
    """A terminal that sends its wrong receipt over and over has one try less, not none left."""
    case = bench.released()
    wrong = bench.receipt(case, kcv=WRONG_KCV)
    for _ in range(WRONG_KCVS + 1):
        assert bench.settle(case.request_id, wrong) == unconfirmed(Reason.KCV_WRONG)
    assert bench.settle(case.request_id, bench.receipt(case)).active


def test_the_right_kcv_counts_after_four_wrong_ones(bench: KeyBench) -> None:
    """Only wrong KCVs use up a try: the fifth look is still to be had."""
    case = bench.released()
    for n in range(WRONG_KCVS - 1):
        assert not bench.settle(case.request_id, bench.receipt(case, kcv=f"00000{n}")).active
    assert bench.settle(case.request_id, bench.receipt(case)).active


def test_an_entry_that_does_not_verify_confirms_nothing(bench: KeyBench) -> None:
    """Whatever stands in the terminal's row, the answer is a reason, not a fault."""
    case = bench.released()
    receipt = bench.receipt(case)
    no = bench.world.terminal.terminal_no
    bench.archive.registry[no] = replace(bench.archive.registry[no], terminal="{}")
    assert bench.settle(case.request_id, receipt) == unconfirmed(Reason.MALFORMED)
    bench.register()
    assert bench.settle(case.request_id, receipt).active


def test_an_intent_without_a_key_is_not_settled(bench: KeyBench) -> None:
    """A key worker that died between its intent and the key left nothing to settle."""
    case = bench.authorised()
    terminal = bench.world.terminal
    bench.journal.begin_release(
        ReleaseIntent(
            request_id=case.request_id,
            terminal_no=terminal.terminal_no,
            epp_fingerprint=case.request.payload.epp_fingerprint,
            confirmation_digest=case.confirmation.digest,
            intent_at=bench.world.now,
        )
    )
    for receipt in (None, "77" * 32):
        assert bench.settle(case.request_id, receipt) == unconfirmed(Reason.RELEASE_REFUSED)
    assert bench.archive.settled == []


def test_a_settlement_has_its_time(bench: KeyBench) -> None:
    """Unix seconds of the key worker's clock: for the new key, and for the one that it retired."""
    old, new = activated(bench), bench.released()
    bench.world.pass_time(7)
    bench.settle(new.request_id, bench.receipt(new))
    for case in (old, new):
        held = bench.journal.key_of(case.request_id)
        assert held is not None
        assert held.settled_at == bench.world.now


def test_a_repeated_receipt_is_published_again_whatever_the_registry_says(bench: KeyBench) -> None:
    """A key worker that died between settling and publishing makes good for it when asked again."""
    case = bench.released()
    receipt = bench.receipt(case)
    bench.settle(case.request_id, receipt)
    bench.archive.settled.clear()
    bench.archive.registry.clear()
    assert bench.settle(case.request_id, receipt).active
    assert [(key.state, kcv is not None) for key, kcv, _ in bench.archive.settled] == [
        (KeyState.ACTIVE, True)
    ]


def test_a_fault_of_the_journal_is_not_an_answer(
    bench: KeyBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is raised, so that the call is repeated; the key stays as it was."""
    case = bench.released()
    receipt = bench.receipt(case)

    def locked(*_: Any, **__: Any) -> None:
        raise JournalUnavailable("locked")

    with monkeypatch.context() as broken:
        broken.setattr(Journal, "rely_on", locked)
        with pytest.raises(JournalUnavailable):
            bench.settle(case.request_id, receipt)
    assert state_of(bench, case) is KeyState.RELEASED
    assert bench.settle(case.request_id, receipt).active


def test_kcvs_are_compared_in_constant_time(
    bench: KeyBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparison is `hmac.compare_digest`, of the whole KCV."""
    compared = []

    class Recorder:
        @staticmethod
        def compare_digest(one: str, other: str) -> bool:
            compared.append((one, other))
            return hmac.compare_digest(one, other)

    case = bench.released()
    monkeypatch.setattr(settlement, "hmac", Recorder)
    bench.settle(case.request_id, bench.receipt(case, kcv=WRONG_KCV))
    assert compared == [(WRONG_KCV, bench.journal.kcv_of(case.request_id))]
