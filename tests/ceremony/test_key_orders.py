"""Key orders: officers' word about one key, by as many officers as it needs, and nothing else."""

import json
from typing import Any

import pytest

from ceremony.keylife import KeyAct, KeyActor
from ceremony.keyorders import ORDER_SECONDS, draft_order, read_key_order, require_current
from ceremony.keys import SigningKey
from ceremony.reasons import Reason
from ceremony.registry import seal_envelope
from ceremony.signing import sign
from ceremony.statements import KeyOrderPayload, RevocationPayload
from ceremony.trust import Trust
from ceremony.verification import StatementError
from tests.support.identities import signing_key
from tests.support.keyorders import order_of, signed_by
from tests.support.world import World

TWO_OFFICERS = ("settle-loaded", "settle-not-loaded", "destroy")


@pytest.fixture
def world() -> World:
    """A deployment with three officers, of whom two make the threshold."""
    return World.make()


def refused(envelope: str, trust: Trust) -> Reason:
    """Why an order is refused."""
    with pytest.raises(StatementError) as refusal:
        read_key_order(envelope, trust)
    return refusal.value.reason


@pytest.mark.parametrize("order", TWO_OFFICERS)
def test_two_officers_settle_and_destroy(world: World, order: str) -> None:
    """Any two of them; one alone, or one twice, does not."""
    payload = order_of(world, order)
    first, second, third = world.officers
    for signers in ((first, second), (third, first), (first, second, third)):
        read = read_key_order(signed_by(payload, *signers), world.trust)
        assert (read.act, read.officers) == (KeyAct(order), frozenset(one.kid for one in signers))
        assert (read.request_id, read.terminal_no) == (payload.request_id, payload.terminal_no)
    for alone in ([first], [first, first]):
        assert refused(signed_by(payload, *alone), world.trust) is Reason.OFFICERS_MISSING


def test_one_officer_marks_a_key_compromised(world: World) -> None:
    """What takes away needs one, whichever it is; nobody else's signature counts."""
    payload = order_of(world, "revoke")
    for officer in world.officers:
        read = read_key_order(signed_by(payload, officer), world.trust)
        assert (read.act, read.actor) == (KeyAct.REVOKE, KeyActor.OFFICER)
    for signer in (world.feed, signing_key("first"), SigningKey.generate()):
        assert refused(signed_by(payload, signer), world.trust) is Reason.OFFICERS_MISSING


@pytest.mark.parametrize("n", [0, 1])
def test_a_stranger_does_not_make_up_the_number(world: World, n: int) -> None:
    """An officer and the feed, an administrator or a stranger are one officer."""
    payload = order_of(world, "destroy")
    for signer in (world.feed, signing_key("first"), SigningKey.generate()):
        signers = [world.officers[0], signer]
        envelope = signed_by(payload, *(signers if n else reversed(signers)))
        assert refused(envelope, world.trust) is Reason.OFFICERS_MISSING
        assert draft_order(envelope, world.trust).officers == {world.officers[0].kid}


def test_the_threshold_is_the_trust_files(world: World) -> None:
    """Three officers where it says three."""
    trust = Trust.read(json.dumps({**json.loads(world.trust_file), "officer_threshold": 3}))
    payload = order_of(world, "destroy")
    assert refused(signed_by(payload, *world.officers[:2]), trust) is Reason.OFFICERS_MISSING
    assert len(read_key_order(signed_by(payload, *world.officers), trust).officers) == 3
    alone = read_key_order(signed_by(order_of(world, "revoke"), world.officers[0]), trust)
    assert len(alone.officers) == 1


def test_two_signatures_of_two_orders_are_no_order(world: World) -> None:
    """Each officer signs the same payload: about the same key, act, reason and moment."""
    first, second = world.officers[:2]
    payload = order_of(world, "destroy")
    for bent in (
        {"terminal_no": "ATM-0002"},
        {"request_id": "B" * 24},
        {"order": "revoke"},
        {"reason_code": "other"},
        {"nonce": "ff" * 16},
    ):
        other = payload.model_copy(update=bent)
        envelope = seal_envelope([sign(payload, first), sign(other, second)])
        assert refused(envelope, world.trust) is Reason.MALFORMED


def test_it_is_for_this_deployment_and_of_this_kind(world: World) -> None:
    """Another deployment's order, an altered one, another statement and nonsense are refused."""
    officers = world.officers[:2]
    elsewhere = order_of(world, "destroy", aud="elsewhere")
    assert refused(signed_by(elsewhere, *officers), world.trust) is Reason.WRONG_AUDIENCE
    said: dict[str, Any] = {**world.common(), "person": "person-1", "terminal_no": None}
    other = RevocationPayload(**said, seq=1, reason_code="left")
    envelope = seal_envelope(sign(other, one) for one in officers)
    assert refused(envelope, world.trust) is Reason.WRONG_TYPE
    mine, foreign = order_of(world, "destroy"), order_of(world, "settle-loaded")
    mixed = []
    for officer in officers:
        head, _, signature = sign(mine, officer).split(".")
        mixed.append(f"{head}.{sign(foreign, officer).split('.')[1]}.{signature}")
    assert refused(seal_envelope(mixed), world.trust) is Reason.OFFICERS_MISSING
    for nonsense in ("nonsense", "", sign(mine, officers[0]), '{"statements":[]}'):
        assert refused(nonsense, world.trust) in {Reason.MALFORMED, Reason.UNSIGNED}


@pytest.mark.parametrize("order", TWO_OFFICERS)
def test_an_order_to_settle_or_destroy_lasts_seven_days(world: World, order: str) -> None:
    """By the key worker's clock, from the officers' own; one from the future is stale."""
    payload: KeyOrderPayload = order_of(world, order)
    read = read_key_order(signed_by(payload, *world.officers), world.trust)
    assert ORDER_SECONDS == 7 * 24 * 3600
    require_current(read, now=payload.iat + ORDER_SECONDS - 1)
    require_current(read, now=payload.iat - 300)
    for now, reason in (
        (payload.iat + ORDER_SECONDS, Reason.STATEMENT_EXPIRED),
        (payload.iat - 301, Reason.STALE),
    ):
        with pytest.raises(StatementError) as refusal:
            require_current(read, now=now)
        assert refusal.value.reason is reason


def test_what_only_takes_away_never_expires(world: World) -> None:
    """Years later a key that an officer marked compromised still is."""
    read = read_key_order(signed_by(order_of(world, "revoke"), world.officers[0]), world.trust)
    require_current(read, now=read.issued_at + 10 * 365 * 86_400)
