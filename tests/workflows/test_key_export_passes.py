"""A pass brings the back office every key that it lacks, over hiccups, and stops at an outage."""

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psec
import pytest
from pydantic import SecretStr
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from activities.key_exports import BackOffice
from ceremony import names
from ceremony.keyexport import (
    ExportAnswer,
    ExportMessage,
    ExportProblem,
    ExportState,
)
from ceremony.messages import ExportCommand, ExportOrder, ExportReport
from ceremony.stages import Stage
from engine.client import TemporalTarget
from gateways.keyexport import HttpKeyExport
from keymanagement.checkvalue import key_check_value
from keymanagement.port import KeyAlgorithm
from keyworker import key_export
from settings import Settings, SettingsError
from taskqueues import THREADS, make_worker
from tests.support.backstage import PATIENCE, Backstage
from tests.support.developmenthome import write_home
from tests.support.exportoffice import ExportOffice, OfficeAnswer
from tests.support.exports import EXPORT_KEY, Exports, workers
from tests.support.load import Load
from worker import back_office, repeat_exports, serve

ONE, TWO, THREE, FOUR, FIVE = (letter * 24 for letter in "ABCDE")


@dataclass
class Balky:
    """A back office that answers about all keys except the `silent` ones.

    Its silence is one that Temporal does not try again: these tests need not wait for that.
    """

    office: BackOffice
    silent: set[str]
    asked: list[str] = field(default_factory=list)

    def deliver(self, message: ExportMessage) -> ExportAnswer:
        """See `activities.key_exports.BackOffice`."""
        self.asked.append(message.request_id)
        if message.request_id in self.silent:
            raise ApplicationError("silence", non_retryable=True)
        return self.office.deliver(message)


@pytest.fixture
def office() -> Iterator[ExportOffice]:
    """A back office that holds the export key."""
    server = ExportOffice(export_key=EXPORT_KEY)
    yield server
    server.close()


@pytest.fixture
def exports(stage: Backstage, office: ExportOffice) -> Iterator[Exports]:
    """The stage's exports, delivered to that back office."""
    with httpx.Client() as client:
        yield Exports(stage, HttpKeyExport(f"{office.origin}/keys", "token", client, timeout=2))


async def a_pass(client: Client, *, deliver: bool = True) -> ExportReport:
    """Run one pass."""
    report: ExportReport = await client.execute_workflow(
        names.KEY_EXPORT,
        ExportOrder(deliver=deliver),
        id=names.KEY_EXPORT_ID,
        task_queue=names.CEREMONY_QUEUE,
        result_type=ExportReport,
    )
    return report


async def test_a_loaded_key_comes_to_the_back_office(
    exports: Exports, office: ExportOffice, client: Client
) -> None:
    """From a whole ceremony: the back office has the very key that the terminal proved."""
    async with workers(exports, client):
        load = await (await Load.open(exports.stage, client)).to(Stage.AWAITING_CONFIRMATION)
        await load.confirm()
        assert await a_pass(client) == ExportReport(wrapped=0, confirmed=0, refused=0)
        await load.receive()
        result = await load.result()
        assert await a_pass(client) == ExportReport(wrapped=1, confirmed=1, refused=0)
    held = exports.stage.journal.key_of(load.request_id)
    assert held is not None
    digest, key = office.stored[load.request_id]
    assert digest == exports.row(load.request_id).block_digest
    assert key_check_value(held.algorithm, key) == result.kcv


async def test_a_pass_works_off_what_is_due_over_a_hiccup(
    exports: Exports, office: ExportOffice, client: Client
) -> None:
    """One is answered 500 once and confirmed by the retry; one that conflicts does not hold up."""
    for number, one in enumerate((ONE, TWO, THREE), 1):
        exports.activate(one, f"ATM-000{number}")
    office.answers.append(OfficeAnswer(b"", 500))
    office.stored[TWO] = ("another block", b"another key")
    async with workers(exports, client):
        first = await a_pass(client)
        again = await a_pass(client)
    assert first == ExportReport(wrapped=3, confirmed=2, refused=1)
    assert again == ExportReport(wrapped=0, confirmed=0, refused=0)
    states = {one: exports.row(one).state for one in (ONE, TWO, THREE)}
    assert states == {
        ONE: ExportState.CONFIRMED,
        TWO: ExportState.REFUSED,
        THREE: ExportState.CONFIRMED,
    }
    assert [one.body["request_id"] for one in office.asked] == [ONE, ONE, TWO, THREE]


async def test_a_pass_that_only_wraps_asks_nobody(
    exports: Exports, office: ExportOffice, client: Client
) -> None:
    """For back offices that fetch files; a later pass delivers the same blocks."""
    exports.activate(ONE)
    async with workers(exports, client):
        report = await a_pass(client, deliver=False)
        assert report == ExportReport(wrapped=1, confirmed=0, refused=0)
        assert (exports.row(ONE).state, office.asked) == (ExportState.PENDING, [])
        digest = exports.row(ONE).block_digest
        assert (await a_pass(client)).confirmed == 1
    assert office.stored[ONE][0] == digest


async def test_an_outage_ends_the_pass_and_the_next_one_goes_on(
    exports: Exports, office: ExportOffice, client: Client
) -> None:
    """After three keys those behind them are not tried in vain, and nothing is lost."""
    for number, one in enumerate((ONE, TWO, THREE, FOUR, FIVE), 1):
        exports.activate(one, f"ATM-000{number}")
    assert exports.office is not None
    exports.office = balky = Balky(exports.office, {ONE, TWO, THREE, FOUR, FIVE})
    async with workers(exports, client):
        report = await a_pass(client)
        assert report == ExportReport(wrapped=3, confirmed=0, refused=0, stopped="back-office")
        assert balky.asked == [ONE, TWO, THREE]
        assert exports.row(ONE).state is ExportState.SENT
        balky.silent.clear()
        assert await a_pass(client) == ExportReport(wrapped=2, confirmed=5, refused=0)
    assert len(office.stored) == 5


async def test_keys_without_an_answer_hold_up_no_other(
    exports: Exports, office: ExportOffice, client: Client
) -> None:
    """An answer between two silences shows that the back office is there; the report says both."""
    for number, one in enumerate((ONE, TWO, THREE, FOUR, FIVE), 1):
        exports.activate(one, f"ATM-000{number}")
    assert exports.office is not None
    exports.office = balky = Balky(exports.office, {ONE, TWO, FOUR})
    async with workers(exports, client):
        report = await a_pass(client)
        assert report == ExportReport(wrapped=5, confirmed=2, refused=0, stopped="back-office")
        assert set(office.stored) == {THREE, FIVE}
        balky.silent.clear()
        assert await a_pass(client) == ExportReport(wrapped=0, confirmed=3, refused=0)


async def test_a_key_that_cannot_be_wrapped_holds_up_no_other(
    exports: Exports, office: ExportOffice, client: Client
) -> None:
    """Its host's copy is under a KEK that is gone: it is refused, and the next one is delivered."""
    exports.activate(ONE, kek=bytes(32))
    exports.activate(TWO, "ATM-0002")
    async with workers(exports, client):
        assert await a_pass(client) == ExportReport(wrapped=1, confirmed=1, refused=1)
    assert set(office.stored) == {TWO}


async def test_a_worker_of_the_settings_delivers(
    exports: Exports,
    office: ExportOffice,
    client: Client,
    target: TemporalTarget,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Address and token from the settings, and a Schedule that it makes at its start."""
    write_home(tmp_path, exports.stage)
    folder = tmp_path / "secrets" / "ceremony"
    (folder / "keyfill_backoffice_token").write_text("token of the settings")
    for name, value in {
        "TEMPORAL_ADDRESS": target.address,
        "TEMPORAL_NAMESPACE": target.namespace,
        "BACKOFFICE_EXPORT_URL": f"{office.origin}/keys",
    }.items():
        monkeypatch.setenv(f"KEYFILL_{name}", value)
    exports.activate(ONE)
    with ThreadPoolExecutor(THREADS) as executor:
        async with make_worker(client, exports.keys(), executor):
            settings = Settings.for_role("ceremony", home=tmp_path)
            serving = asyncio.create_task(serve("ceremony", settings))
            handle = client.get_schedule_handle(names.KEY_EXPORT_ID)
            async with asyncio.timeout(PATIENCE):
                while not office.stored:
                    with contextlib.suppress(RPCError):
                        await handle.trigger()
                    await asyncio.sleep(0.2)
            signal.raise_signal(signal.SIGTERM)
            await serving
    tokens = {one.headers["authorization"] for one in office.asked}
    assert tokens == {"Bearer token of the settings"}
    assert set(office.stored) == {ONE}


def test_the_export_key_of_the_settings_is_used(exports: Exports, tmp_path: Path) -> None:
    """With one a block under it is made; without one every key is refused."""
    write_home(tmp_path, exports.stage)
    exports.activate(ONE)
    command = ExportCommand(request_id=ONE)
    stage = exports.stage
    without = key_export(Settings.for_role("keys", home=tmp_path), stage.journal, stage.database)
    assert without.export(command).refused is ExportProblem.EXPORT_OFF
    (tmp_path / "secrets" / "keys" / "keyfill_export_key").write_text(EXPORT_KEY.hex())
    within = key_export(Settings.for_role("keys", home=tmp_path), stage.journal, stage.database)
    assert within.export(command).refused is None
    _, key = psec.tr31.unwrap(EXPORT_KEY, exports.row(ONE).block)
    assert key_check_value(KeyAlgorithm.AES_128, key) == exports.kcvs[ONE]


@pytest.mark.parametrize("url", ["http://backoffice.example/keys", "https://a:b@c/", "http://["])
def test_an_unprotected_address_is_refused_at_the_start(url: str) -> None:
    """With the setting's name; none at all means that files are fetched."""
    settings = Settings(backoffice_export_url=url, backoffice_token=SecretStr("token"))
    with ExitStack() as stack, pytest.raises(SettingsError, match="BACKOFFICE_EXPORT_URL"):
        back_office(settings, stack)
    with ExitStack() as stack:
        assert back_office(Settings(), stack) is None


async def test_temporal_itself_repeats_the_passes(client: Client) -> None:
    """There is one Schedule, it does not overlap, and ends when no back office is set any more."""
    await repeat_exports(client, wanted=True)
    await repeat_exports(client, wanted=True)
    handle = client.get_schedule_handle(names.KEY_EXPORT_ID)
    described = await handle.describe()
    (interval,) = described.schedule.spec.intervals
    assert interval.every.total_seconds() == 60
    assert described.schedule.policy.overlap.name == "SKIP"
    await repeat_exports(client, wanted=False)
    await repeat_exports(client, wanted=False)
    with pytest.raises(RPCError):
        await handle.describe()
