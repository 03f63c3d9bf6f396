"""Codes and approvals over HTTP: guessed all at once, taken from elsewhere, come too late."""

import asyncio
import time

import httpx
import pytest

from ceremony.reasons import Reason
from ceremony.stages import Stage
from tests.support.attacked import Bench
from tests.support.genuine import Ceremony
from tests.support.guessing import guess_at_once, times_refused
from tests.support.ledger import Account

pytestmark = pytest.mark.asyncio(loop_scope="session")

TRIES = 3


async def test_of_a_thousand_approval_codes_guessed_at_once_three_are_evaluated(
    bench: Bench,
) -> None:
    """A technician with the device key guesses the approval code, a thousand times at once.

    At most three are evaluated, then the request has FAILED; the right code comes too late.
    """
    load = await Ceremony.at(bench, Stage.AWAITING_CONFIRMATION)
    right = int(await load.approval_code())
    path = f"/v1/loading-requests/{load.request_id}/confirmation"
    nonce = load.epp.start_key_exchange().hex()

    async def guess(n: int) -> httpx.Response:
        body = {
            "statement": load.sign_confirmation(krd_nonce=nonce),
            "approval_code": f"{(right + n) % 10_000:04}",
        }
        return await load.http.post(path, json=body)

    await guess_at_once(load, guess)
    assert 1 <= times_refused(load, Reason.APPROVAL_CODE_WRONG) <= TRIES
    assert (await load.confirm(code=f"{right:04}")).status_code in (409, 429)
    assert load.account == Account({}, {})


async def test_codes_of_others_and_of_other_requests_are_wrong(bench: Bench) -> None:
    """An SMS code of the same administrator's earlier request, of another's, typed as one's own.

    Then an approval code of another request at the terminal. Each costs an attempt, as any wrong
    code does; the right ones then load the key.
    """
    place = await bench.place()
    earlier = await Ceremony.at(bench, Stage.AWAITING_CONFIRMATION, place)
    used, approval = await earlier.sms_code(), await earlier.approval_code()
    assert (await earlier.cancel()).status_code == 200
    await bench.client.get_workflow_handle(f"loading-request/{place.terminal_no}").result()
    other = await Ceremony.open(bench)
    load = await Ceremony.open(bench, place)
    right = await load.sms_code()
    for left, code in ((4, used), (3, await other.sms_code())):
        assert code != right
        refused = await load.apply(code=code)
        assert (refused.status_code, refused.json()["attempts_left"]) == (403, left)
    await load.to(Stage.AWAITING_CONFIRMATION)
    assert approval != await load.approval_code()
    refused = await load.confirm(code=approval)
    assert (refused.status_code, refused.json()["code"]) == (403, Reason.APPROVAL_CODE_WRONG)
    assert load.account == Account({}, {})
    await load.to(Stage.LOADED)


async def test_an_expired_approval_releases_nothing(bench: Bench) -> None:
    """The terminal confirms with everything right, a moment after the approval has expired."""
    load = await Ceremony.at(bench, Stage.AWAITING_REVIEW)
    decided = await load.decide(expires_at=int(time.time()) + 3)
    assert decided.status_code == 200, decided.text
    code = await load.approval_code()
    await asyncio.sleep(3)
    refused = await load.confirm(code=code)
    assert (refused.status_code, refused.json()["code"]) == (410, Reason.APPROVAL_EXPIRED)
    assert load.stage is Stage.FAILED
    assert load.account == Account({}, {})
