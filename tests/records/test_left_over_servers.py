"""What killed test processes left behind is swept away, and nothing else is."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.postgresql import sweep

GONE = 99_999_999
"""No process has a number as high."""

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="it is told by /proc")

Started = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def started() -> Iterator[Started]:
    """Starts processes that wait, with these words on their command line."""
    running: list[subprocess.Popen[bytes]] = []

    def start(*words: str) -> "subprocess.Popen[bytes]":
        # A shell's background processes, and their children, ignore SIGQUIT; PostgreSQL does not.
        program = (
            "import signal, time; signal.signal(signal.SIGQUIT, signal.SIG_DFL);"
            " print(flush=True); time.sleep(60)"
        )
        command = [sys.executable, "-ISc", program, *words]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def left(folders: Path, owner: int, pid: int) -> Path:
    """A server's folder, as the process `owner` leaves it behind."""
    folder = folders / f"keyfill-pg-{owner}-abc"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "postmaster.pid").write_text(f"{pid}\n")
    return folder


def lives(process: "subprocess.Popen[bytes]") -> bool:
    """Whether it goes on: a signal that was sent would have ended it by then."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=0.3)
    return process.returncode is None


def test_a_server_left_behind_is_stopped(tmp_path: Path, started: Started) -> None:
    """With its folder."""
    folder = tmp_path / f"keyfill-pg-{GONE}-abc"
    server = started("-D", f"{folder / 'data'}")
    left(tmp_path, GONE, server.pid)
    sweep(tmp_path)
    assert server.wait(timeout=10) == -signal.SIGQUIT
    assert not folder.exists()


def test_a_process_that_got_its_number_lives_on(tmp_path: Path, started: Started) -> None:
    """Numbers are given again: the command line tells whose it is. The folder still goes."""
    other = started("-D", "/elsewhere/data")
    folder = left(tmp_path, GONE, other.pid)
    sweep(tmp_path)
    assert lives(other)
    assert not folder.exists()


def test_folders_of_the_living_and_of_others_stay(tmp_path: Path, started: Started) -> None:
    """A running test process keeps its server; another user's folder is not ours to read."""
    living = left(tmp_path, os.getpid(), GONE)
    elsewhere = tmp_path / "elsewhere"
    target = left(elsewhere, GONE, GONE)
    link = tmp_path / f"keyfill-pg-{GONE}-link"
    link.symlink_to(target)
    kept = [living, link, target]
    if os.geteuid() == 0:
        foreign = tmp_path / f"keyfill-pg-{GONE}-abc"
        server = started("-D", f"{foreign / 'data'}")
        left(tmp_path, GONE, server.pid)
        os.chown(foreign, 12_345, 12_345)
        sweep(tmp_path)
        assert lives(server)
        kept.append(foreign)
    sweep(tmp_path)
    assert all((folder / "data" / "postmaster.pid").exists() for folder in kept)
