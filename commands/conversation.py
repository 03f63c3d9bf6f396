"""A child process that writes JSON lines and reads lines: how the demo's people use devices.

The child ends when this process ends, and `stop` ends it in any case.
"""

import asyncio
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

from engine import withparent

Heard = Callable[[str, dict[str, Any]], None]
"""Told of every line: who wrote it, and what."""

STOP_SECONDS: Final = 10.0
_LINE_BYTES: Final = 1024 * 1024
_TAIL_CHARS: Final = 2000


class ConversationEnded(Exception):
    """A child ended, or was silent too long, before it said what was expected."""

    def __init__(self, name: str, expected: str, code: int | None, tail: str) -> None:
        """Tell who, what was awaited, how it ended (None: it did not), and its last words."""
        how = "said nothing" if code is None else f"ended with code {code}"
        super().__init__(f"{name} {how} before {expected}\n{tail}".rstrip())
        self.name = name
        self.code = code


class Conversation:
    """One child and what it said; make it with `start`."""

    def __init__(
        self, name: str, process: asyncio.subprocess.Process, log_file: Path, heard: Heard
    ) -> None:
        """Take over a running child."""
        self.name = name
        self.said: list[dict[str, Any]] = []
        self._process = process
        self._log_file = log_file
        self._heard = heard
        self._news = asyncio.Condition()
        self._taken = 0
        self._silent = False
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def start(
        cls,
        name: str,
        command: Sequence[str],
        *,
        log_file: Path,
        heard: Heard,
        environment: Mapping[str, str] | None = None,
    ) -> Self:
        """Start a child; its standard error goes to the log file."""
        # As `engine.processes` does: the child gets SIGTERM when this process dies.
        starter = [sys.executable, "-I", "-S", str(withparent.__file__), str(os.getpid())]
        with log_file.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *starter,
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=environment,
                limit=_LINE_BYTES,
                start_new_session=True,
            )
        return cls(name, process, log_file, heard)

    async def event(self, name: str, within: float = 60.0) -> dict[str, Any]:
        """Wait for the next line whose `event` is this; those before it are passed over.

        Raises:
            ConversationEnded: if the child ended, or `within` seconds passed, without one.
        """
        index = await self._await(
            name, lambda line: line.get("event") == name, within, after=self._taken
        )
        self._taken = index + 1
        return self.said[index]

    async def find(
        self, what: str, matches: Callable[[dict[str, Any]], bool], within: float = 60.0
    ) -> dict[str, Any]:
        """Wait for a line that matches, among all that were ever said.

        Raises:
            ConversationEnded: as `event`.
        """
        return self.said[await self._await(what, matches, within, after=0)]

    async def _await(
        self,
        what: str,
        matches: Callable[[dict[str, Any]], bool],
        within: float,
        after: int,
    ) -> int:
        try:
            async with asyncio.timeout(within), self._news:
                while True:
                    for index in range(after, len(self.said)):
                        if matches(self.said[index]):
                            return index
                    if self._silent:
                        break
                    await self._news.wait()
        except TimeoutError:
            raise ConversationEnded(self.name, what, None, self._tail()) from None
        raise ConversationEnded(self.name, what, await self._process.wait(), self._tail())

    async def say(self, line: str) -> None:
        """Type a line; a child that does not listen any more misses it."""
        if self._process.stdin is not None:
            with suppress(BrokenPipeError, ConnectionResetError):
                self._process.stdin.write(f"{line}\n".encode())
                await self._process.stdin.drain()

    async def end(self, within: float = 60.0) -> int:
        """Wait for the child's own end and give its exit code.

        Raises:
            ConversationEnded: if it has not ended within so many seconds.
        """
        try:
            async with asyncio.timeout(within):
                await self._listening
                return await self._process.wait()
        except TimeoutError:
            raise ConversationEnded(self.name, "its end", None, self._tail()) from None

    async def succeed(self, within: float = 60.0) -> None:
        """Wait for the child's own end, which has to be with exit code 0.

        Raises:
            ConversationEnded: if it ended otherwise, or not in time.
        """
        code = await self.end(within)
        if code != 0:
            raise ConversationEnded(self.name, "success", code, self._tail())

    async def stop(self) -> None:
        """End the child if it has not ended: SIGTERM, then SIGKILL."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.terminate()
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        self._listening.cancel()
        with suppress(asyncio.CancelledError):
            await self._listening

    async def _listen(self) -> None:
        out = self._process.stdout
        if out is None:
            return
        while line := await out.readline():
            try:
                said = json.loads(line)
            except ValueError:
                continue
            self._heard(self.name, said)
            async with self._news:
                self.said.append(said)
                self._news.notify_all()
        async with self._news:
            self._silent = True
            self._news.notify_all()

    def _tail(self) -> str:
        try:
            return self._log_file.read_text(errors="replace")[-_TAIL_CHARS:]
        except OSError:
            return ""
