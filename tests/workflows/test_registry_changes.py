"""A registry that changes under an open request ends it; one that only stirs does not."""

import pytest
from temporalio.client import Client

from ceremony.messages import RegistryNotice
from ceremony.names import SIGNAL_REGISTRY_CHANGED
from ceremony.reasons import Reason
from ceremony.stages import Stage
from keymanagement.journalrows import KeyState
from tests.support.backstage import Backstage
from tests.support.load import Load

NOTICE = RegistryNotice(run_id="run")
BEFORE_RELEASE = (Stage.AWAITING_APPLICATION, Stage.AWAITING_REVIEW, Stage.AWAITING_CONFIRMATION)


def change_registry(stage: Backstage) -> None:
    """Put a newer entry of the terminal in force, which names another branch."""
    world = stage.world
    world.seq += 1
    entry = world.terminal_entry(branch="Harbour Road")
    world.terminal_envelopes[world.terminal.terminal_no] = entry
    stage.register()


@pytest.mark.parametrize("at", BEFORE_RELEASE)
async def test_a_changed_registry_ends_a_request(
    running: Backstage, client: Client, at: Stage
) -> None:
    """Before release a changed entry ends the request as FAILED, registry-changed."""
    load = await (await Load.open(running, client)).to(at)
    change_registry(running)
    await load.handle.signal(SIGNAL_REGISTRY_CHANGED, NOTICE)
    result = await load.result()
    assert (result.stage, result.reason) == (Stage.FAILED, Reason.REGISTRY_CHANGED)
    assert ("registry-changed", Reason.REGISTRY_CHANGED) in load.events()
    assert load.sms()[-1] == "ended"


async def test_a_released_key_is_kept_unconfirmed(running: Backstage, client: Client) -> None:
    """After release a changed entry ends the request UNCONFIRMED, and so is its key."""
    load = await (await Load.open(running, client)).to(Stage.AWAITING_RECEIPT)
    change_registry(running)
    await load.handle.signal(SIGNAL_REGISTRY_CHANGED, NOTICE)
    result = await load.result()
    assert (result.stage, result.reason) == (Stage.UNCONFIRMED, Reason.REGISTRY_CHANGED)
    key = running.journal.key_of(load.request_id)
    assert key is not None
    assert key.state is KeyState.UNCONFIRMED


async def test_an_unchanged_registry_ends_nothing(running: Backstage, client: Client) -> None:
    """A notice without a change behind it leaves the request where it is."""
    load = await (await Load.open(running, client)).to(Stage.AWAITING_REVIEW)
    await load.handle.signal(SIGNAL_REGISTRY_CHANGED, NOTICE)
    assert (await load.decide()).stage is Stage.AWAITING_CONFIRMATION
    assert ("registry-changed", None) not in load.events()


async def test_a_change_counts_without_a_notice(running: Backstage, client: Client) -> None:
    """Even if nobody tells the workflow, a confirmation that rests on old entries is refused."""
    load = await (await Load.open(running, client)).to(Stage.AWAITING_CONFIRMATION)
    change_registry(running)
    verdict = await load.confirm()
    assert (verdict.reason, verdict.stage) == (Reason.REGISTRY_CHANGED, Stage.FAILED)
    assert running.journal.key_of(load.request_id) is None
