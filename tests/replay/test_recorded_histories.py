"""Every recorded history replays with the workflows as they are, and holds nothing of its maker."""

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from ceremony.encoding import from_b64
from ceremony.messages import ChangeResult, LoadingResult, NotesReport, SyncReport
from ceremony.stages import FINAL
from engine.converter import data_converter
from taskqueues import workflow_runner
from tests.replay.changed_workflows import (
    ChangesUntold,
    SettlesEarly,
    TellsNobody,
    WaitsFirst,
    WithdrawsUnheard,
)
from tests.replay.record import HISTORIES, IDENTITY, NAMES
from workflows.loading_request import LoadingRequest
from workflows.registry_change import RegistryChange
from workflows.registry_notes import RegistryNotes
from workflows.registry_sync import RegistrySync

RECORDED = sorted(HISTORIES.glob("*.json"))
FORMER_SYNC = "registry_sync_before_notes"
"""One that began before synchronisations showed the key worker anything."""


def history_of(path: Path) -> WorkflowHistory:
    """Read a recorded history."""
    return WorkflowHistory.from_json(path.stem, path.read_text())


def replayer(*workflows: type) -> Replayer:
    """A replayer with the worker's own sandbox and converter."""
    return Replayer(
        workflows=workflows, workflow_runner=workflow_runner(), data_converter=data_converter()
    )


def result_of(path: Path) -> Any:
    """The result that a recorded workflow returned."""
    last = history_of(path).events[-1].workflow_execution_completed_event_attributes
    return json.loads(last.result.payloads[0].data)


def texts_in(value: Any, name: str = "") -> Iterator[str]:
    """Every text in a history's JSON; payloads decoded."""
    if isinstance(value, dict):
        for inner, one in value.items():
            yield inner
            yield from texts_in(one, inner)
    elif isinstance(value, list):
        for one in value:
            yield from texts_in(one, name)
    elif isinstance(value, str):
        yield from_b64(value).decode() if name == "data" else value


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
async def test_a_recorded_history_replays(path: Path) -> None:
    """Workflows that are under way when a new version is deployed go on with it."""
    every = replayer(LoadingRequest, RegistrySync, RegistryNotes, RegistryChange)
    await every.replay_workflow(history_of(path))


def test_every_ending_is_recorded() -> None:
    """There is a history for each final stage, and of synchronisations, showings and changes."""
    results = {path.stem: result_of(path) for path in RECORDED}
    for sync in ("registry_sync", FORMER_SYNC):
        report = SyncReport.model_validate(results.pop(sync))
        assert (report.changed, len(report.refused), len(report.ended)) == (2, 1, 1)
    notes = NotesReport.model_validate(results.pop("registry_notes"))
    assert (notes.noted, notes.refused) == (5, 0)
    started = SyncReport.model_validate(results.pop("sync_change"))
    assert (started.waiting, len(started.changes)) == (1, 1)
    for name, outcome in (("told", "effective"), ("waited", "effective"), ("withdrawn",) * 2):
        ended = ChangeResult.model_validate(results.pop(f"change_{name}"))
        assert (ended.outcome, ended.tells is not None) == (outcome, name == "told")
    stages = {name: LoadingResult.model_validate(one).stage for name, one in results.items()}
    assert {name.upper() for name in stages} == set(stages.values()) == FINAL
    assert {path.stem for path in RECORDED} - {FORMER_SYNC} == NAMES


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        (SettlesEarly, "loaded"),
        (TellsNobody, "loaded"),
        (WaitsFirst, "loaded"),
        (ChangesUntold, "change_waited"),
        (WithdrawsUnheard, "change_withdrawn"),
    ],
)
async def test_another_order_fails(changed: type, name: str) -> None:
    """A workflow that does the same in another order, less or more does not pass the replay."""
    with pytest.raises(NondeterminismError):
        await replayer(changed).replay_workflow(history_of(HISTORIES / f"{name}.json"))


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_a_recorded_history_is_anonymous(path: Path) -> None:
    """No host, user, path, telephone number or signed statement is in a recorded history."""
    assert set(re.findall(r'"identity":"([^"]*)"', path.read_text())) == {IDENTITY}
    texts = list(texts_in(json.loads(path.read_text())))
    assert len(texts) > 100
    for text in texts:
        assert socket.gethostname() not in text
        assert not re.search(r"@|/(work|tmp|root|home|Users|var)\b|\+\d{9}|\b49\d{11}\b|eyJ", text)
