"""What real processes expose to Prometheus; alerts and dashboard ask for nothing else.

Both workers run as processes of their own and load a key; the API answers in this one. What only an
HSM tells is recorded by the same metrics, as the reconciler tells it.
"""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import pytest_asyncio

from ceremony import names
from ceremony.stages import Stage
from engine.client import TemporalTarget, connect
from engine.embedded import LOOPBACK, free_port
from engine.processes import ProcessGroup
from records import messages
from records.tables.sms_message import SmsStatus
from telemetry.endpoint import make_runtime
from telemetry.metrics import WorkerMetrics
from tests.support.apihouse import House
from tests.support.backstage import PATIENCE, Backstage
from tests.support.developmenthome import HomeWorld, start_worker, write_home
from tests.support.load import Load
from tests.support.monitoring import (
    DASHBOARD,
    SCRAPED,
    alerts,
    exposed,
    groupings,
    meets,
    panels,
    parsed,
    sample,
    selectors,
    values,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")

ROLES: Final = ("ceremony", "keys")
STRANGER: Final = "WorkflowOfAStranger"
SHAPES: Final = re.compile(r"[A-Za-z0-9_./{}:+-]{1,64}")
DIGITS: Final = re.compile(r"\d{4,}|[0-9a-f]{32,}")
OURS: Final = {
    "access",
    "act",
    "activity",
    "alarm",
    "certificate",
    "finding",
    "kind",
    "le",
    "method",
    "operation",
    "outcome",
    "part",
    "purpose",
    "reason",
    "route",
    "stage",
    "status",
    "verdict",
    "why",
    "window",
}
"""Every label of Keyfill's own metrics; each has values of a closed set."""


@dataclass(frozen=True)
class Exposed:
    """Expositions by process, and what must be in none of them."""

    texts: dict[str, str]
    secrets: tuple[str, ...]

    @property
    def samples(self) -> dict[str, set[str]]:
        """Every sample's name with its labels, over all processes."""
        found: dict[str, set[str]] = {"up": set()}
        for text in self.texts.values():
            for name, labels in exposed(text).items():
                found.setdefault(name, set()).update(labels)
        return found

    @property
    def values(self) -> dict[tuple[str, str], set[str]]:
        """Every label's values by the sample's name and the label, over all processes."""
        found: dict[tuple[str, str], set[str]] = {}
        for text in self.texts.values():
            for place, told in values(text).items():
                found.setdefault(place, set()).update(told)
        return found


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """An API."""
    made = House.make(tmp_path_factory.mktemp("house"))
    yield made
    await made.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def everything(
    tmp_path_factory: pytest.TempPathFactory,
    new_namespace: Callable[[], Awaitable[TemporalTarget]],
    house: House,
) -> Exposed:
    """What all processes expose after one load, one stranger's workflow and one refusal."""
    home, target = tmp_path_factory.mktemp("home"), await new_namespace()
    stage = Backstage.make(home, HomeWorld.make(now=int(time.time())))
    write_home(home, stage)
    addresses = {role: f"{LOOPBACK}:{free_port()}" for role in (*ROLES, "hsm")}
    client = await connect(target)
    async with ProcessGroup() as group:
        for role in ROLES:
            beats = {"heartbeat_file": str(home / f"{role}.alive")}
            await start_worker(group, home, target, role, metrics_address=addresses[role], **beats)
        load = await Load.begin(stage, client)
        await load.begin_code()
        load.codes = 1
        for told, act in (
            ("code-1", load.apply),
            ("review", load.decide),
            ("approved", load.confirm),
        ):
            # Sent before the next act: an SMS that is overtaken is not sent any more.
            await sent(load, told)
            assert (await act()).accepted
        assert (await load.receive()).accepted
        assert (await load.result()).stage is Stage.LOADED
        await client.start_workflow(
            STRANGER, id="a-strangers-workflow", task_queue=names.CEREMONY_QUEUE
        )
        texts = {role: await read(addresses[role]) for role in ROLES}
        for role, sign in (
            ("ceremony", "temporal_workflow_task_execution_failed_total"),
            ("keys", "temporal_activity_schedule_to_start_latency_seconds_count{"),
        ):
            async with asyncio.timeout(PATIENCE):
                while sign not in texts[role]:
                    await asyncio.sleep(0.1)
                    texts[role] = await read(addresses[role])
    runtime = make_runtime(addresses["hsm"])
    WorkerMetrics(runtime.metric_meter).compared({"unknown": 0, "kept": 1})
    texts["hsm"] = await read(addresses["hsm"])
    texts["api"] = await read_api(house)
    stage.close()
    world = stage.world
    secrets = (
        world.terminal.terminal_no,
        load.request_id,
        load.request.digest,
        world.first.staff_no,
        world.second.person,
        world.first.number,
        world.first.kid,
    )
    return Exposed(texts, secrets)


async def sent(load: Load, what: str) -> None:
    """Wait until the records say that an SMS of a load was sent."""

    def look() -> bool | None:
        with load.stage.database.read() as session:
            row = messages.message(session, f"{load.request_id}/sms/{what}")
        return True if row is not None and row.status is SmsStatus.SENT else None

    await load.stage.until(look)


async def read(address: str) -> str:
    """Read an endpoint as Prometheus does."""
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        answer = await client.get(f"http://{address}/metrics")
    assert answer.status_code == 200
    return answer.text


async def read_api(house: House) -> str:
    """Let the API answer, refuse and fail, and read what it exposes."""
    await house.open()
    await house.client.get("/v1/loading-requests")
    await house.post("/v1/sessions", {"statement": "a.b.c"})
    with house.backstage.database.write() as session:
        session.connection().exec_driver_sql(
            "INSERT INTO sync_runs (run_id, started_at, finished_at, added, changed, removed, "
            "unchanged, refused_json) VALUES ('r', 1, 1, 0, 0, 0, 0, '[]')"
        )
    house.ceremonies.away = True
    await house.client.get("/readyz")
    return (await house.client.get("/metrics")).text


def expressions() -> list[tuple[str, str]]:
    """Every expression of the alerts and of the dashboard, and where it stands."""
    found = [(rule["alert"], rule["expr"]) for rule in alerts()]
    for panel in panels():
        found += [(panel["title"], target["expr"]) for target in panel["targets"]]
    return found


async def test_every_expression_reads_what_exists(everything: Exposed) -> None:
    """Each metric is exposed by a real process, with the labels that are asked for and kept."""
    samples = everything.samples
    for where, expression in expressions():
        tree = parsed(expression)
        found = list(selectors(tree))
        assert found, where
        for selector in found:
            assert selector.name in samples, f"{where}: {selector.name}"
            labels = {one.name for one in selector.matchers.matchers}
            assert labels <= samples[selector.name] | SCRAPED, f"{where}: {labels}"
        for kept, over in groupings(tree):
            known = SCRAPED.union(*(samples[name] for name in over))
            assert kept <= known, f"{where}: {kept - known}"


async def test_every_value_that_is_asked_for_exists(everything: Exposed) -> None:
    """No expression waits for a word that no process ever says."""
    told = everything.values
    for where, expression in expressions():
        for selector in selectors(parsed(expression)):
            for matcher in selector.matchers.matchers:
                if matcher.name in SCRAPED:
                    continue
                known = told[selector.name, matcher.name]
                assert any(meets(matcher, value) for value in known), f"{where}: {matcher.value}"


async def test_no_metric_of_ours_is_left_out(everything: Exposed) -> None:
    """What Keyfill counts is in the dashboard: nobody counts for nobody."""
    shown = {
        re.sub(r"_(bucket|sum|count)$", "", selector.name)
        for _, expression in expressions()
        for selector in selectors(parsed(expression))
    }
    ours = {
        re.sub(r"_(bucket|sum|count|created)$", "", name)
        for name in everything.samples
        if name.startswith("keyfill_")
    }
    assert {name.removesuffix("_total") for name in ours} == {
        name.removesuffix("_total") for name in shown if name.startswith("keyfill_")
    }


async def test_labels_are_of_closed_sets(everything: Exposed) -> None:
    """No label is about a person, a terminal, a request, a number or a path."""
    for (name, label), told in everything.values.items():
        if name.startswith("keyfill_"):
            assert label in OURS, (name, label)
            assert len(told) <= 120, (name, label)
        if label in ("le", "namespace"):
            continue
        for value in told:
            assert SHAPES.fullmatch(value), (name, label, value)
            assert not DIGITS.search(value), (name, label, value)
    for process, text in everything.texts.items():
        for secret in everything.secrets:
            assert secret not in text, (process, secret)


async def test_a_load_is_counted_where_it_happens(everything: Exposed) -> None:
    """Four verdicts, three SMS and one key: each in the process that did it."""
    ceremony, keys = everything.texts["ceremony"], everything.texts["keys"]
    for kind in ("request", "application", "decision", "confirmation", "receipt"):
        accepted = sample(ceremony, "keyfill_verdicts_total", kind=kind, verdict="accepted")
        assert accepted == 1, kind
    for purpose in ("sms-code", "review", "approved", "ended"):
        assert sample(ceremony, "keyfill_sms_total", purpose=purpose, outcome="sent") == 1
    for act, outcome in (("release", "released"), ("settle", "active")):
        assert sample(keys, "keyfill_key_answers_total", act=act, outcome=outcome) == 1
    for operation in ("create", "make-token"):
        calls = sample(keys, "keyfill_key_manager_calls_total", operation=operation, outcome="done")
        assert calls == 1, operation
        timed = sample(keys, "keyfill_key_manager_seconds_count", operation=operation)
        assert timed == 1, operation
    ends = sample(keys, "keyfill_kdh_certificate_end_seconds", certificate="kdh")
    assert ends is not None and ends > time.time()
    for text in (ceremony, keys):
        beat = sample(text, "keyfill_worker_beat_seconds")
        assert beat is not None and abs(beat - time.time()) < 3 * PATIENCE
    assert sample(ceremony, "keyfill_refusals_total", reason="sms-code-wrong") == 0


async def test_the_sdk_names_what_a_stranger_made_up(everything: Exposed) -> None:
    """Known and documented: a workflow's type is a label even if there is no such workflow."""
    types = everything.values["temporal_workflow_task_execution_failed_total", "workflow_type"]
    assert STRANGER in types


async def test_the_dashboard_is_one(everything: Exposed) -> None:
    """Grafana finds panels in a grid, with ids of their own, on a data source that is chosen."""
    told: dict[str, Any] = json.loads(Path(DASHBOARD).read_text())
    assert {one["title"] for one in told["panels"] if one["type"] == "row"} >= {
        "Traffic",
        "Stages and ages",
        "Refusals",
        "SMS",
        "Key worker",
        "Temporal",
        "Processes",
    }
    ids = [one["id"] for one in told["panels"]]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for one in told["panels"]:
        place = one["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, one["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    for one in panels():
        assert one["description"], one["title"]
        for target in one["targets"]:
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    (variable,) = told["templating"]["list"]
    assert (variable["name"], variable["type"]) == ("datasource", "datasource")
    assert everything.texts.keys() == {*ROLES, "hsm", "api"}
