"""A terminal that is killed anywhere in a load, and goes on when its power is back."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ceremony.stages import Stage
from terminal.load import perform
from terminal.loadstate import LoadBusy, LoadFile, LoadState, LoadStateDamaged
from tests.support.terminalbench import TerminalBench as Bench
from tests.support.terminalserver import ADMINISTRATOR, APPROVAL_CODE

ROOT = Path(__file__).parents[2]


class Killed(BaseException):
    """The power went."""


class DyingFile(LoadFile):
    """A state file whose terminal dies at a write: before it is durable, or right after.

    `at` chooses the nth write, `when` the first one of such a state.
    """

    def __init__(
        self,
        folder: Path,
        *,
        at: int = 0,
        when: Callable[[LoadState], bool] = lambda _: False,
        after: bool,
    ) -> None:
        super().__init__(folder)
        self._left = at
        self._when = when
        self._after = after

    def write(self, state: LoadState) -> None:
        """Write, unless the power goes."""
        self._left -= 1
        dies = self._left == 0 or self._when(state)
        if self._after or not dies:
            super().write(state)
        if dies:
            raise Killed


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, 11))
def test_a_load_killed_at_any_write_is_finished(bench: Bench, at: int, after: bool) -> None:
    """Killed at any write, the next start goes on: one request, one key, the right KCV."""
    session = bench.session(DyingFile(bench.folder, at=at, after=after))
    with pytest.raises(Killed):
        perform(session)
    ending = bench.load()
    assert ending.stage is Stage.LOADED
    assert ending.kcv == ending.server_kcv == bench.server.kcv
    assert len(bench.server.tokens) <= 2
    assert bench.server.request_id is not None


@pytest.mark.parametrize("at", range(1, 11))
def test_a_load_killed_again_and_again_is_finished(bench: Bench, at: int) -> None:
    """However often it dies right after the same write, the load ends, within the re-wraps."""
    ending = None
    for _ in range(2):
        session = bench.session(DyingFile(bench.folder, at=at, after=True))
        try:
            ending = perform(session)
            break
        except Killed:
            continue
    ending = ending or bench.load()
    assert ending.stage is Stage.LOADED
    assert ending.kcv == bench.server.kcv
    assert len(bench.server.tokens) <= 3


def test_a_restart_before_the_import_wraps_the_same_key_again(bench: Bench) -> None:
    """The EPP lost its nonce: a new confirmation with a new nonce brings the same key."""
    session = bench.session(DyingFile(bench.folder, when=_has_token, after=True))
    with pytest.raises(Killed):
        perform(session)
    state = bench.file.read()
    assert state is not None
    assert state.token is not None
    assert bench.load().stage is Stage.LOADED
    assert len(bench.server.tokens) == 2
    assert bench.kiosk.problems == [None]


def test_a_restart_after_the_import_asks_for_no_second_token(bench: Bench) -> None:
    """The key is in the EPP already: the receipt comes from there, and nothing is re-wrapped."""
    session = bench.session(DyingFile(bench.folder, when=_has_receipt, after=False))
    with pytest.raises(Killed):
        perform(session)
    assert len(bench.terminal().epp.get_key_detail()) == 1
    assert bench.load().stage is Stage.LOADED
    assert len(bench.server.tokens) == 1


def test_sigkill_is_survived_by_the_command(bench: Bench) -> None:
    """A process killed while it waits for the administrator is finished by the next one."""
    command = [sys.executable, "-P", "-m", "terminal.command", "load", "--json"]
    command += ["--server", bench.server.url, "--folder", str(bench.folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    first = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
    )
    assert first.stdout is not None
    for line in first.stdout:
        if '"approval-needed"' in line:
            break
    first.send_signal(signal.SIGKILL)
    first.communicate()
    second = subprocess.run(
        command,
        input=f"{ADMINISTRATOR} {APPROVAL_CODE}\n",
        capture_output=True,
        env=environment,
        text=True,
        timeout=60,
        check=False,
    )
    assert (second.returncode, '"resumed"' in second.stdout) == (0, True), second.stderr
    assert bench.server.count("request") == 1
    assert f'"kcv": "{bench.server.kcv}"' in second.stdout


def test_one_load_at_a_time(bench: Bench) -> None:
    """A folder that a load holds is not given to a second one."""
    with bench.file.exclusive(), pytest.raises(LoadBusy), bench.file.exclusive():
        pytest.fail("two loads hold the folder")


def test_a_damaged_state_file_says_so(bench: Bench) -> None:
    """A state file that cannot be read stops the load, and its content is not repeated."""
    (bench.folder / "load.json").write_text('{"server": "x", "approval": {"code": "4711"}}')
    with pytest.raises(LoadStateDamaged) as damaged:
        bench.session()
    assert "4711" not in str(damaged.value)


def _has_token(state: LoadState) -> bool:
    return state.token is not None


def _has_receipt(state: LoadState) -> bool:
    return state.receipt is not None
