"""A live Temporal writer who signals: a signal names a digest, and a digest asserts nothing."""

import asyncio

import pytest

from ceremony import names
from ceremony.reasons import Reason
from ceremony.stages import Stage
from tests.support.attacked import Bench
from tests.support.genuine import CODE, NOTHING, Ceremony, eventually
from tests.support.trespass import Trespasser

pytestmark = pytest.mark.asyncio(loop_scope="session")

BY_STATEMENT = (
    names.SIGNAL_REQUEST_REPEATED,
    names.SIGNAL_APPLICATION,
    names.SIGNAL_DECISION,
    names.SIGNAL_CONFIRMATION,
    names.SIGNAL_RECEIPT,
    names.SIGNAL_CANCELLATION,
)
MISFITS: tuple[object, ...] = ("text", 7, None, [], {"request_id": 1}, {"digest": {}, "n": "x"})


async def test_forged_signals_of_every_kind_move_nothing(
    bench: Bench, trespasser: Trespasser
) -> None:
    """Every signal, with digests of nothing, of another request, of another kind and of garbage.

    The loading request stays where it is, what was denied is noted, and honest people go on to
    load the key as if nothing had been.
    """
    other = await Ceremony.at(bench, Stage.AWAITING_RECEIPT)
    load = await Ceremony.at(bench, Stage.AWAITING_REVIEW)
    number = load.place.terminal_no
    digests = [NOTHING, "", "not a digest", *(other.digest(kind) for kind in sorted(other.said))]
    digests += [load.digest(kind) for kind in sorted(load.said)]
    for signal in BY_STATEMENT:
        for digest in digests:
            message = {"request_id": load.request_id, "digest": digest}
            await trespasser.signal(number, signal, message)
        message = {"request_id": other.request_id, "digest": load.digest("application")}
        await trespasser.signal(number, signal, message)
    await trespasser.signal(number, names.SIGNAL_REGISTRY_CHANGED, {"run_id": "forged"})
    await trespasser.settled(number)
    reasons = bench.reasons(number)
    assert {Reason.STATEMENT_MISSING, Reason.WRONG_REQUEST} <= set(reasons)
    assert load.stage is Stage.AWAITING_REVIEW
    assert not load.account.keys
    await load.to(Stage.LOADED)
    assert load.account.states == ["active"]
    assert other.account.states == ["released"]


async def test_malformed_signals_do_not_stop_a_loading_request(
    bench: Bench, trespasser: Trespasser
) -> None:
    """Signals nobody knows, with arguments that fit no message: dropped, and the load goes on."""
    load = await Ceremony.open(bench)
    number = load.place.terminal_no
    for signal in (*BY_STATEMENT, names.SIGNAL_CODE_REQUESTED, "no_such_signal"):
        for message in MISFITS:
            await trespasser.signal(number, signal, message)
    await load.to(Stage.AWAITING_REVIEW)


async def test_forged_code_requests_send_nothing_and_use_nothing_up(
    bench: Bench, trespasser: Trespasser
) -> None:
    """SMS codes asked for by signal and by activity, a hundred times, with any number.

    The API knows of no asking: nothing is sent. The administrator's own three codes are as they
    were, and the first of them leads to a loaded key.
    """
    load = await Ceremony.open(bench)
    number = load.place.terminal_no
    for n in (-1, 0, 1, 1, 2, 3, 4, 99, 2**40) * 4:
        message = {"request_id": load.request_id, "n": n}
        await trespasser.signal(number, names.SIGNAL_CODE_REQUESTED, message)
    command = {"request_id": load.request_id, "terminal_no": number}
    for n in (-1, 0, 1, 2, 3, 4, 99):
        await trespasser.call("send_sms_code", {**command, "n": n})
    await trespasser.settled(number)
    assert load.steps() == []
    await load.to(Stage.AWAITING_REVIEW)
    codes = await eventually(lambda: load.sms(CODE, load.place.first) or None)
    assert len(codes) == 1
    await load.to(Stage.LOADED)
    assert load.steps()[0] == "code-1"


async def test_no_notice_is_sent_twice_early_or_to_anyone_else(
    bench: Bench, trespasser: Trespasser
) -> None:
    """Notices asked for by activity: of each kind, at every stage, about other terminals."""
    load = await Ceremony.open(bench)
    other = await bench.place()
    for terminal_no in (load.place.terminal_no, other.terminal_no):
        for event in ("review", "approved", "ended"):
            for stage in (Stage.AWAITING_CONFIRMATION, Stage.LOADED):
                await trespasser.call(
                    "send_notice",
                    {
                        "request_id": load.request_id,
                        "terminal_no": terminal_no,
                        "event": event,
                        "stage": stage,
                    },
                )
    assert load.steps() == []
    await load.to(Stage.AWAITING_CONFIRMATION)
    await load.approval_code()
    notice = {"request_id": load.request_id, "terminal_no": load.place.terminal_no}
    repeated = [
        trespasser.call("send_notice", {**notice, "event": event, "stage": load.stage})
        for event in ("review", "approved") * 3
    ]
    await asyncio.gather(*repeated)
    assert load.steps() == ["code-1", "review", "approved"]
