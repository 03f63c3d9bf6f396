"""The key worker carries out officers' orders: verified by itself, once, whatever dies."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ceremony.keylife import KeyState
from ceremony.keyorders import ORDER_SECONDS
from ceremony.messages import KeyOrderAnswer, KeyOrderNote, Settlement
from ceremony.reasons import Reason
from keymanagement.journalrows import HeldKey, IssuedToken
from keymanagement.port import CreatedKey, KeyAlgorithm, KeyBinding, KeyUsage
from keymanagement.uniqueness import KeyUniqueness
from tests.support.deaths import every_death, held_state
from tests.support.identities import signing_key
from tests.support.keybench import Case, KeyBench
from tests.support.keyfakes import CountingManager, PowerCut
from tests.support.keyorders import noted, order_of, signed_by


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[KeyBench]:
    """A key worker on an empty journal."""
    made = KeyBench.make(tmp_path / "bench")
    yield made
    made.close()


def order(bench: KeyBench, what: str, case: Case, **fields: object) -> KeyOrderAnswer:
    """Have two officers order something about a case's key."""
    return bench.order_execution().execute(noted(bench.world, what, case.request_id, **fields))


def unconfirmed(bench: KeyBench) -> Case:
    """A key whose receipt never came."""
    case = bench.released()
    bench.settle(case.request_id, None)
    return case


def test_two_officers_settle_what_nobody_confirmed(bench: KeyBench) -> None:
    """The key is active and published so; its check value stays inside, whoever asks how."""
    old = bench.released()
    bench.settle(old.request_id, bench.receipt(old))
    case = unconfirmed(bench)
    assert order(bench, "settle-loaded", case) == KeyOrderAnswer(state=KeyState.ACTIVE)
    assert held_state(bench, old.request_id) is KeyState.RETIRED
    done, carried, key, retired = bench.archive.orders[-1]
    assert key is not None
    assert (key.state, carried.state) == (KeyState.ACTIVE, KeyState.ACTIVE)
    assert [one.request_id for one in retired] == [old.request_id]
    assert done.officers == frozenset(one.kid for one in bench.world.officers[:2])
    wrong = bench.receipt(case, kcv="000000")
    for receipt in (None, wrong, "ab" * 32):
        answer = bench.settle(case.request_id, receipt)
        assert (answer.active, answer.kcv) == (False, None)
    assert held_state(bench, case.request_id) is KeyState.ACTIVE


def test_a_wrong_receipt_learns_nothing_from_the_officers_word(bench: KeyBench) -> None:
    """A receipt with a wrong check value, settled by officers, and sent again: still no KCV."""
    case = bench.released()
    wrong = bench.receipt(case, kcv="000000")
    assert bench.settle(case.request_id, wrong).reason is Reason.KCV_WRONG
    assert order(bench, "settle-loaded", case).state is KeyState.ACTIVE
    assert bench.settle(case.request_id, wrong) == Settlement(
        active=False, reason=Reason.KCV_WRONG, kcv=None
    )
    right = bench.settle(case.request_id, bench.receipt(case))
    assert (right.active, right.kcv) == (True, bench.journal.kcv_of(case.request_id))


def test_a_key_settled_as_not_loaded_is_done_with(bench: KeyBench) -> None:
    """Retired; a receipt that comes later changes nothing and is told nothing."""
    case = unconfirmed(bench)
    assert order(bench, "settle-not-loaded", case).state is KeyState.RETIRED
    for receipt in (bench.receipt(case), None):
        answer = bench.settle(case.request_id, receipt)
        assert (answer.active, answer.kcv) == (False, None)
    assert held_state(bench, case.request_id) is KeyState.RETIRED


@pytest.mark.parametrize(
    ("what", "reason"),
    [("revoke", Reason.KEY_COMPROMISED), ("destroy", Reason.KEY_DESTROYED)],
)
def test_a_lost_key_never_goes_out_again(bench: KeyBench, what: str, reason: Reason) -> None:
    """Not for the confirmation that had its token, not for a new one, not for its receipt."""
    case = unconfirmed(bench) if what == "destroy" else bench.released()
    receipt = bench.receipt(case)
    again = bench.confirmed_anew(case)
    published = len(bench.archive.tokens)
    assert order(bench, what, case).refused is None
    for asked in (case, again):
        assert bench.release(bench.command(asked)).refused is reason
    assert bench.settle(case.request_id, receipt) == Settlement(active=False, reason=reason)
    assert len(bench.archive.tokens) == published
    assert bench.manager.made == 1


def test_a_terminal_whose_key_was_lost_gets_another(bench: KeyBench) -> None:
    """A new ceremony makes a new key, and its receipt activates it."""
    lost = bench.released()
    bench.settle(lost.request_id, bench.receipt(lost))
    order(bench, "revoke", lost)
    case = bench.released()
    assert bench.settle(case.request_id, bench.receipt(case)).active
    assert held_state(bench, lost.request_id) is KeyState.COMPROMISED
    assert held_state(bench, case.request_id) is KeyState.ACTIVE


def test_one_officer_revokes_and_does_no_more(bench: KeyBench) -> None:
    """Alone, or twice, or with anybody who is no officer, one settles and destroys nothing."""
    case = unconfirmed(bench)
    execution = bench.order_execution()
    for what in ("settle-loaded", "settle-not-loaded", "destroy"):
        payload = order_of(bench.world, what, request_id=case.request_id)
        one, stranger = bench.world.officers[0], signing_key("nobody's")
        for signers in ((one,), (one, one), (one, stranger), (bench.world.feed, stranger)):
            answer = execution.execute(KeyOrderNote(order=signed_by(payload, *signers)))
            assert answer.refused is Reason.OFFICERS_MISSING
    assert held_state(bench, case.request_id) is KeyState.UNCONFIRMED
    assert bench.archive.orders == []
    assert order(bench, "revoke", case, officers=1).state is KeyState.COMPROMISED


def test_forged_foreign_and_misdirected_orders_change_nothing(bench: KeyBench) -> None:
    """Another deployment's, another terminal's, another request's, an old one, nonsense."""
    case = unconfirmed(bench)
    for fields, reason in (
        ({"aud": "elsewhere"}, Reason.WRONG_AUDIENCE),
        ({"terminal_no": "ATM-0002"}, Reason.WRONG_TERMINAL),
        ({"iat": bench.world.now - ORDER_SECONDS}, Reason.STATEMENT_EXPIRED),
        ({"iat": bench.world.now + 3_600}, Reason.STALE),
    ):
        assert order(bench, "destroy", case, **fields).refused is reason
    unknown = noted(bench.world, "destroy", "Z" * 24)
    assert bench.order_execution().execute(unknown).refused is Reason.KEY_UNKNOWN
    for nonsense in ("", "nonsense", case.request.text):
        answer = bench.order_execution().execute(KeyOrderNote(order=nonsense))
        assert answer.refused is Reason.MALFORMED
    assert held_state(bench, case.request_id) is KeyState.UNCONFIRMED
    assert all(key is None for _, _, key, _ in bench.archive.orders)


def test_a_replayed_order_gets_its_answer_and_does_nothing_anew(bench: KeyBench) -> None:
    """Even years later: it was carried out, and the key has gone on since."""
    case = unconfirmed(bench)
    text = noted(bench.world, "settle-loaded", case.request_id)
    execution = bench.order_execution()
    assert execution.execute(text).state is KeyState.ACTIVE
    newer = bench.released()
    bench.settle(newer.request_id, bench.receipt(newer))
    bench.world.now += 10 * ORDER_SECONDS
    assert execution.execute(text).state is KeyState.ACTIVE
    assert held_state(bench, case.request_id) is KeyState.RETIRED
    assert held_state(bench, newer.request_id) is KeyState.ACTIVE


def test_an_order_that_died_at_any_step_is_made_up_for(tmp_path: Path) -> None:
    """Destruction: intent before act before outcome; the repeat destroys once and publishes."""
    deaths = 0
    for bench, wire in every_death(tmp_path):
        case = unconfirmed(bench)
        text = noted(bench.world, "destroy", case.request_id)
        try:
            bench.order_execution(wire).execute(text)
        except PowerCut:
            deaths += 1
        held = bench.journal.key_of(case.request_id)
        assert held is not None
        assert (held.state, bool(held.host_block)) in {
            (KeyState.UNCONFIRMED, True),
            (KeyState.DESTROYED, False),
        }
        if bench.archive.orders:
            assert held.state is KeyState.DESTROYED
        again = bench.restart()
        assert again.order_execution().execute(text).state is KeyState.DESTROYED
        _, carried, key, _ = again.archive.orders[-1]
        assert key is not None
        assert (key.state, carried.state) == (KeyState.DESTROYED, KeyState.DESTROYED)
        assert again.order_execution().execute(text).state is KeyState.DESTROYED
        again.journal.verify()
        again.close()
    assert deaths >= 10


def test_a_receipt_between_intent_and_outcome_is_not_lost(bench: KeyBench) -> None:
    """The order is judged again when it is carried out: what was confirmed is not retired."""
    case = unconfirmed(bench)
    text = noted(bench.world, "settle-not-loaded", case.request_id)

    class Slow(CountingManager):
        def forget(self, binding: KeyBinding) -> None:
            raise AssertionError("only a destruction forgets")

    bench.manager = Slow()
    receipt = bench.receipt(case)
    begin = bench.journal.begin_order

    def then_a_receipt(intent: object) -> object:
        begun = begin(intent)  # type: ignore[arg-type]
        assert bench.settle(case.request_id, receipt).active
        return begun

    bench.journal.begin_order = then_a_receipt  # type: ignore[assignment,method-assign]
    assert bench.order_execution().execute(text).refused is Reason.KEY_STATE_REFUSED
    assert held_state(bench, case.request_id) is KeyState.ACTIVE


def test_the_key_manager_forgets_what_it_still_holds(bench: KeyBench) -> None:
    """Before the journal says destroyed; asked again after a failure, and for no other order."""
    forgotten: list[KeyBinding] = []

    class Holding(CountingManager):
        def forget(self, binding: KeyBinding) -> None:
            forgotten.append(binding)
            if len(forgotten) == 1:
                raise PowerCut

    bench.manager = Holding()
    case = unconfirmed(bench)
    order(bench, "revoke", case)
    assert forgotten == []
    text = noted(bench.world, "destroy", case.request_id)
    with pytest.raises(PowerCut):
        bench.order_execution().execute(text)
    assert held_state(bench, case.request_id) is KeyState.COMPROMISED
    for _ in range(2):
        assert bench.order_execution().execute(text).state is KeyState.DESTROYED
    assert forgotten == [KeyBinding("ATM-0001", case.request_id)] * 2


class Repeating(CountingManager):
    """A key manager whose generator repeats itself."""

    def create(
        self, algorithm: KeyAlgorithm, binding: KeyBinding, usage: KeyUsage = "K1"
    ) -> CreatedKey:
        """Make a key, and say that it is the one of ever."""
        made = super().create(algorithm, binding, usage)
        return CreatedKey(made.block, made.kcv, b"\x01" * 32)


def test_a_key_that_was_made_before_is_not_released(
    bench: KeyBench, caplog: pytest.LogCaptureFixture
) -> None:
    """A key manager that repeats itself: refused, logged and told, and nothing goes out."""
    bench.manager = Repeating()
    first = bench.released()
    second = bench.authorised()
    before = list(bench.archive.tokens)
    outcome = bench.release(bench.command(second))
    assert (outcome.refused, outcome.token_digest) == (Reason.DUPLICATE_KEY, None)
    assert bench.archive.tokens == before
    assert bench.journal.key_of(second.request_id) is None
    assert bench.journal.tokens_of(second.request_id) == ()
    assert bench.archive.duplicates == [(second.request_id, first.request_id)]
    assert [record.levelname for record in caplog.records] == ["CRITICAL"]
    assert first.request_id in caplog.text
    assert second.request_id in caplog.text


def test_a_duplicate_ends_its_request_although_the_records_are_away(
    bench: KeyBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked again by another worker, the journal knows: no other key is made, and it is told."""
    bench.manager = Repeating()
    first = bench.released()
    second = bench.authorised()
    command = bench.command(second)

    def away(*_: object) -> None:
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(bench.archive, "publish_duplicate", away)
        with pytest.raises(ConnectionError):
            bench.release(command)
    again = bench.restart()
    for _ in range(2):
        assert again.release(command).refused is Reason.DUPLICATE_KEY
    assert again.manager.made == 0
    assert set(again.archive.duplicates) == {(second.request_id, first.request_id)}
    told = len(again.archive.duplicates)
    other = again.release(bench.command(second, terminal_no="ATM-0002"))
    assert other.refused is Reason.WRONG_TERMINAL
    assert len(again.archive.duplicates) == told
    again.close()


@pytest.mark.parametrize("anew", [False, True], ids=["first token", "wrapped again"])
def test_a_token_that_an_order_overtook_is_withdrawn(bench: KeyBench, anew: bool) -> None:
    """Revoked after the journal was read, told before the token was published: it does not stay."""
    case = bench.authorised()
    if anew:
        assert bench.release(bench.command(case)).refused is None
        case = bench.confirmed_anew(case, krd_nonce="ab" * 16)
    publish = bench.archive.publish_token

    def overtaken(terminal_no: str, key: HeldKey, token: IssuedToken) -> None:
        text = noted(bench.world, "revoke", case.request_id, officers=1)
        assert bench.order_execution().execute(text).state is KeyState.COMPROMISED
        publish(terminal_no, key, token)

    bench.archive.publish_token = overtaken  # type: ignore[method-assign]
    outcome = bench.release(bench.command(case))
    assert (outcome.refused, outcome.token_digest) == (Reason.KEY_COMPROMISED, None)
    key, kcv, retired = bench.archive.settled[-1]
    assert (key.request_id, key.state) == (case.request_id, KeyState.COMPROMISED)
    assert (kcv, retired) == (None, ())


def test_the_software_manager_knows_a_key_again(bench: KeyBench) -> None:
    """32 bytes: the same for the same key in any binding, another for another key or KEK."""
    key, kek = bytes(16), bytes(range(32))
    one = KeyUniqueness(kek).of(key)
    assert len(one) == 32
    assert one == KeyUniqueness(kek).of(bytes(16))
    assert len({one, KeyUniqueness(kek).of(b"\x01" * 16), KeyUniqueness(bytes(32)).of(key)}) == 3
    made = {
        bench.manager.create(algorithm, KeyBinding(f"ATM-{n}", "A" * 24)).uniqueness
        for algorithm in KeyAlgorithm
        for n in range(3)
    }
    assert len(made) == 3 * len(KeyAlgorithm)
    shown = repr(bench.manager.create(KeyAlgorithm.AES_128, KeyBinding("ATM-1", "A" * 24)))
    assert "uniqueness" not in shown
