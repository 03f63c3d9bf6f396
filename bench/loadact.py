"""One ceremony of a load test: the reference terminal and two phones, with people who never pause.

The terminal runs in one thread, its people in another. All of them call the HTTP API, and nothing
else; people read their own SMS.
"""

import queue
import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.loadcast import Part
from bench.loadphones import NoMessage
from bench.loadsystem import System
from bench.loadtally import Counting, Tally
from ceremony.stages import Stage
from commands.homefolder import read_key
from commands.phoneclient import Phone, Reasoned
from commands.samples import EPP_FOLDER
from commands.scenario import APPROVAL, CODE, REVIEW, Colleague
from terminal.client import KeyfillClient
from terminal.device import read_device_key
from terminal.epp import Epp
from terminal.eppstore import EppStore
from terminal.kiosk import Event, NoInput
from terminal.load import Ending, perform
from terminal.loadsession import LoadSession, Terminal
from terminal.loadstate import Approval, LoadFile
from terminal.profile import TerminalProfile
from terminal.transport import Patience, PatientHttp
from tests.support.arrangement import AUDIENCE

PATIENCE: Final = 120.0
LOOK_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Played:
    """How one ceremony went; `problem` says why there is no ending. Seconds from its beginning."""

    part: Part
    request_id: str | None
    ending: Ending | None
    problem: str | None
    seconds: float

    @property
    def loaded(self) -> bool:
        """Whether the key is in, and both sides know the same one."""
        one = self.ending
        return (
            one is not None
            and one.stage is Stage.LOADED
            and one.kcv is not None
            and one.kcv == one.server_kcv
        )


class _Screen:
    """The terminal's screen and keyboard, before which the first administrator stands."""

    def __init__(self) -> None:
        self.codes: queue.Queue[str] = queue.Queue()
        self.typed: queue.Queue[Approval | None] = queue.Queue()

    def stage(self, request_id: str, stage: Stage, reason: str | None) -> None:
        """Nobody reads it."""

    def show_qr(self, text: str, expires_at: int) -> None:
        """Show a QR code."""
        del expires_at
        self.codes.put(text)

    def ask_approval(self, problem: str | None) -> Approval | None:
        """Wait for the number and the code."""
        try:
            typed = self.typed.get(timeout=PATIENCE)
        except queue.Empty:
            raise NoInput from None
        if typed is None or problem is not None:
            raise NoInput
        return typed

    def tell(self, event: Event, **details: str | int | None) -> None:
        """Nobody reads it."""

    def trouble(self, what: str) -> None:
        """Nobody reads it."""


class Act:
    """Plays one ceremony."""

    def __init__(self, system: System, tally: Tally, part: Part) -> None:
        """Bind the system, whose tally, and who takes part."""
        self._system = system
        self._tally = tally
        self._part = part
        self._screen = _Screen()
        self._trouble: list[str] = []
        self._abandoned = threading.Event()

    def play(self) -> Played:
        """Play it to its end; what goes wrong is told, not raised."""
        began = time.perf_counter()
        folder = self._system.home.terminals / self._part.terminal_no
        people = threading.Thread(target=self._people, daemon=True)
        people.start()
        ending: Ending | None = None
        try:
            ending = self._load(folder)
        except Exception as error:  # noqa: BLE001 - one failed ceremony must not hide the others
            self._give_up("terminal", error)
        seconds = time.perf_counter() - began
        # People in front of a terminal that has given up do not wait for its code.
        self._screen.codes.put("")
        people.join(PATIENCE)
        recorded = LoadFile(folder).read()
        return Played(
            self._part,
            recorded.request_id if recorded else None,
            ending,
            "; ".join(self._trouble) or None,
            seconds,
        )

    def _load(self, folder: Path) -> Ending:
        terminal = Terminal(
            TerminalProfile.read(folder),
            read_device_key(folder),
            Epp(EppStore(folder / EPP_FOLDER)),
        )
        with KeyfillClient(self._http(0)) as client:
            return perform(LoadSession(terminal, client, LoadFile(folder), self._screen))

    def _people(self) -> None:
        try:
            qr_text = self._screen.codes.get(timeout=PATIENCE)
            if qr_text:
                self._apply(qr_text)
                self._decide()
                self._approve()
        except Exception as error:  # noqa: BLE001 - see `play`
            self._give_up("people", error)
            self._screen.typed.put(None)

    def _give_up(self, who: str, error: Exception) -> None:
        self._abandoned.set()
        self._trouble.append(f"{who}: {type(error).__name__}: {error}")

    def _apply(self, qr_text: str) -> None:
        http = self._http(1)
        try:
            phone = self._phone(http, self._part.first)
            phone.ask_code(qr_text)
            document = phone.document(qr_text)
            code = self._read(self._part.first, CODE, "SMS code")
            phone.apply(document, qr_text, self._part.terminal_no, code)
        finally:
            http.close()

    def _decide(self) -> None:
        self._read(self._part.second, REVIEW, "SMS of the review")
        http = self._http(2)
        try:
            phone = self._phone(http, self._part.second)
            document = phone.review(self._awaited(phone))
            phone.decide(document, Reasoned("approve"))
        finally:
            http.close()

    def _approve(self) -> None:
        code = self._read(self._part.first, APPROVAL, "SMS of the approval")
        self._screen.typed.put(Approval(administrator=self._part.first.staff_no, code=code))

    def _awaited(self, phone: Phone) -> str:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for one in phone.reviews():
                if one.terminal_no == self._part.terminal_no:
                    return one.request_id
            time.sleep(LOOK_SECONDS)
        raise NoMessage(f"no review of {self._part.terminal_no}")

    def _read(self, who: Colleague, pattern: re.Pattern[str], what: str) -> str:
        began = time.perf_counter()
        inbox = self._system.phones.inbox
        match = inbox.wait(who.number, self._part.terminal_no, pattern, PATIENCE)
        self._tally.noted(f"wait for the {what}", time.perf_counter() - began)
        return match[1]

    def _phone(self, http: PatientHttp, who: Colleague) -> Phone:
        key = read_key(self._system.home.administrators / f"{who.person}.jwk")
        phone = Phone(http, key, who.staff_no, AUDIENCE)
        phone.login()
        return phone

    def _http(self, party: int) -> PatientHttp:
        """A party's connection: from an address of its own, to the next API."""
        n, servers = self._part.n, self._system.servers
        address = f"127.{party + 1}.{n // 250}.{n % 250 + 1}"
        return PatientHttp(
            servers[(n + party) % len(servers)],
            patience=Patience(give_up_after=PATIENCE),
            transport=Counting(self._tally, address, self._abandoned),
        )
