"""Child processes: started with a log file each, watched, and stopped in order.

Children run in sessions of their own. Ctrl-C in the terminal therefore reaches only the parent,
which alone decides in which order things stop. On Linux they also end when the parent dies.
New files of theirs are readable by their owner only (umask 077).
"""

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final, NoReturn, Self

READY_WITHIN: Final = timedelta(seconds=30)
"""How long a process may take to become ready: generous, for a loaded CI machine."""

STOP_GRACE: Final = timedelta(seconds=15)
"""How long a process may take to end after SIGTERM before it is killed."""

_POLL_S: Final = 0.02
_TAIL_BYTES: Final = 4096
_WITH_PARENT: Final = Path(__file__).with_name("withparent.py")

Probe = Callable[[], Awaitable[bool]]
"""Answers whether a process is ready. May be called many times; must not raise."""


@dataclass(frozen=True)
class ProcessSpec:
    """What to run.

    Attributes:
        name: Short, for messages.
        command: Program and arguments; never a secret, since other users can list them.
        log_file: Receives stdout and stderr, appended, readable by its owner only; its folder
            must exist.
        environment: The complete environment; None means the parent's. Not shown in repr: it may
            hold secrets.
        directory: The working directory; None means the parent's.
    """

    name: str
    command: Sequence[str]
    log_file: Path
    environment: Mapping[str, str] | None = field(default=None, repr=False)
    directory: Path | None = None


@dataclass(frozen=True)
class ProcessExit:
    """How a process ended: its exit code, or minus the number of the signal that ended it."""

    name: str
    code: int


class ProcessEnded(Exception):
    """A process ended that should have stayed.

    Attributes:
        ended: Which one, and how.
        log_file: Where its output is.
        log_tail: The end of that output, at most 4 KiB.
    """

    def __init__(self, ended: ProcessExit, log_file: Path, log_tail: str) -> None:
        self.ended = ended
        self.log_file = log_file
        self.log_tail = log_tail
        super().__init__(f"{ended.name} ended with code {ended.code}; its output is in {log_file}")


class ProcessNotReady(Exception):
    """A process runs, but did not become ready in time.

    Attributes:
        name: Which one.
        log_file: Where its output is.
    """

    def __init__(self, name: str, waited: timedelta, log_file: Path) -> None:
        self.name = name
        self.log_file = log_file
        super().__init__(
            f"{name} was not ready after {waited.total_seconds():g} s; its output is in {log_file}"
        )


class ChildProcess:
    """One running child. Make it with `start`, end it with `stop`."""

    def __init__(self, spec: ProcessSpec, popen: subprocess.Popen[bytes], log_start: int) -> None:
        self.spec = spec
        self._popen = popen
        self._log_start = log_start

    @classmethod
    def start(cls, spec: ProcessSpec) -> Self:
        """Start the program; its own failure to run shows as exit code 127.

        Call it from the main thread: the kernel counts the end of the starting *thread* as the
        parent's death, so a child of any other thread is started without that tie.

        Raises:
            OSError: The log file cannot be opened or no process can be made.
        """
        main_thread = threading.current_thread() is threading.main_thread()
        parent = str(os.getpid()) if main_thread else "0"
        # -I and -S keep the start short, and foreign modules out of it.
        command = [sys.executable, "-I", "-S", str(_WITH_PARENT), parent, *spec.command]
        with open(spec.log_file, "ab", opener=_owner_only) as log:
            log_start = log.tell()
            popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=spec.environment,
                cwd=spec.directory,
                start_new_session=True,
            )
        return cls(spec, popen, log_start)

    @property
    def pid(self) -> int:
        """The process id; also the id of its session and group."""
        return self._popen.pid

    @property
    def exit(self) -> ProcessExit | None:
        """How it ended, or None while it runs."""
        code = self._popen.poll()
        return None if code is None else ProcessExit(self.spec.name, code)

    def output(self) -> str:
        """Everything that this run has written to its log file so far."""
        with self.spec.log_file.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def ended(self, ended: ProcessExit) -> ProcessEnded:
        """The error that tells of this process's end, with the end of its output."""
        return ProcessEnded(ended, self.spec.log_file, self.output()[-_TAIL_BYTES:])

    async def wait_ready(self, probe: Probe, within: timedelta = READY_WITHIN) -> None:
        """Wait until `probe` says yes and the process is still there to have meant it.

        Raises:
            ProcessEnded: It ended first.
            ProcessNotReady: `within` passed first; it still runs.
        """
        deadline = time.monotonic() + within.total_seconds()
        while True:
            ready = await probe()
            if (ended := self.exit) is not None:
                raise self.ended(ended)
            if ready:
                return
            if time.monotonic() > deadline:
                raise ProcessNotReady(self.spec.name, within, self.spec.log_file)
            await asyncio.sleep(_POLL_S)

    async def wait(self) -> ProcessExit:
        """Wait for its end, however long that takes."""
        # No event tells of a child's end without a thread or signal handler per child.
        while (ended := self.exit) is None:  # noqa: ASYNC110
            await asyncio.sleep(_POLL_S)
        return ended

    async def stop(self, grace: timedelta = STOP_GRACE) -> ProcessExit:
        """End it: SIGTERM, and after `grace` SIGKILL to all of its group. Again is harmless."""
        if (ended := self.exit) is not None:
            return ended
        self._popen.terminate()
        try:
            async with asyncio.timeout(grace.total_seconds()):
                return await self.wait()
        except TimeoutError:
            self._kill_group()
            return await self.wait()
        except asyncio.CancelledError:
            # Whoever gave up waiting must not leave it running.
            self._kill_group()
            raise

    def _kill_group(self) -> None:
        # Not yet reaped, so neither the process id nor the group id can be someone else's.
        if self._popen.returncode is None:
            os.killpg(self.pid, signal.SIGKILL)


class ProcessGroup(AbstractAsyncContextManager["ProcessGroup"]):
    """Children that belong together: started one after the other, stopped in reverse order.

    As a context manager it stops them all on the way out, whatever happened inside.
    """

    def __init__(self, grace: timedelta = STOP_GRACE) -> None:
        self._grace = grace
        self._children: list[ChildProcess] = []

    async def start(
        self, spec: ProcessSpec, ready: Probe | None = None, within: timedelta = READY_WITHIN
    ) -> ChildProcess:
        """Start a child and, with `ready`, wait for it; it belongs to the group from the start.

        Raises:
            ProcessEnded: See `ChildProcess.wait_ready`.
            ProcessNotReady: Likewise.
        """
        child = ChildProcess.start(spec)
        self.add(child)
        if ready is not None:
            await child.wait_ready(ready, within)
        return child

    def add(self, child: ChildProcess) -> None:
        """Take over a child that was started elsewhere: it is stopped before the earlier ones."""
        self._children.append(child)

    async def first_exit(self) -> ProcessEnded:
        """Wait until any of them ends, and say which: while the group runs, that is a fault."""
        while True:
            for child in self._children:
                if (ended := child.exit) is not None:
                    return child.ended(ended)
            await asyncio.sleep(_POLL_S)

    async def stop(self) -> list[ProcessExit]:
        """Stop all, the youngest first, each before the next. Again is harmless.

        Returns:
            How each ended, in that order.
        """
        exits: list[ProcessExit] = []
        while self._children:
            # Removed only afterwards: a cancelled stop can be resumed.
            exits.append(await self._children[-1].stop(self._grace))
            self._children.pop()
        return exits

    async def __aexit__(self, *_: object) -> None:
        """Stop all."""
        await self.stop()


def leave(exit_code: int) -> NoReturn:
    """End this process now, with its output flushed but without the interpreter's own shutdown.

    A process that ends soon after its Temporal worker can crash in the SDK's native code, and the
    crash then replaces the exit code. Nothing runs after this: no `finally`, no atexit handler.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)


def _owner_only(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
