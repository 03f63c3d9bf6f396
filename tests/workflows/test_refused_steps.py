"""What the ceremony refuses on a real server: wrong codes, wrong people, wrong order."""

import pytest
from temporalio.client import Client

from ceremony.reasons import Reason
from ceremony.stages import Stage
from ceremony.state import ATTEMPTS, CONFIRMATION_TRIES
from ceremony.statements import Kind
from tests.support.backstage import Backstage
from tests.support.load import WRONG_APPROVAL_CODE, WRONG_SMS_CODE, Load


async def test_a_rejection_is_final_and_told(running: Backstage, client: Client) -> None:
    """A rejection ends REJECTED; the first administrator is told, and no key was made."""
    load = await Load.open(running, client)
    await load.apply()
    verdict = await load.decide("reject")
    assert (verdict.accepted, verdict.stage) == (True, Stage.REJECTED)
    result = await load.result()
    assert (result.stage, result.reason) == (Stage.REJECTED, Reason.REJECTED)
    assert running.memory.sent[-1][:2] == (
        f"{load.request_id}/sms/ended",
        running.world.first.number,
    )
    assert running.journal.key_of(load.request_id) is None


async def test_a_wrong_sms_code_may_be_put_right(running: Backstage, client: Client) -> None:
    """A wrong SMS code costs one attempt; the right one then goes on."""
    load = await Load.open(running, client)
    wrong = await load.apply(code=WRONG_SMS_CODE)
    assert (wrong.reason, wrong.stage) == (Reason.SMS_CODE_WRONG, Stage.AWAITING_APPLICATION)
    assert wrong.attempts_left == ATTEMPTS - 1
    right = await load.apply()
    assert (right.accepted, right.stage) == (True, Stage.AWAITING_REVIEW)


async def test_the_fifth_wrong_application_is_the_last(running: Backstage, client: Client) -> None:
    """Five wrong applications end FAILED; a sixth, right this time, is answered wrong-stage."""
    load = await Load.open(running, client)
    await load.ask_code()
    sixth = running.world.application(load.request)
    filed = running.file_application(load.request, sixth, code=running.world.sms_code(load.request))
    for left in reversed(range(1, ATTEMPTS)):
        assert (await load.apply(code=WRONG_SMS_CODE)).attempts_left == left
    # The sixth is on its way when the fifth is judged: it belongs to a request that has ended.
    running.memory.flowing.clear()
    fifth = await load.apply(code=WRONG_SMS_CODE)
    assert (fifth.stage, fifth.attempts_left) == (Stage.FAILED, 0)
    late = await running.signal(load.handle, Kind.APPLICATION, filed)
    running.memory.flowing.set()
    assert late.reason == Reason.WRONG_STAGE
    result = await load.result()
    assert (result.stage, result.reason) == (Stage.FAILED, Reason.ATTEMPTS_EXHAUSTED)


async def test_nobody_uses_up_anothers_attempts(running: Backstage, client: Client) -> None:
    """Applications of the second or a foreign administrator are refused and cost no attempt."""
    load = await Load.open(running, client)
    second, third = running.world.second, running.world.third
    for _ in range(ATTEMPTS):
        refused = await load.apply(signer=second.signer, administrator=second.staff_no)
        assert refused.reason == Reason.NOT_FIRST_ADMINISTRATOR
        assert refused.attempts_left is None
    unknown = await load.apply(signer=third.signer, administrator=third.staff_no)
    assert unknown.reason == Reason.UNKNOWN_KEY
    assert (await load.apply(code=WRONG_SMS_CODE)).attempts_left == ATTEMPTS - 1


async def test_the_first_administrator_cannot_decide(running: Backstage, client: Client) -> None:
    """The first administrator's decision is refused, under their own number or the second's."""
    load = await Load.open(running, client)
    await load.apply()
    first, second = running.world.first, running.world.second
    for staff_no in (first.staff_no, second.staff_no):
        refused = await load.decide(signer=first.signer, administrator=staff_no)
        assert refused.reason == Reason.NOT_SECOND_ADMINISTRATOR
        assert refused.stage is Stage.AWAITING_REVIEW
    assert (await load.decide()).stage is Stage.AWAITING_CONFIRMATION


async def test_a_mistyped_approval_code_may_be_repeated(running: Backstage, client: Client) -> None:
    """Two mistyped confirmations change nothing; the third, right, releases the key."""
    load = await (await Load.open(running, client)).to(Stage.AWAITING_CONFIRMATION)
    mistyped = await load.confirm(code=WRONG_APPROVAL_CODE)
    assert mistyped.reason == Reason.APPROVAL_CODE_WRONG
    misnamed = await load.confirm(administrator=running.world.third.staff_no)
    assert misnamed.reason == Reason.ADMINISTRATOR_WRONG
    assert misnamed.stage is Stage.AWAITING_CONFIRMATION
    assert running.journal.key_of(load.request_id) is None
    assert (await load.confirm()).stage is Stage.AWAITING_RECEIPT


async def test_the_third_mistyped_confirmation_is_the_last(
    running: Backstage, client: Client
) -> None:
    """Three mistyped confirmations end FAILED, and no key was made."""
    load = await (await Load.open(running, client)).to(Stage.AWAITING_CONFIRMATION)
    for _ in range(CONFIRMATION_TRIES):
        verdict = await load.confirm(code=WRONG_APPROVAL_CODE)
    assert verdict.stage is Stage.FAILED
    result = await load.result()
    assert (result.stage, result.reason) == (Stage.FAILED, Reason.CONFIRMATION_TRIES_EXHAUSTED)
    assert running.journal.key_of(load.request_id) is None


@pytest.mark.parametrize("before", [Stage.AWAITING_APPLICATION, Stage.AWAITING_REVIEW])
async def test_nothing_is_confirmed_before_the_approval(
    running: Backstage, client: Client, before: Stage
) -> None:
    """A confirmation before the approval is refused as wrong-stage; the request goes on."""
    load = await (await Load.open(running, client)).to(before)
    if before is Stage.AWAITING_APPLICATION:
        load.sign_application()
    refused = await load.confirm()
    assert (refused.reason, refused.stage) == (Reason.WRONG_STAGE, before)
    assert running.journal.key_of(load.request_id) is None


async def test_a_confirmation_from_a_changed_qr_code_is_final(
    running: Backstage, client: Client
) -> None:
    """A confirmation that is wrong in anything but what is typed ends FAILED."""
    load = await (await Load.open(running, client)).to(Stage.AWAITING_CONFIRMATION)
    verdict = await load.confirm(qr_digest="0" * 64)
    assert (verdict.reason, verdict.stage) == (Reason.QR_REFUSED, Stage.FAILED)
    assert (await load.result()).reason == Reason.QR_REFUSED
