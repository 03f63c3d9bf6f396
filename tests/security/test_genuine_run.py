"""The genuine ceremony on the attacked deployment: without it, no attack's failure means much."""

import pytest

from ceremony.stages import Stage
from tests.support.attacked import Bench
from tests.support.genuine import Ceremony, eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_genuine_steps_load_a_key_and_a_second_load_retires_it(bench: Bench) -> None:
    """What is in the way of the attacks is not in the way of honest people."""
    first = await Ceremony.at(bench, Stage.LOADED)
    assert first.account.states == ["active"]
    await eventually(lambda: "ended" in first.steps(), "the last SMS")
    assert first.steps() == ["code-1", "review", "approved", "ended"]
    await bench.client.get_workflow_handle(f"loading-request/{first.place.terminal_no}").result()
    second = await Ceremony.at(bench, Stage.LOADED, first.place)
    assert second.account.states == ["active", "retired"]
    assert second.kcv != first.kcv
