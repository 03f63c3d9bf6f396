"""One load of the demo, acted by people: who scans, reads an SMS, types and decides.

Every device is a process of its own and reaches Keyfill by HTTP only. What passes between the
devices here is what people carry: a QR code seen, an SMS read, a number typed.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, Protocol

from commands.conversation import Conversation

CODE: Final = re.compile(r"SMS code (\d{6})")
APPROVAL: Final = re.compile(r"Approval code (\d{4})")
REVIEW: Final = re.compile(r"(awaits your review)")
SMS_WITHIN: Final = 60.0


@dataclass(frozen=True, slots=True)
class Colleague:
    """An administrator of the demo, with the key on their phone."""

    person: str
    staff_no: str
    name: str
    number: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is to happen at one terminal."""

    terminal_no: str
    branch: str
    first: Colleague
    second: Colleague
    decision: Literal["approve", "reject"] = "approve"
    mistypes_code: bool = False

    @property
    def expected(self) -> str:
        """The final stage that it must end in."""
        return "LOADED" if self.decision == "approve" else "REJECTED"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended: the terminal's last words, its exit code, and how long the token took."""

    scenario: Scenario
    stage: str
    reason: str | None
    kcv: str | None
    server_kcv: str | None
    exit_code: int
    token_milliseconds: int | None
    refusals: int

    @property
    def as_expected(self) -> bool:
        """Whether it ended as its scenario says, and both sides have the same key."""
        loaded = self.stage == "LOADED"
        return (
            self.stage == self.scenario.expected
            and (self.exit_code == 0) is loaded
            and self.kcv == self.server_kcv
            and (self.kcv is not None) is loaded
            and self.refusals == int(self.scenario.mistypes_code)
        )


class Phones(Protocol):
    """Everybody's phone: where people read their SMS."""

    async def read(self, who: Colleague, terminal_no: str, pattern: re.Pattern[str]) -> str:
        """Wait for an SMS to this person about this terminal, and give the pattern's group."""
        ...


Starts = Callable[[str, Sequence[str]], Awaitable[Conversation]]
"""Starts a device: a name for the screen, and the arguments of `keyfill` or `keyfill-terminal`."""


class Act:
    """Acts one scenario.

    Args:
        scenario: what is to happen.
        server: Keyfill's origin.
        audience: the deployment.
        home: where the keys and the terminals' folders are.
        terminal, keyfill: start a device.
        outbox: where people read their SMS; in development `keyfill sms --follow --json`.
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        server: str,
        audience: str,
        folder: Path,
        keys: Path,
        terminal: Starts,
        keyfill: Starts,
        outbox: Phones,
    ) -> None:
        self._scenario = scenario
        self._server = server
        self._audience = audience
        self._folder = folder
        self._keys = keys
        self._start_terminal = terminal
        self._start_keyfill = keyfill
        self._outbox = outbox

    async def play(self) -> Outcome:
        """Act it to its end.

        Raises:
            ConversationEnded: if a device did not do what was expected.
        """
        scenario = self._scenario
        terminal = await self._start_terminal(
            f"{scenario.terminal_no} terminal",
            ["load", "--json", "--server", self._server, "--folder", str(self._folder)],
        )
        qr = await terminal.event("qr")
        refusals = await self._apply(qr["text"])
        await self._outbox.read(scenario.second, scenario.terminal_no, REVIEW)
        await self._decide()
        if scenario.decision == "approve":
            code = await self._outbox.read(scenario.first, scenario.terminal_no, APPROVAL)
            await terminal.event("approval-needed")
            await terminal.say(f"{scenario.first.staff_no} {code}")
        ended = await terminal.event("ended")
        tokens = [said for said in terminal.said if said.get("event") == "token"]
        return Outcome(
            scenario=scenario,
            stage=ended["stage"],
            reason=ended["reason"],
            kcv=ended["kcv"],
            server_kcv=ended["server_kcv"],
            exit_code=await terminal.end(),
            token_milliseconds=tokens[-1]["milliseconds"] if tokens else None,
            refusals=refusals,
        )

    async def _apply(self, qr_text: str) -> int:
        scenario, refusals = self._scenario, 0
        phone = await self._phone(scenario.first, "apply")
        await phone.event("scan")
        await phone.say(qr_text)
        await phone.event("code-sent")
        code = await self._outbox.read(scenario.first, scenario.terminal_no, CODE)
        if scenario.mistypes_code:
            await phone.event("code-needed")
            await phone.say(f"{(int(code) + 1) % 1_000_000:06}")
            await phone.event("refused")
            refusals += 1
        await phone.event("code-needed")
        await phone.say(code)
        await phone.event("applied")
        await phone.succeed()
        return refusals

    async def _decide(self) -> None:
        scenario = self._scenario
        why = ["--reason-code", "not-ordered", "--reason", "No visit was announced"]
        phone = await self._phone(
            scenario.second,
            "review",
            "--decision",
            scenario.decision,
            *(why if scenario.decision == "reject" else []),
        )
        await phone.event("decided")
        await phone.succeed()

    async def _phone(self, who: Colleague, act: str, *further: str) -> Conversation:
        return await self._start_keyfill(
            f"{self._scenario.terminal_no} {who.name}",
            [
                "phone",
                act,
                "--server",
                self._server,
                "--key",
                str(self._keys / f"{who.person}.jwk"),
                "--staff-no",
                who.staff_no,
                "--audience",
                self._audience,
                "--terminal-no",
                self._scenario.terminal_no,
                *further,
            ],
        )


class Outbox:
    """All phones' messages, as one command shows them; each person reads their own."""

    def __init__(self, command: Conversation) -> None:
        """Bind the running `keyfill sms --follow --json`."""
        self._command = command

    async def read(self, who: Colleague, terminal_no: str, pattern: re.Pattern[str]) -> str:
        """Wait for a message to this person about this terminal, and give the first group.

        Raises:
            ConversationEnded: if none comes within a minute.
        """

        def mine(message: dict[str, Any]) -> bool:
            text = message.get("text", "")
            return (
                message.get("to") == who.number
                and f"terminal {terminal_no}," in text
                and pattern.search(text) is not None
            )

        message = await self._command.find(f"an SMS to {who.name}", mine, SMS_WITHIN)
        found = pattern.search(message["text"])
        return "" if found is None else found[1]
