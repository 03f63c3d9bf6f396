"""`keyfill keys export` on running workers: over HTTP, as a file, and what it shows."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import httpx
import psec
import pytest
from sqlalchemy import update
from sqlmodel import col
from temporalio.client import Client
from typer.testing import CliRunner, Result

from cli import app
from engine.client import TemporalTarget
from gateways.keyexport import HttpKeyExport
from keymanagement.checkvalue import key_check_value
from keymanagement.port import KeyAlgorithm
from records import audit
from records.tables.key import KeyRow, KeyState
from tests.support.backstage import Backstage
from tests.support.exportoffice import ExportOffice
from tests.support.exports import EXPORT_KEY, Exports, workers
from workflows import policies

ONE, TWO = "A" * 24, "B" * 24
Command = Callable[..., Awaitable[Result]]


@pytest.fixture
def office() -> Iterator[ExportOffice]:
    """A back office that holds the export key."""
    server = ExportOffice(export_key=EXPORT_KEY)
    yield server
    server.close()


@pytest.fixture
def exports(stage: Backstage, office: ExportOffice) -> Iterator[Exports]:
    """Two active keys, and deliveries to that back office."""
    with httpx.Client() as client:
        made = Exports(stage, HttpKeyExport(f"{office.origin}/keys", "token", client, timeout=2))
        made.activate(ONE)
        made.activate(TWO, "ATM-0002")
        yield made


@pytest.fixture
def export(tmp_path: Path, stage: Backstage, target: TemporalTarget) -> Command:
    """Runs the command against the stage's database and the test's namespace."""
    variables = {
        "KEYFILL_HOME": str(tmp_path),
        "KEYFILL_DATABASE_URL": stage.url,
        "KEYFILL_OUTBOX_KEY": "00" * 32,
        "KEYFILL_TEMPORAL_ADDRESS": target.address,
        "KEYFILL_TEMPORAL_NAMESPACE": target.namespace,
    }

    async def run(*arguments: str) -> Result:
        words = ("keys", "export", *arguments)
        return await asyncio.to_thread(CliRunner().invoke, app, words, env=variables)

    return run


def events(exports: Exports, request_id: str) -> list[str]:
    """What the audit trail says of a request's key."""
    with exports.stage.database.read() as session:
        return [one.event for one in audit.of_request(session, request_id)]


async def test_keys_are_pushed_and_shown(
    exports: Exports, office: ExportOffice, client: Client, export: Command
) -> None:
    """Confirmed ones leave the list; a refused one stays with its reason till it is tried anew."""
    office.stored[TWO] = ("another block", b"another key")
    before = await export()
    assert before.stdout.splitlines()[-1].startswith("not wrapped 2")
    async with workers(exports, client):
        pushed = await export("--push")
        assert pushed.exit_code == 3, pushed.output
        assert "wrapped 2  confirmed 1  refused 1" in pushed.stdout
        (shown,) = [json.loads(line) for line in (await export("--json")).stdout.splitlines()]
        assert (shown["request_id"], shown["state"]) == (TWO, "refused")
        assert shown["reason"] == "http-409"
        assert "key_block" not in shown
        del office.stored[TWO]
        assert (await export("--again", TWO)).exit_code == 0
        assert (await export("--push", "--json")).exit_code == 0
    assert set(office.stored) == {ONE, TWO}
    after = await export()
    assert after.stdout == "not wrapped 0  pending 0  sent 0  confirmed 2  refused 0\n"
    assert events(exports, TWO) == [
        "key-exported",
        "key-export-refused",
        "key-export-repeated",
        "key-exported",
        "key-export-confirmed",
    ]


async def test_keys_are_written_and_confirmed_by_files(
    exports: Exports, office: ExportOffice, client: Client, export: Command, tmp_path: Path
) -> None:
    """The file holds blocks that a second parser opens; answers come back the same way."""
    blocks, answers = tmp_path / "blocks.jsonl", tmp_path / "answers.jsonl"
    async with workers(exports, client):
        written = await export("--to", str(blocks))
        assert written.exit_code == 0, written.output
    assert office.asked == []
    assert blocks.stat().st_mode & 0o777 == 0o600
    said = []
    for line in blocks.read_text().splitlines():
        message = json.loads(line)
        header, key = psec.tr31.unwrap(EXPORT_KEY, message["key_block"])
        assert header.blocks["LB"] == f"{message['request_id']} {message['terminal_no']}"
        kcv = key_check_value(KeyAlgorithm(message["algorithm"]), key)
        assert kcv == exports.kcvs[message["request_id"]]
        names = ("request_id", "key_block_digest")
        said.append({**{name: message[name] for name in names}, "kcv": kcv})
    assert [one["request_id"] for one in said] == [ONE, TWO]
    said[1]["kcv"] = "ffffff"
    answers.write_text("\n".join(map(json.dumps, said)) + "\n")
    confirmed = await export("--confirm", str(answers))
    assert confirmed.exit_code == 3
    assert confirmed.stdout.splitlines() == [f"{ONE}  confirmed", f"{TWO}  refused  wrong-kcv"]
    assert events(exports, ONE) == ["key-exported", "key-export-written", "key-export-confirmed"]
    # An answer about a settled export changes nothing.
    answers.write_text(json.dumps({**said[0], "kcv": "ffffff"}))
    assert (await export("--confirm", str(answers))).stdout == f"{ONE}  confirmed\n"


async def test_a_retired_keys_block_is_not_written(
    exports: Exports, client: Client, export: Command, tmp_path: Path
) -> None:
    """The records may hold one, as after a restore: the file is of the keys that are active."""
    blocks = tmp_path / "blocks.jsonl"
    async with workers(exports, client):
        assert "Wrote 2" in (await export("--to", str(blocks))).output
        with exports.stage.database.write() as session:
            retired = update(KeyRow).where(col(KeyRow.request_id) == ONE)
            session.exec(retired.values(state=KeyState.RETIRED))
        assert "Wrote 1" in (await export("--to", str(blocks))).output
    (line,) = blocks.read_text().splitlines()
    assert json.loads(line)["request_id"] == TWO


DIGEST = "0" * 64
NO_KCV = {"request_id": ONE, "key_block_digest": DIGEST, "kcv": ""}


@pytest.mark.usefixtures("stage")
@pytest.mark.parametrize(
    "line",
    [
        "stored",
        "[]",
        '{"request_id": "A"}',
        '{"kcv": 1}',
        json.dumps(NO_KCV),
        json.dumps({**NO_KCV, "kcv": "08793\u00e9"}, ensure_ascii=False),
        json.dumps({**NO_KCV, "kcv": "08793e", "key_block_digest": "0"}),
        json.dumps({**NO_KCV, "kcv": "08793e", "request_id": None}),
    ],
)
async def test_a_file_that_holds_no_answers_is_refused(
    export: Command, tmp_path: Path, line: str
) -> None:
    """With the number of the line."""
    answers = tmp_path / "answers.jsonl"
    answers.write_text(f"\n{line}\n")
    result = await export("--confirm", str(answers))
    assert (result.exit_code, "Line 2" in result.output) == (2, True)


@pytest.mark.usefixtures("stage")
async def test_options_exclude_each_other(export: Command) -> None:
    """One act at a time; and an export that is not there cannot be repeated."""
    assert (await export("--push", "--again", ONE)).exit_code == 2
    unknown = await export("--again", ONE)
    assert (unknown.exit_code, "no export" in unknown.output) == (3, True)


async def test_a_key_worker_without_an_export_key_is_told(
    exports: Exports, client: Client, export: Command
) -> None:
    """It is asked for one key, and not for all of them."""
    exports.export_key = None
    async with workers(exports, client):
        result = await export("--push")
    assert (result.exit_code, "no export key" in result.output) == (3, True), result.output
    assert "wrapped 0  confirmed 0  refused 1" in result.stdout
    assert (await export()).stdout.startswith("not wrapped 2")


async def test_a_back_office_that_is_away_is_told(
    exports: Exports, office: ExportOffice, client: Client, export: Command
) -> None:
    """Exit code 4, and the keys stay due."""
    office.export_key = None
    async with workers(exports, client):
        result = await export("--push")
    assert result.exit_code == 4, result.output
    assert "back-office does not answer" in result.output
    assert len((await export("--json")).stdout.splitlines()) == 2
    attempts = policies.EXPORT_RETRIES.maximum_attempts
    assert [one.body["request_id"] for one in office.asked] == [ONE] * attempts + [TWO] * attempts
