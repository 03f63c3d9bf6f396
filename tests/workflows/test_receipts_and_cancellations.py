"""How a loading request ends by the terminal's receipt, or by a cancellation."""

import pytest
from temporalio.client import Client

from ceremony.reasons import Reason
from ceremony.stages import Stage
from records import keystore
from records.tables.key import KeyState
from tests.support.backstage import Backstage
from tests.support.load import Load

WRONG_KCV = "000000"
BEFORE_RELEASE = (Stage.AWAITING_APPLICATION, Stage.AWAITING_REVIEW, Stage.AWAITING_CONFIRMATION)


def states_of(stage: Backstage, *loads: Load) -> list[KeyState]:
    """The states of these requests' keys, as the key worker published them."""
    with stage.database.read() as session:
        keys = [keystore.key(session, load.request_id) for load in loads]
    return [key.state for key in keys if key is not None]


async def test_a_loaded_key_retires_the_one_before(running: Backstage, client: Client) -> None:
    """The receipt of a second load makes its key active and retires the first."""
    loads = []
    for _ in range(2):
        load = await (await Load.open(running, client)).to(Stage.LOADED)
        assert (await load.result()).stage is Stage.LOADED
        loads.append(load)
    assert states_of(running, *loads) == [KeyState.RETIRED, KeyState.ACTIVE]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"kcv": WRONG_KCV}, Reason.KCV_WRONG),
        ({"outcome": "refused", "kcv": None, "error": "DuplicateKey"}, Reason.TERMINAL_REFUSED),
    ],
)
async def test_a_bad_receipt_leaves_both_keys(
    running: Backstage, client: Client, said: dict[str, str | None], reason: Reason
) -> None:
    """A wrong KCV or a refusal ends UNCONFIRMED without a KCV; both keys stay."""
    before = await (await Load.open(running, client)).to(Stage.LOADED)
    await before.result()
    load = await (await Load.open(running, client)).to(Stage.AWAITING_RECEIPT)
    assert (await load.receive(**said)).accepted
    result = await load.result()
    assert (result.stage, result.reason, result.kcv) == (Stage.UNCONFIRMED, reason, None)
    assert load.row.stage is Stage.UNCONFIRMED
    assert states_of(running, before, load) == [KeyState.ACTIVE, KeyState.UNCONFIRMED]


async def test_a_receipt_for_an_unknown_token_changes_nothing(
    running: Backstage, client: Client
) -> None:
    """A receipt about a token that was never given is refused; the right one then loads."""
    load = await (await Load.open(running, client)).to(Stage.AWAITING_RECEIPT)
    refused = await load.receive(token_digest="0" * 64)
    assert (refused.reason, refused.stage) == (Reason.TOKEN_UNKNOWN, Stage.AWAITING_RECEIPT)
    await load.receive()
    assert (await load.result()).stage is Stage.LOADED


@pytest.mark.parametrize("who", ["terminal", "first", "second"])
@pytest.mark.parametrize("at", BEFORE_RELEASE)
async def test_it_can_be_cancelled_before_release(
    running: Backstage, client: Client, at: Stage, who: str
) -> None:
    """The terminal and either administrator may cancel in every stage before release."""
    load = await (await Load.open(running, client)).to(at)
    world = running.world
    signer = {"terminal": None, "first": world.first.signer, "second": world.second.signer}[who]
    verdict = await load.cancel(signer)
    assert (verdict.accepted, verdict.stage) == (True, Stage.CANCELLED)
    result = await load.result()
    by = Reason.CANCELLED_BY_TERMINAL if who == "terminal" else Reason.CANCELLED_BY_ADMINISTRATOR
    assert (result.stage, result.reason) == (Stage.CANCELLED, by)
    assert running.journal.key_of(load.request_id) is None


async def test_a_stranger_cannot_cancel(running: Backstage, client: Client) -> None:
    """A cancellation by an administrator of other terminals is refused."""
    load = await Load.open(running, client)
    refused = await load.cancel(running.world.third.signer)
    assert (refused.reason, refused.stage) == (Reason.UNKNOWN_KEY, Stage.AWAITING_APPLICATION)


async def test_nothing_is_cancelled_after_release(running: Backstage, client: Client) -> None:
    """After release a cancellation is refused, and the load goes on."""
    load = await (await Load.open(running, client)).to(Stage.AWAITING_RECEIPT)
    refused = await load.cancel()
    assert (refused.reason, refused.stage) == (Reason.WRONG_STAGE, Stage.AWAITING_RECEIPT)
    await load.receive()
    assert (await load.result()).stage is Stage.LOADED
