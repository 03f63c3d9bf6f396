"""Deadlines and resending, on a Temporal server that skips time."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from ceremony.messages import SettleCommand
from ceremony.reasons import Reason
from ceremony.stages import Stage
from keymanagement.journalrows import KeyState
from tests.support.load import Load
from tests.support.skipping import Skipping
from workflows.policies import RESEND, STAGE_DEADLINES

MARGIN = timedelta(minutes=1)


@pytest.fixture
async def skipping(tmp_path: Path) -> AsyncIterator[Skipping]:
    """A time-skipping server of this test's own."""
    async with Skipping.start(tmp_path) as running:
        yield running


@pytest.mark.parametrize(
    "at", [Stage.AWAITING_APPLICATION, Stage.AWAITING_REVIEW, Stage.AWAITING_CONFIRMATION]
)
async def test_an_open_stage_expires_at_its_deadline(skipping: Skipping, at: Stage) -> None:
    """Before release a passed deadline ends EXPIRED, on time; the first administrator is told."""
    load = await (await skipping.open()).to(at)
    since = await skipping.now()
    lasted = await skipping.ended_after(load, since)
    result = await load.result()
    assert (result.stage, result.reason) == (Stage.EXPIRED, Reason.EXPIRED)
    assert abs(lasted - STAGE_DEADLINES[at]) < MARGIN
    assert skipping.stage.memory.sent[-1][:2] == (
        f"{load.request_id}/sms/ended",
        skipping.stage.world.first.number,
    )
    assert ("deadline-passed", Reason.EXPIRED) in load.events()
    assert skipping.stage.journal.key_of(load.request_id) is None


async def test_a_key_without_a_receipt_is_kept_unconfirmed(skipping: Skipping) -> None:
    """A day after release without a receipt: UNCONFIRMED, told, and the key is still there."""
    load = await (await skipping.open()).to(Stage.AWAITING_RECEIPT)
    since = await skipping.now()
    lasted = await skipping.ended_after(load, since)
    result = await load.result()
    assert (result.stage, result.reason) == (Stage.UNCONFIRMED, Reason.RECEIPT_MISSING)
    assert (result.token_digest, result.kcv) == (load.tokens()[0].token_digest, None)
    assert abs(lasted - STAGE_DEADLINES[Stage.AWAITING_RECEIPT]) < MARGIN
    key = skipping.stage.journal.key_of(load.request_id)
    assert key is not None
    assert key.state is KeyState.UNCONFIRMED
    assert load.sms()[-1] == "ended"


async def test_a_key_whose_receipt_came_elsewhere_is_loaded_at_the_deadline(
    skipping: Skipping,
) -> None:
    """The key worker has the receipt and this workflow never saw it: LOADED, with the KCV."""
    load = await (await skipping.open()).to(Stage.AWAITING_RECEIPT)
    stage, token = skipping.stage, load.tokens()[0].token_digest
    kcv = stage.journal.kcv_of(load.request_id)
    receipt = stage.world.receipt(load.confirmation, token_digest=token, kcv=kcv)
    settled = stage.settlement().settle(
        SettleCommand(
            request_id=load.request_id,
            terminal_no=load.row.terminal_no,
            receipt=stage.file(receipt).digest,
        )
    )
    assert settled.active
    await skipping.ended_after(load, await skipping.now())
    result = await load.result()
    assert (result.stage, result.reason, result.kcv) == (Stage.LOADED, Reason.LOADED, kcv)
    assert (load.row.stage, load.row.kcv) == (Stage.LOADED, kcv)
    assert ("key-settled", Reason.LOADED) in load.events()


async def test_a_later_stage_keeps_its_own_deadline(skipping: Skipping) -> None:
    """A long stage leaves the timer armed for later; the next stage still ends by its own."""
    load = await (await skipping.open()).to(Stage.AWAITING_REVIEW)
    # The timer of the first stage fires and is armed anew for the review's four hours.
    await skipping.skip(timedelta(minutes=30))
    assert (await load.decide()).stage is Stage.AWAITING_CONFIRMATION
    since = await skipping.now()
    lasted = await skipping.ended_after(load, since)
    assert abs(lasted - STAGE_DEADLINES[Stage.AWAITING_CONFIRMATION]) < MARGIN
    assert (await load.result()).stage is Stage.EXPIRED


async def test_an_approval_at_the_last_minute_has_its_hour(skipping: Skipping) -> None:
    """Approved just before the review's deadline, the terminal still has a full hour."""
    load = await (await skipping.open()).to(Stage.AWAITING_REVIEW)
    await skipping.skip(STAGE_DEADLINES[Stage.AWAITING_REVIEW] - MARGIN)
    assert (await load.decide()).stage is Stage.AWAITING_CONFIRMATION
    await skipping.skip(STAGE_DEADLINES[Stage.AWAITING_CONFIRMATION] - 2 * MARGIN)
    assert (await load.confirm()).stage is Stage.AWAITING_RECEIPT
    await skipping.skip(STAGE_DEADLINES[Stage.AWAITING_RECEIPT] - MARGIN)
    await load.receive()
    assert (await load.result()).stage is Stage.LOADED


async def test_a_further_code_comes_after_a_minute_three_in_all(skipping: Skipping) -> None:
    """Codes are sent a minute apart, three at most, and only the newest one counts."""
    load = await skipping.open()
    await load.ask_code()
    await _ask(load, 2)
    for n in (2, 3):
        await skipping.skip(RESEND)
        await load.ask_code()
        assert load.codes == n
    await skipping.skip(RESEND)
    await _ask(load, 4)
    old = skipping.stage.world.sms_code(load.request, 2)
    assert (await load.apply(code=old)).reason == Reason.SMS_CODE_WRONG
    assert (await load.apply()).accepted
    assert [what for what in load.sms() if what.startswith("code")] == [
        "code-1",
        "code-2",
        "code-3",
    ]


async def test_a_code_that_was_never_sent_can_be_passed_over(skipping: Skipping) -> None:
    """If code 2 came too soon for the workflow, code 3 is still to be had, and counts."""
    load = await skipping.open()
    await load.ask_code()
    await _ask(load, 2)
    await skipping.skip(RESEND)
    load.codes = 2
    await load.ask_code()
    assert (await load.apply()).accepted
    assert "code-2" not in load.sms()


async def test_a_code_expires_after_ten_minutes(skipping: Skipping) -> None:
    """A code typed after ten minutes is refused; the next one goes on."""
    load = await skipping.open()
    await load.ask_code()
    await skipping.skip(timedelta(minutes=10, seconds=5))
    assert (await load.apply()).reason == Reason.SMS_CODE_EXPIRED
    await load.ask_code()
    assert (await load.apply()).accepted


async def test_a_provider_that_is_away_all_day_holds_nothing_up(skipping: Skipping) -> None:
    """SMS that are never sent are given up: the request still expires and closes in time."""
    load = await skipping.open()
    skipping.stage.memory.away = True
    await _ask(load, 1)
    lasted = await skipping.ended_after(load, await skipping.now())
    assert (await load.result()).stage is Stage.EXPIRED
    assert lasted < STAGE_DEADLINES[Stage.AWAITING_APPLICATION] + 2 * MARGIN
    assert load.sms() == []


async def _ask(load: Load, n: int) -> None:
    await load.begin_code(n)
