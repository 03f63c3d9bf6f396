"""The `keyfill-terminal` command: its exit codes, its lines, and its other words."""

import json
import os
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ceremony.stages import Stage
from ceremony.statements import RequestPayload
from ceremony.verification import peek
from terminal.command import app
from terminal.loadstate import LoadFile
from tests.support.terminalbench import TerminalBench
from tests.support.terminalserver import ADMINISTRATOR, APPROVAL_CODE

TYPED = f"{ADMINISTRATOR} {APPROVAL_CODE}\n"


def run(bench: TerminalBench, *arguments: str, typed: str = TYPED) -> Result:
    """Run the command on the bench's folder."""
    return CliRunner().invoke(app, [*arguments, "--folder", str(bench.folder)], input=typed)


def load(bench: TerminalBench, *arguments: str, typed: str = TYPED) -> Result:
    """Run `load` against the bench's server."""
    return run(bench, "load", "--server", bench.server.url, *arguments, typed=typed)


def lines(result: Result) -> list[dict[str, Any]]:
    """The JSON lines that a command wrote."""
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_load_is_told_as_json_lines(bench: TerminalBench) -> None:
    """With --json every event is a line, the KCVs are in the last one, and no code is in any."""
    result = load(bench, "--json")
    assert result.exit_code == 0
    events = lines(result)
    assert [event["event"] for event in events] == [
        "request",
        "stage",
        "qr",
        "stage",
        "approval-needed",
        "confirmation",
        "token",
        "imported",
        "receipt",
        "stage",
        "ended",
    ]
    assert events[-1]["kcv"] == events[-1]["server_kcv"] == bench.server.kcv
    assert events[2]["text"] == bench.server.qr_texts[0]
    assert f'"{APPROVAL_CODE}"' not in result.stdout
    assert bench.server.posted
    assert "status_token" not in result.stdout


def test_a_reload_says_why(bench: TerminalBench) -> None:
    """The reason on the command line is in the signed request."""
    assert load(bench, "--reload-reason", "after a repair").exit_code == 0
    state = LoadFile(bench.folder).read()
    assert state is not None and state.request is not None
    said = peek(state.request).payload
    assert isinstance(said, RequestPayload) and said.reload_reason == "after a repair"


def test_people_see_a_qr_code_and_both_kcvs(bench: TerminalBench) -> None:
    """Without --json a QR code is drawn, and the check values close the load."""
    result = load(bench)
    assert result.exit_code == 0
    assert "▄" in result.stdout
    assert bench.server.qr_texts[0] in result.stdout
    assert f"KCV by the EPP {bench.server.kcv}, by the server {bench.server.kcv}" in result.stdout


@pytest.mark.parametrize(
    ("stage", "code"),
    [
        (Stage.REJECTED, 3),
        (Stage.EXPIRED, 4),
        (Stage.CANCELLED, 5),
        (Stage.FAILED, 6),
        (Stage.UNCONFIRMED, 7),
    ],
)
def test_every_ending_has_its_exit_code(bench: TerminalBench, stage: Stage, code: int) -> None:
    """The exit code tells how the load ended."""
    bench.server.approves_at_once = False
    bench.server.stage, bench.server.reason = stage, "some-reason"
    result = load(bench, "--json")
    assert (result.exit_code, lines(result)[-1]["exit_code"]) == (code, code)


def test_nothing_typed_is_not_finished(bench: TerminalBench) -> None:
    """At the end of the input the load stays open: exit code 1, and the next run ends it."""
    assert load(bench, typed="").exit_code == 1
    assert load(bench).exit_code == 0
    assert bench.server.count("request") == 1


def test_a_refused_terminal_fails(bench: TerminalBench) -> None:
    """A server that refuses the request makes exit code 6 and says its code."""
    bench.server.refuse("request", "registry-incomplete")
    result = load(bench)
    assert result.exit_code == 6
    assert "registry-incomplete" in result.stderr


@pytest.mark.parametrize(
    "server", ["http://keyfill.example", "nonsense", "https://keyfill.example/x"]
)
def test_a_wrong_server_is_wrong_usage(bench: TerminalBench, server: str) -> None:
    """An address that codes may not be sent to is refused with exit code 2."""
    assert run(bench, "load", "--server", server).exit_code == 2


def test_a_server_that_is_away_is_not_finished(bench: TerminalBench) -> None:
    """Without an answer the command gives up after the time given, with exit code 1."""
    result = run(bench, "load", "--server", "http://127.0.0.1:9", "--give-up-after", "1")
    assert result.exit_code == 1
    assert "again" in result.stderr


def test_a_folder_without_a_terminal_is_wrong_set_up(tmp_path: Path) -> None:
    """A folder in which no terminal was set up makes exit code 2, for every word."""
    for word in ("load", "status", "cancel", "reset"):
        arguments = [word, "--folder", str(tmp_path / "nothing")]
        if word == "load":
            arguments += ["--server", "http://127.0.0.1:9"]
        assert CliRunner().invoke(app, arguments).exit_code == 2


def test_the_code_comes_from_a_fifo(bench: TerminalBench, tmp_path: Path) -> None:
    """A script may write the approval to a FIFO, a wrong one first."""
    fifo = tmp_path / "approval"
    os.mkfifo(fifo)

    def write() -> None:
        for typed in (f"{ADMINISTRATOR} 0000", f"{ADMINISTRATOR} {APPROVAL_CODE}"):
            fifo.write_text(f"{typed}\n")

    writer = Thread(target=write, daemon=True)
    writer.start()
    result = load(bench, "--json", "--approval-from", str(fifo), typed="")
    writer.join(timeout=5)
    assert result.exit_code == 0
    problems = [one["problem"] for one in lines(result) if one["event"] == "approval-needed"]
    assert problems == [None, "approval-code-wrong"]


def test_the_administrator_may_be_given_beforehand(bench: TerminalBench) -> None:
    """With --administrator only the code is read; what has not the form of one is passed over."""
    result = load(bench, "--administrator", ADMINISTRATOR, typed=f"\nhello\n{APPROVAL_CODE}\n")
    assert result.exit_code == 0


def test_status_shows_the_record_and_the_servers_word(bench: TerminalBench) -> None:
    """`status` asks the server about an open load, and shows an ended one from the record."""
    bench.server.approves_at_once = False
    _open(bench)
    bench.server.move(Stage.AWAITING_REVIEW)
    shown = json.loads(run(bench, "status", "--json").stdout)
    assert shown["stage"] == "AWAITING_REVIEW"
    assert shown["request_id"] == bench.server.request_id


def test_cancel_ends_an_open_load(bench: TerminalBench) -> None:
    """`cancel` ends the open load with exit code 5; a second one finds nothing to cancel."""
    bench.server.approves_at_once = False
    _open(bench)
    result = run(bench, "cancel", "--reason", "wrong terminal")
    assert (result.exit_code, result.stdout.strip()) == (5, "CANCELLED")
    assert run(bench, "cancel").exit_code == 2


def test_reset_forgets_an_ended_load_only(bench: TerminalBench) -> None:
    """`reset` forgets a load that ended; an open one only with --force."""
    bench.server.approves_at_once = False
    _open(bench)
    assert run(bench, "reset").exit_code == 2
    assert run(bench, "reset", "--force").exit_code == 0
    assert LoadFile(bench.folder).read() is None


def _open(bench: TerminalBench) -> None:
    """Leave an open load on record."""
    from terminal.opening import open_request

    open_request(bench.session())
