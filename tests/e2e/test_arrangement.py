"""The arrangement of docker-compose.yml, as processes by hand: what it does and survives."""

import asyncio
import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ceremony.names import loading_request_id
from commands.demostage import DemoStage
from commands.scenario import APPROVAL, CODE, REVIEW, Act, Colleague, Scenario
from engine.client import TemporalTarget, connect
from keymanagement.journal import Journal
from settings import Settings
from tests.support.arrangement import AUDIENCE, NAMESPACE, Arrangement, arrangement
from tests.support.payloads import payloads_of, sealed

ANA = Colleague("ana", "A1001", "Ana", "+4915112345671")
BEN = Colleague("ben", "A1002", "Ben", "+4915112345672")
SCENARIOS = (
    Scenario("ATM-0001", "Main Street", ANA, BEN),
    Scenario("ATM-0002", "Station", ANA, BEN),
)
PATIENCE = 150
# What the SDK's core writes itself (ADR 19): a local activity's id and type, a patch's id.
IN_CLEAR = ("details[data].payloads", "details[patch-data].payloads")


class Accident:
    """Passes SMS on; when the first review notice comes, an API and a ceremony worker die."""

    def __init__(self, made: Arrangement) -> None:
        """Bind what is to be hurt."""
        self._made = made
        self._lock = asyncio.Lock()
        self.happened = False

    async def read(self, who: Colleague, terminal_no: str, pattern: re.Pattern[str]) -> str:
        """As `commands.scenario.Outbox.read`."""
        text = await self._made.read(who, terminal_no, pattern)
        async with self._lock:
            if pattern is REVIEW and not self.happened:
                self.happened = True
                await self._made.kill("api-1")
                await self._made.kill("ceremony-1")
        return text


@pytest.mark.once("it is on PostgreSQL whatever the run is about")
async def test_losing_an_api_and_a_worker_loses_nothing(tmp_path: Path) -> None:
    """Two loads go on when an API and a ceremony worker are killed in their midst; all is sealed.

    With production settings, PostgreSQL, mutual TLS to Temporal and no secret in an environment;
    every line that a process logs is a JSON object.
    """
    async with arrangement(tmp_path) as made:
        for who in (ANA, BEN):
            made.enrol(who)
        for one in SCENARIOS:
            made.install(one.terminal_no, one.first, one.second)
        assert json.loads(await made.keyfill("terminals", "sync", "--json"))["added"] == 2
        accident = Accident(made)
        async with DemoStage(made.home, made.server, lambda *_: None) as stage:
            acts = [_act(one, stage, accident) for one in SCENARIOS]
            async with asyncio.timeout(PATIENCE):
                outcomes = await asyncio.gather(*(act.play() for act in acts))
        assert accident.happened
        assert all(one.as_expected for one in outcomes), outcomes
        assert made.api is not None
        assert len(made.api.taken) == 2, "the proxy used both APIs"
        _one_active_key_each(made)
        _nothing_sent_twice(made)
        for one in SCENARIOS:
            await _all_sealed(made, one.terminal_no)
        assert (made.home.path / "ceremony-2").exists(), "the survivor gives signs of life"
        _every_line_is_json(made)


def _act(scenario: Scenario, stage: DemoStage, accident: Accident) -> Act:
    return Act(
        scenario,
        server=stage.server,
        audience=AUDIENCE,
        folder=stage.home.terminals / scenario.terminal_no,
        keys=stage.home.administrators,
        terminal=stage.terminal,
        keyfill=stage.keyfill,
        outbox=accident,
    )


def _every_line_is_json(made: Arrangement) -> None:
    """And says at least which process it is, what happened and when."""
    roles = set()
    for process in made.processes.values():
        for line in process.output().splitlines():
            said = json.loads(line)
            assert said["event"] and said["timestamp"] and said["logger"]
            roles.add(said["role"])
    assert roles == {"api", "ceremony", "keys"}


def _one_active_key_each(made: Arrangement) -> None:
    """The journal, whose every MAC is right, has one key for each terminal, and it is active."""
    settings = Settings.unchecked("keys", home=made.home.path)
    with Journal(made.home.journal, settings.secret("kek")) as journal:
        journal.verify()
    with closing(sqlite3.connect(made.home.journal)) as file:
        sql = "SELECT r.terminal_no, k.state FROM keys k JOIN releases r USING (request_id)"
        keys = sorted(file.execute(sql))
    assert keys == [(one.terminal_no, "active") for one in SCENARIOS]


def _nothing_sent_twice(made: Arrangement) -> None:
    """The provider had each text once: one code, one approval, one review for each load."""
    for one in SCENARIOS:
        about = f"terminal {one.terminal_no},"
        first = made.company.texts(one.first.number, about)
        second = made.company.texts(one.second.number, about)
        assert sum(bool(CODE.search(text)) for text in first) == 1
        assert sum(bool(APPROVAL.search(text)) for text in first) == 1
        assert sum(bool(REVIEW.search(text)) for text in second) == 1


async def _all_sealed(made: Arrangement, terminal_no: str) -> None:
    """Temporal's own copy of the workflow has no payload in clear but what ADR 19 lists."""
    client = await connect(TemporalTarget(made.temporal.target.address, NAMESPACE))
    handle = client.get_workflow_handle(loading_request_id(terminal_no))
    history = await handle.fetch_history()
    found = [
        (path, payload)
        for event in history.events
        for path, payload in payloads_of(event)
        if not path.endswith(IN_CLEAR) and "search_attributes" not in path
    ]
    assert len(found) > 10
    assert [path for path, payload in found if not sealed(payload)] == []
