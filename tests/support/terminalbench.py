"""A terminal in a folder of its own, its people, and the server that it can reach."""

from dataclasses import dataclass, field
from pathlib import Path

from terminal.client import KeyfillClient
from terminal.device import read_device_key
from terminal.epp import Epp
from terminal.eppstore import EppStore
from terminal.kiosk import NoInput
from terminal.load import Ending, perform
from terminal.loadsession import LoadSession, Terminal
from terminal.loadstate import Approval, LoadFile
from terminal.profile import TerminalProfile
from terminal.transport import Patience, PatientHttp
from tests.support.terminalserver import (
    ADMINISTRATOR,
    APPROVAL_CODE,
    FakeKeyfill,
)


@dataclass
class ScriptedKiosk:
    """A kiosk with a memory, and the right approval unless other ones are prepared."""

    typed: list[tuple[str, str]] = field(default_factory=lambda: [(ADMINISTRATOR, APPROVAL_CODE)])
    stages: list[str] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    problems: list[str | None] = field(default_factory=list)

    def stage(self, request_id: str, stage: str, reason: str | None) -> None:
        """Remember the stage."""
        del request_id, reason
        self.stages.append(str(stage))

    def show_qr(self, text: str, expires_at: int) -> None:
        """Remember the code."""
        del expires_at
        self.shown.append(text)

    def ask_approval(self, problem: str | None) -> Approval:
        """Give the next approval; the last one for ever."""
        self.problems.append(problem)
        if not self.typed:
            raise NoInput
        number, code = self.typed[0]
        if len(self.typed) > 1:
            self.typed.pop(0)
        return Approval(administrator=number, code=code)

    def tell(self, event: str, **details: str | int | None) -> None:
        """Remember the event."""
        del details
        self.told.append(event)

    def trouble(self, what: str) -> None:
        """Take no notice."""


@dataclass
class TerminalBench:
    """A terminal's folder and the server; `session` is the terminal after switching it on."""

    folder: Path
    server: FakeKeyfill
    kiosk: ScriptedKiosk = field(default_factory=ScriptedKiosk)
    naps: list[float] = field(default_factory=list)
    clients: list[KeyfillClient] = field(default_factory=list)

    @property
    def file(self) -> LoadFile:
        """The state file."""
        return LoadFile(self.folder)

    def terminal(self) -> Terminal:
        """The terminal with its power just on: the EPP holds no nonce."""
        epp = Epp(EppStore(self.folder / "epp"))
        return Terminal(TerminalProfile.read(self.folder), read_device_key(self.folder), epp)

    def client(self) -> KeyfillClient:
        """The terminal's client; it does not really sleep."""
        http = PatientHttp(self.server.url, patience=Patience(30), sleep=self.naps.append)
        self.clients.append(KeyfillClient(http))
        return self.clients[-1]

    def session(self, file: LoadFile | None = None) -> LoadSession:
        """Switch the terminal's software and EPP on."""
        return LoadSession(self.terminal(), self.client(), file or self.file, self.kiosk)

    def load(self) -> Ending:
        """Switch on and perform the load."""
        return perform(self.session())

    def close(self) -> None:
        """Close every connection."""
        for client in self.clients:
            client.close()
