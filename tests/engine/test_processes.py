"""Children are started, watched and stopped in order, and none outlives its parent."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
import textwrap
import time
from datetime import timedelta
from pathlib import Path

import pytest

from engine.processes import (
    ChildProcess,
    ProcessEnded,
    ProcessExit,
    ProcessGroup,
    ProcessNotReady,
    ProcessSpec,
)

_POLITE = "trap 'echo {name} >> order; exit 7' TERM; echo up; while :; do sleep 0.05; done"
_STUBBORN = "trap '' TERM; echo up; while :; do sleep 0.05; done"


def _spec(folder: Path, name: str, script: str) -> ProcessSpec:
    return ProcessSpec(name, ["sh", "-c", script], folder / f"{name}.log", directory=folder)


async def _start(group: ProcessGroup, spec: ProcessSpec) -> ChildProcess:
    async def up() -> bool:
        return "up" in spec.log_file.read_text()

    return await group.start(spec, up)


def _runs(pid: int) -> bool:
    """Whether a process exists and is no zombie (nobody may be there to reap it)."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        # Gone meanwhile, or a system without /proc, which has told all that it will.
        return sys.platform != "linux"
    return state != "Z"


def _wait_gone(pid: int, within_s: float = 10) -> bool:
    deadline = time.monotonic() + within_s
    while _runs(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


async def test_group_stops_the_youngest_first(tmp_path: Path) -> None:
    """Children are stopped in reverse order, each before the next, and exit codes are reported."""
    group = ProcessGroup()
    async with group:
        for name in ("first", "second", "third"):
            await _start(group, _spec(tmp_path, name, _POLITE.format(name=name)))
        exits = await group.stop()
    assert exits == [ProcessExit(name, 7) for name in ("third", "second", "first")]
    assert (tmp_path / "order").read_text().split() == ["third", "second", "first"]
    assert await group.stop() == []


async def test_group_stops_all_when_its_body_fails(tmp_path: Path) -> None:
    """An exception inside the block leaves nothing running."""
    group = ProcessGroup()
    with pytest.raises(ZeroDivisionError):
        async with group:
            child = await _start(group, _spec(tmp_path, "one", _POLITE.format(name="one")))
            raise ZeroDivisionError
    assert child.exit == ProcessExit("one", 7)


async def test_first_exit_names_the_one_that_ended(tmp_path: Path) -> None:
    """A child that ends by itself is noticed, with its exit code and its last words."""
    async with ProcessGroup() as group:
        await _start(group, _spec(tmp_path, "steady", _POLITE.format(name="steady")))
        await _start(group, _spec(tmp_path, "brief", "echo up; sleep 0.2; echo broken; exit 4"))
        ended = await asyncio.wait_for(group.first_exit(), timeout=10)
    assert ended.ended == ProcessExit("brief", 4)
    assert "broken" in ended.log_tail


async def test_stubborn_child_is_killed_with_its_children(tmp_path: Path) -> None:
    """One that ignores SIGTERM is killed after the grace, together with what it started."""
    script = "(trap '' TERM; exec sleep 300) & echo $! > grandchild; " + _STUBBORN
    async with ProcessGroup(grace=timedelta(seconds=0.2)) as group:
        child = await _start(group, _spec(tmp_path, "stubborn", script))
    assert child.exit == ProcessExit("stubborn", -signal.SIGKILL)
    assert _wait_gone(int((tmp_path / "grandchild").read_text()))


async def test_cancelled_stop_kills(tmp_path: Path) -> None:
    """Whoever gives up waiting for a stop (a second Ctrl-C) leaves nothing running."""
    group = ProcessGroup(grace=timedelta(minutes=5))
    child = await _start(group, _spec(tmp_path, "stubborn", _STUBBORN))
    stopping = asyncio.create_task(group.stop())
    await asyncio.sleep(0.1)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    assert await asyncio.wait_for(child.wait(), timeout=10) == ProcessExit(
        "stubborn", -signal.SIGKILL
    )


async def test_child_that_never_gets_ready_is_told_and_stopped(tmp_path: Path) -> None:
    """Readiness has a limit; the child belongs to the group and is stopped with it."""

    async def never() -> bool:
        return False

    group = ProcessGroup()
    with pytest.raises(ProcessNotReady) as error:
        async with group:
            spec = _spec(tmp_path, "slow", _POLITE.format(name="slow"))
            await group.start(spec, never, within=timedelta(seconds=0.2))
    assert error.value.name == "slow"
    assert await group.stop() == []


async def test_missing_program_is_an_end_with_127(tmp_path: Path) -> None:
    """A program that cannot be run is told like any other early end."""

    async def never() -> bool:
        return False

    spec = ProcessSpec("absent", ["/no/such/program"], tmp_path / "absent.log")
    async with ProcessGroup() as group:
        with pytest.raises(ProcessEnded) as error:
            await group.start(spec, never)
    assert error.value.ended == ProcessExit("absent", 127)
    assert "/no/such/program" in error.value.log_tail


async def test_child_is_outside_the_terminal_s_reach(tmp_path: Path) -> None:
    """A child leads a session of its own, so Ctrl-C does not reach it; nothing can be typed in."""
    async with ProcessGroup() as group:
        child = await _start(group, _spec(tmp_path, "own", "cat; echo up; exec sleep 300"))
        assert os.getsid(child.pid) == child.pid != os.getsid(0)


async def test_environment_is_given_whole_and_not_shown(tmp_path: Path) -> None:
    """The child sees exactly the given environment, which no repr shows; its log is private."""
    spec = ProcessSpec(
        "env",
        ["/bin/sh", "-c", "echo $SECRET-$HOME-up"],
        tmp_path / "env.log",
        environment={"SECRET": "hush"},
    )
    async with ProcessGroup() as group:
        child = await group.start(spec)
        await child.wait()
    assert "hush--up" in child.output()
    assert "hush" not in repr(spec)
    assert stat.S_IMODE(spec.log_file.stat().st_mode) == 0o600


async def test_output_is_that_of_this_run(tmp_path: Path) -> None:
    """The log file grows over runs; a run's output does not include an earlier one's."""
    for word in ("earlier", "later"):
        child = ChildProcess.start(_spec(tmp_path, "log", f"echo {word}"))
        await child.wait()
    assert child.output() == "later\n"
    assert (tmp_path / "log.log").read_text() == "earlier\nlater\n"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can tie a child to its parent")
def test_children_end_when_the_parent_is_killed(tmp_path: Path) -> None:
    """A parent ended by SIGKILL takes its children along: nothing stays behind."""
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent(
                """
                import sys, time
                from pathlib import Path
                from engine.processes import ChildProcess, ProcessSpec
                child = ChildProcess.start(
                    ProcessSpec("sleep", ["sleep", "300"], Path(sys.argv[1]))
                )
                print(child.pid, flush=True)
                time.sleep(300)
                """
            ),
            str(tmp_path / "log"),
        ],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert _runs(pid)
        time.sleep(0.2)
        parent.kill()
    assert _wait_gone(pid)


def test_leave_keeps_output_and_exit_code(tmp_path: Path) -> None:
    """The process ends with the given code and all that it printed, and runs no exit handler."""
    code = (
        "import atexit; from engine.processes import leave; "
        "atexit.register(print, 'handler'); print('said', end=''); leave(9)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (9, b"said")
