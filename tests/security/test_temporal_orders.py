"""A live Temporal and database writer who wants keys settled, destroyed, or brought back."""

import pytest

from ceremony.encoding import from_b64
from ceremony.keys import SigningKey
from ceremony.reasons import Reason
from ceremony.registry import seal_envelope
from ceremony.signing import sign
from ceremony.stages import Stage
from ceremony.statements import KeyOrderPayload
from tests.support.attacked import Bench
from tests.support.genuine import NOTHING, Ceremony, common
from tests.support.trespass import Trespasser

pytestmark = pytest.mark.asyncio(loop_scope="session")


def order(load: Ceremony, what: str, *signers: SigningKey, **fields: object) -> dict[str, str]:
    """An order about a load's key, signed by whomever."""
    said = {
        **common(),
        "request_id": load.request_id,
        "terminal_no": load.place.terminal_no,
        "order": what,
        "reason_code": "attack",
        "reason": None,
        **fields,
    }
    payload = KeyOrderPayload(**said)
    return {"order": seal_envelope(sign(payload, one) for one in signers)}


async def test_forged_key_orders_change_nothing(bench: Bench, trespasser: Trespasser) -> None:
    """Activity order_key with all that two officers did not sign about this key, now.

    One officer, twice, or with an administrator, the feed or a stranger; signatures of two orders;
    another deployment's, an old one, one about another terminal; other statements, nonsense; and a
    genuine one that came too early, kept and shown again. An active and an unconfirmed key stay as
    they are, and the genuine receipt activates the latter.
    """
    place = await bench.place()
    active = await Ceremony.at(bench, Stage.LOADED, place)
    await trespasser.handle(place.terminal_no).result()
    load = await Ceremony.at(bench, Stage.AWAITING_RECEIPT, place)
    one, two = bench.officers[:2]
    early = order(load, "settle-loaded", one, two)
    assert (await trespasser.call("order_key", early))["refused"] == Reason.KEY_STATE_REFUSED
    settle = {"request_id": load.request_id, "terminal_no": place.terminal_no, "receipt": NOTHING}
    await trespasser.call("settle_key", settle)
    before = load.account
    assert before.states == ["active", "unconfirmed"]
    strangers = (place.first.key, place.device, bench.feed, SigningKey.generate())
    whats = ("settle-loaded", "settle-not-loaded", "destroy")
    forged = [
        *(order(load, what, *by) for what in whats for by in ((one,), (one, one))),
        *(order(load, what, one, other) for what in whats for other in strangers),
        *(order(load, "revoke", other) for other in strangers),
        *(order(load, what, one, two, aud="elsewhere") for what in (*whats, "revoke")),
        *(order(load, what, one, two, terminal_no="ATM-0000") for what in (*whats, "revoke")),
        *(order(load, what, one, two, iat=common()["iat"] - 8 * 86_400) for what in whats),
        *(order(load, what, one, two, request_id="n4bQgYhMfWWaL-qgxVrQFaO_") for what in whats),
        *(order(active, what, one, two) for what in whats[:2]),
        {"order": _spliced(load, one, two)},
        {"order": load.said["receipt" if "receipt" in load.said else "confirmation"]},
        {"order": place.first.envelope},
        {"order": ""},
        early,
    ]
    answers = await trespasser.calls("order_key", forged)
    assert all(answer["refused"] and answer["state"] is None for answer in answers)
    assert load.account == before
    await load.to(Stage.LOADED)
    assert load.account.states == ["active", "retired"]


def _spliced(load: Ceremony, one: SigningKey, two: SigningKey) -> str:
    """Two officers' signatures of two orders: one may sign a destruction, the other something."""
    mine, other = (order(load, what, one, two)["order"] for what in ("destroy", "settle-loaded"))
    first, second = mine.split('"')[3], other.split('"')[5]
    return seal_envelope([first, second])


async def test_a_lost_key_put_back_in_the_rows_gains_nothing(
    bench: Bench, trespasser: Trespasser
) -> None:
    """Rows of a compromised, then destroyed key put back as they were: released, active.

    The key worker wraps it no more, confirms no receipt, and takes no replayed order; what the
    API hands out of a planted row is the old token for its one nonce.
    """
    load = await Ceremony.at(bench, Stage.AWAITING_RECEIPT)
    right = bench.backup()
    one, two = bench.officers[:2]
    revoked = order(load, "revoke", one)
    assert (await trespasser.call("order_key", revoked))["state"] == "compromised"
    answer = await load.again()
    assert (answer.status_code, answer.json()["code"]) == (410, "key-compromised")
    settle = {"request_id": load.request_id, "terminal_no": load.place.terminal_no}
    lost = load.account
    for what, reason in (
        (None, Reason.KEY_COMPROMISED),
        (order(load, "destroy", one, two), Reason.KEY_DESTROYED),
    ):
        if what is not None:
            assert (await trespasser.call("order_key", what))["state"] == "destroyed"
            lost = load.account
        bench.restore(right)
        for state in ("released", "active", "unconfirmed", "retired"):
            with bench.rows() as rows:
                rows.execute(
                    "UPDATE keys SET state = ? WHERE request_id = ?", (state, load.request_id)
                )
            refused = await trespasser.call("release_key", load.command())
            assert (refused["refused"], refused["token_digest"]) == (reason, None)
            for replayed in (revoked, order(load, "settle-loaded", one, two)):
                said = await trespasser.call("order_key", replayed)
                assert said["state"] in (None, "compromised")
            answered = await trespasser.call("settle_key", {**settle, "receipt": NOTHING})
            assert (answered["active"], answered["kcv"]) == (False, None)
            assert load.account == lost
    assert from_b64(load.token)
    assert load.account.states == ["destroyed"]
