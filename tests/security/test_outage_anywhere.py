"""Outages of the running system: Temporal, a worker, the database, the SMS gateway.

Six loading requests stand before each step of the ceremony when something goes away, and all six
steps are taken at once. What was answered 503 is taken when the very same call comes again; what
was answered 202 is durable. Each load ends LOADED, with one key and no SMS twice.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Final

import httpx
import pytest
import pytest_asyncio

from ceremony.stages import Stage
from holdings import Role
from records.engines import sqlite_path
from tests.support.attacked import TABLES, Bench
from tests.support.genuine import APPROVAL, CODE, Ceremony, eventually
from tests.support.phonecompany import PhoneCompany
from tests.support.standstill import Standstill

pytestmark = pytest.mark.asyncio(loop_scope="session")

WORKERS: Final[tuple[Role, ...]] = ("keys", "ceremony")
AFTER: Final = {
    "application": Stage.AWAITING_REVIEW,
    "decision": Stage.AWAITING_CONFIRMATION,
    "confirmation": Stage.AWAITING_RECEIPT,
    "receipt": Stage.LOADED,
}
DONE: Final = "is complete"
LATE_STEPS: Final = ("application", "decision", "confirmation", "receipt")


@contextmanager
def locked(bench: Bench) -> Iterator[None]:
    """Somebody holds the database's write lock and does not let go."""
    if sqlite_path(bench.url) is None:
        with bench.database.write() as session:
            connection = session.connection()
            connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
            for table in TABLES:
                connection.exec_driver_sql(f"LOCK TABLE {table} IN EXCLUSIVE MODE")
            yield
        return
    holder = sqlite3.connect(bench.home.path / "keyfill.db", isolation_level=None, timeout=15)
    try:
        holder.execute("BEGIN EXCLUSIVE")
        yield
        holder.execute("ROLLBACK")
    finally:
        holder.close()


@pytest_asyncio.fixture(loop_scope="session")
async def repaired(bench: Bench) -> AsyncIterator[Bench]:
    """The deployment; whatever a test left broken is repaired for the next one."""
    yield bench
    if bench.server.process.exit is not None:
        await bench.start_temporal()
    for role in WORKERS:
        if not bench.runs(role):
            await bench.start_worker(role)


async def heard(company: PhoneCompany, number: str, what: str) -> list[str]:
    """Wait for a number's messages that match."""
    return await eventually(lambda: company.texts(number, what) or None, what)


def unavailable(answer: httpx.Response, code: str) -> bool:
    """Whether it is the documented answer to an outage: 503, the code, and when to come back."""
    said = (answer.status_code, answer.json()["code"])
    return said == (503, code) and int(answer.headers["Retry-After"]) > 0


async def test_temporal_killed_before_every_step_is_503_and_loses_nothing(repaired: Bench) -> None:
    """Temporal is killed: every statement is 503 with Retry-After; back, the same ones are taken.

    Then the workers are killed too: what Temporal has acknowledged (202) outlives its own death,
    and is done without anybody asking again.
    """
    bench = repaired
    scene = await Standstill.ready(bench)
    await bench.kill_temporal()
    for step, answer in (await scene.act()).items():
        assert unavailable(answer, "temporal-unavailable"), (step, answer.text)
    ready = await bench.http().get("/readyz")
    assert (ready.status_code, ready.json()["checks"]["temporal"]) == (503, "away")
    await bench.start_temporal()
    for step, answer in (await scene.again()).items():
        assert answer.status_code in (200, 201, 202), (step, answer.text)
    further = await scene.onward()
    for role in WORKERS:
        await bench.kill(role)
    for step, answer in (await further.act(patient=False)).items():
        assert answer.status_code == 202, (step, answer.text)
    await bench.kill_temporal()
    await bench.start_temporal()
    for role in WORKERS:
        await bench.start_worker(role)
    await further.loads["sms-code"].sends("code-1")
    for step, stage in AFTER.items():
        await further.loads[step].reaches(stage)
    # The same calls fetch the answers that were due.
    await further.again()
    await scene.finish()


async def test_a_locked_database_is_503_and_loses_nothing(repaired: Bench) -> None:
    """Nobody can write to the database: every step is 503 with Retry-After, reading goes on.

    Back, the same calls are taken. A statement that was acknowledged before is judged as soon as
    the lock is gone; and a key whose token could not be published is neither lost nor made twice,
    though the key worker is started anew in between.
    """
    bench = repaired
    scene = await Standstill.ready(bench)
    waiting = await Standstill.ready(bench, ("application", "decision"))
    await bench.kill("ceremony")
    for step, answer in (await waiting.act(patient=False)).items():
        assert answer.status_code == 202, (step, answer.text)
    with locked(bench):
        # It has what was acknowledged to judge, and cannot write.
        await bench.start_worker("ceremony")
        for step, answer in (await scene.act()).items():
            assert unavailable(answer, "database-unavailable"), (step, answer.text)
        bearer = {"Authorization": f"Bearer {scene.loads['decision'].status_token}"}
        path = f"/v1/loading-requests/{scene.loads['decision'].request_id}"
        assert (await scene.loads["decision"].http.get(path, headers=bearer)).status_code == 200
    for step, load in waiting.loads.items():
        await load.reaches(AFTER[step])
    await scene.again()
    await _unpublished(bench, waiting.loads["decision"])
    await scene.finish()
    await waiting.finish()


async def test_an_sms_gateway_away_holds_up_nobody_and_sends_nothing_twice(repaired: Bench) -> None:
    """Twilio refuses connections: the ceremony goes on, and every SMS comes once when it is back.

    And Twilio hangs up without an answer: such a message may have been sent, so it never is again;
    the administrator asks for another.
    """
    bench = repaired
    company = PhoneCompany()
    scene = await Standstill.ready(bench, ("sms-code", *LATE_STEPS))
    await bench.stop("ceremony")
    await bench.start_worker("ceremony", **company.settings)
    try:
        answers = await scene.act()
        assert {answer.status_code for answer in answers.values()} <= {200, 202}, answers
        assert scene.loads["decision"].stage is Stage.AWAITING_CONFIRMATION
        assert scene.loads["receipt"].stage is Stage.LOADED
        await asyncio.sleep(1)
        assert company.messages == []
        company.open()
        places = {step: load.place for step, load in scene.loads.items()}
        due = {
            places["sms-code"].first.number: CODE.pattern,
            places["application"].second.number: "awaits your review",
            places["decision"].first.number: APPROVAL.pattern,
            places["receipt"].first.number: DONE,
        }
        for number, what in due.items():
            assert len(await heard(company, number, what)) == len(company.texts(number)) == 1
        await _finish_by_phone(scene, company)
        await _unanswered(bench, company)
    finally:
        company.close()
        await bench.stop("ceremony")


async def _finish_by_phone(scene: Standstill, company: PhoneCompany) -> None:
    """Load every key with the codes that the telephone company carried, and count what it took."""
    for step, load in scene.loads.items():
        first, second = load.place.first.number, load.place.second.number
        if load.stage is Stage.AWAITING_APPLICATION:
            (text,) = await heard(company, first, CODE.pattern)
            await load.apply(code=CODE.findall(text)[0])
        if load.stage is Stage.AWAITING_REVIEW:
            await load.to(Stage.AWAITING_CONFIRMATION)
        if load.stage is Stage.AWAITING_CONFIRMATION:
            (text,) = await heard(company, first, APPROVAL.pattern)
            load.bench.expected.add(load.request_id)
            assert (await load.confirm(code=APPROVAL.findall(text)[0])).status_code == 200
        await load.to(Stage.LOADED)
        assert load.account.states == ["active"], step
        await heard(company, first, DONE)
        for number in (first, second):
            texts = company.texts(number)
            assert len(texts) == len(set(texts)), step
        # Before the outage the outbox carried them: together each was sent once.
        carried = len(load.steps()) + len(company.texts(first)) + len(company.texts(second))
        assert carried == 4, (step, load.steps())


async def _unanswered(bench: Bench, company: PhoneCompany) -> None:
    load = await Ceremony.open(bench)
    company.silent = True
    assert (await load.ask_code()).status_code == 202
    sql = "SELECT status FROM sms_messages WHERE request_id = ?"
    ambiguous = (sql, load.request_id)
    await eventually(lambda: bench.value(*ambiguous) == "ambiguous" or None, "the outcome")
    company.silent = False
    # Asked again within the minute it is the same code; it is not sent again.
    assert (await load.ask_code()).json()["n"] == 1
    await asyncio.sleep(1)
    assert len(company.texts(load.place.first.number)) == 1


async def _unpublished(bench: Bench, load: Ceremony) -> None:
    """Release a key while nobody can write to the records, and start the key worker anew."""
    await load.approval_code()
    bench.expected.add(load.request_id)
    await bench.kill("keys")
    load.patient = False
    assert (await load.confirm()).status_code == 202
    load.patient = True
    with locked(bench):
        await bench.start_worker("keys")
        await eventually(lambda: load.account.keys or None, "the key in the journal")
        made = load.account
        assert bench.value("SELECT count(*) FROM tokens WHERE request_id = ?", load.request_id) == 0
        # Killed, its activity would be tried again only after its 30 seconds.
        await bench.stop("keys")
        await bench.start_worker("keys")
    assert (await load.again()).status_code == 200
    assert load.account == made
