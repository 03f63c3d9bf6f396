"""Outages: what the API says when Temporal, the workers or the database are away."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from api.signalled import AGAIN_AFTER
from tests.support.acts import Act
from tests.support.apihouse import House
from tests.support.databases import taken_away

KINDS = ["request", "application", "decision", "confirmation", "receipt", "cancellation"]


@pytest_asyncio.fixture
async def hasty(tmp_path: Path) -> AsyncIterator[House]:
    """A house that waits a moment only for a verdict."""
    made = House.make(tmp_path, wait_seconds=0.05)
    yield made
    await made.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_without_a_verdict_the_answer_is_202_and_the_same_post_fetches_it(
    hasty: House, kind: str
) -> None:
    """A signal that no worker has taken yet: 202, stage, version, Location; later the answer."""
    act = await Act.ready(hasty, kind)
    if kind == "request":
        act.load.request = hasty.request(about=hasty.world.other)
    said = act.load.request if kind == "request" else act.statement()
    hasty.ceremonies.silent = True
    response = await act.send(said)
    assert response.status_code == 202
    assert response.headers["location"] == f"/v1/loading-requests/{act.load.id}"
    if kind == "request":
        assert response.json() == {"stage": None, "version": 0}
    else:
        assert response.json()["version"] >= 1
    hasty.ceremonies.silent = False
    hasty.world.pass_time(AGAIN_AFTER)
    assert (await act.send(said)).status_code in (200, 201)


@pytest.mark.parametrize("kind", KINDS)
async def test_who_asks_again_while_it_is_pending_signals_nothing(hasty: House, kind: str) -> None:
    """Temporal hears a statement once in 15 seconds, however often its caller repeats it."""
    act = await Act.ready(hasty, kind)
    if kind == "request":
        act.load.request = hasty.request(about=hasty.world.other)
    said = act.load.request if kind == "request" else act.statement()
    hasty.ceremonies.silent = True
    told = len(hasty.ceremonies.told)
    for waited in (0, 1, AGAIN_AFTER - 2):
        hasty.world.pass_time(waited)
        assert (await act.send(said)).status_code == 202
        assert len(hasty.ceremonies.told) == told + 1
    hasty.world.pass_time(1)
    assert (await act.send(said)).status_code == 202
    assert len(hasty.ceremonies.told) == told + 2


@pytest.mark.parametrize("kind", KINDS)
async def test_while_temporal_is_away_the_same_post_may_be_repeated(
    house: House, kind: str
) -> None:
    """503 with Retry-After; afterwards the very same statement is taken, though grown stale."""
    act = await Act.ready(house, kind)
    said = act.statement()
    house.ceremonies.away = True
    response = await act.send(said)
    assert (response.status_code, response.json()["code"]) == (503, "temporal-unavailable")
    house.ceremonies.away = False
    house.world.pass_time(100)
    assert (await act.send(said)).status_code in (200, 201)


async def test_a_lost_workflow_answers_wrong_stage(house: House) -> None:
    """If the workflow is gone while the projection is open, the answer is 409 from it."""
    act = await Act.ready(house, "cancellation")
    house.ceremonies.states.clear()
    response = await act.send(act.statement())
    assert (response.status_code, response.json()["code"]) == (409, "wrong-stage")
    assert response.json()["stage"] == "AWAITING_APPLICATION"


async def test_without_the_database_everything_is_503(house: House, tmp_path: Path) -> None:
    """A closed database: 503 with Retry-After for statements, sessions and reads alike."""
    act = await Act.ready(house, "cancellation")
    said, status = act.statement(), act.load.opened["status_token"]
    house.backstage.database.close()
    answers = [
        await act.send(said),
        await house.get("/v1/reviews", session="A" * 43),
        await house.get(act.load.path, session=status),
        await house.get("/readyz"),
    ]
    assert [one.status_code for one in answers] == [503] * 4
    codes = [one.json()["code"] for one in answers]
    assert codes == ["database-unavailable"] * 3 + ["not-ready"]
    assert (await house.get("/healthz")).status_code == 200


@pytest.mark.parametrize(
    ("away", "checks"),
    [
        ("nothing", None),
        ("temporal", {"database": "ok", "temporal": "away", "key_worker": "away"}),
        ("key worker", {"database": "ok", "temporal": "ok", "key_worker": "away"}),
    ],
)
async def test_readiness_names_what_is_away(
    house: House, away: str, checks: dict[str, str] | None
) -> None:
    """Ready is: database, Temporal, and a key worker that asks for work."""
    house.ceremonies.away = away == "temporal"
    house.ceremonies.key_worker = away != "key worker"
    response = await house.get("/readyz")
    assert response.status_code == (200 if checks is None else 503)
    if checks is not None:
        assert response.json()["checks"] == checks


async def test_a_database_that_was_taken_away_is_503(house: House) -> None:
    """A database that vanished is an outage, not a fault of the caller or of ours."""
    with taken_away(house.backstage.url):
        house.backstage.database._readers.dispose()
        house.backstage.database._writer.dispose()
        response = await house.get("/v1/reviews", session="A" * 43)
    assert (response.status_code, response.json()["code"]) == (503, "database-unavailable")
