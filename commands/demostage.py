"""The demo's stage: starts commands and devices as processes, and takes all of them away again."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Self

from commands import programs
from commands.conversation import Conversation, Heard
from commands.homefolder import HomeFolder


class DemoStage:
    """An async context manager: leaving it stops every process that it started.

    Args:
        home: the deployment's home; the processes log there.
        server: Keyfill's origin.
        heard: told of every line that a process writes.
    """

    def __init__(self, home: HomeFolder, server: str, heard: Heard) -> None:
        self.home = home
        self.server = server
        self._heard = heard
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Open the stage."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop what still runs, the youngest first."""
        await self._stack.aclose()

    async def keyfill(self, name: str, arguments: Sequence[str]) -> Conversation:
        """Start the `keyfill` command on this home, as a process."""
        environment = {**programs.environment(), "KEYFILL_HOME": str(self.home.path)}
        return await self._start(name, [*programs.KEYFILL, *arguments], environment)

    async def terminal(self, name: str, arguments: Sequence[str]) -> Conversation:
        """Start the `keyfill-terminal` command, as a process that knows no home."""
        return await self._start(name, [*programs.TERMINAL, *arguments], programs.environment())

    async def succeed(self, name: str, arguments: Sequence[str]) -> None:
        """Run a `keyfill` command to its end.

        Raises:
            ConversationEnded: if its exit code is not 0.
        """
        command = await self.keyfill(name, arguments)
        await command.succeed()

    async def _start(
        self, name: str, command: Sequence[str], environment: dict[str, str]
    ) -> Conversation:
        log_file = self.home.logs / f"{name.replace(' ', '-')}.log"
        talk = await Conversation.start(
            name, command, log_file=log_file, heard=self._heard, environment=environment
        )
        self._stack.push_async_callback(talk.stop)
        return talk
