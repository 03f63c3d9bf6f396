"""Requests of terminals that have a key: a reason is asked for, and a strange key is noticed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ceremony.reasons import Reason
from ceremony.stages import Stage
from records import keystore
from records.tables.key import KeyRow, KeyState
from tests.support.backstage import Backstage
from tests.support.recording import Recording
from tests.support.world import World

ACTIVE_KCV = "a1b2c3"
WHY = "planned replacement"


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Backstage]:
    """Records in which the terminal has no key yet."""
    world = World.make()
    stage = Backstage.make(tmp_path, world, clock=lambda: world.now)
    yield stage
    stage.close()


def give_key(stage: Backstage, state: KeyState) -> None:
    """Put a key of the terminal on record."""
    row = KeyRow(
        request_id="A" * 24,
        terminal_no=stage.world.terminal.terminal_no,
        algorithm="AES-128",
        host_block=b"block",
        state=state,
        kcv=ACTIVE_KCV if state is KeyState.ACTIVE else None,
        release_record="record",
        released_at=stage.world.now,
    )
    with stage.database.write() as session:
        keystore.publish_key(session, row)


def opened(stage: Backstage, **said: Any) -> Recording:
    """A request that says so."""
    return Recording.opened(stage, stage.world.request(**said))


def test_a_request_of_a_terminal_with_an_active_key_needs_a_reason(stage: Backstage) -> None:
    """Before anybody is bothered: the request ends at once, and says why."""
    give_key(stage, KeyState.ACTIVE)
    for said in (None, ACTIVE_KCV):
        state = opened(stage, reload_reason=None, current_kcv=said).state
        assert (state.stage, state.reason) == (Stage.FAILED, Reason.RELOAD_REASON_MISSING)
    state = opened(stage, reload_reason=WHY, current_kcv=ACTIVE_KCV).state
    assert (state.stage, state.reason) == (Stage.AWAITING_APPLICATION, None)


@pytest.mark.parametrize("state", [KeyState.RELEASED, KeyState.UNCONFIRMED, KeyState.RETIRED])
def test_only_an_active_key_asks_for_a_reason(stage: Backstage, state: KeyState) -> None:
    """A key that is not in use, or never was, is replaced without one."""
    give_key(stage, state)
    assert opened(stage, reload_reason=None).state.stage is Stage.AWAITING_APPLICATION


@pytest.mark.parametrize(
    ("said", "events"),
    [
        (ACTIVE_KCV, ["request-accepted"]),
        ("000000", ["request-accepted", "epp-key-differs"]),
        (None, ["request-accepted", "epp-key-differs"]),
    ],
)
def test_an_epp_with_another_key_is_noticed(
    stage: Backstage, said: str | None, events: list[str]
) -> None:
    """It is not refused, since a reload mends it; the audit trail shows it to those who look."""
    give_key(stage, KeyState.ACTIVE)
    recording = opened(stage, reload_reason=WHY, current_kcv=said)
    assert [event.event for event in recording.events()] == events
    assert recording.state.stage is Stage.AWAITING_APPLICATION


def test_without_an_active_key_there_is_nothing_to_differ_from(stage: Backstage) -> None:
    """A key that came into the EPP by another way is not ours to judge."""
    recording = opened(stage, reload_reason=WHY, current_kcv="000000")
    assert [event.event for event in recording.events()] == ["request-accepted"]
