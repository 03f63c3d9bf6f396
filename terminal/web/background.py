"""The load in the background of a kiosk: one at a time, taken up again at every start."""

import time
from dataclasses import dataclass
from threading import Event, Lock, Thread
from typing import Final, Literal

from ceremony.stages import BEFORE_RELEASE
from terminal.client import KeyfillClient
from terminal.confirming import UnknownQr
from terminal.eppstore import EppStoreError
from terminal.kiosk import NoInput
from terminal.load import cancel, perform, report
from terminal.loadsession import LoadSession, Terminal
from terminal.loadstate import LoadFile, LoadState
from terminal.transport import (
    AnswerMalformed,
    Patience,
    PatientHttp,
    ServerRefused,
    ServerUnavailable,
    checked_server,
)
from terminal.web.browserscreen import BrowserScreen

PAUSE_SECONDS: Final = 5.0
"""Before a load goes on that was given up because the server did not answer."""
CANCEL_WITHIN_SECONDS: Final = 20.0
"""After that the person who pressed the button is told that nobody answered."""
CLOSE_SECONDS: Final = 1.0

Cause = Literal["refused", "unknown-qr", "epp", "storage", "fault"]


@dataclass(frozen=True, slots=True)
class Stopped:
    """Why a load stands still though it has not ended; `code` is the server's, of a refusal."""

    cause: Cause
    code: str | None = None


class BackgroundLoad:
    """At most one load, in a thread; pages read how it stands and press its buttons.

    Every button may be pressed twice, or too late: it gives False then, and does nothing.
    """

    def __init__(
        self, terminal: Terminal, file: LoadFile, screen: BrowserScreen, server: str
    ) -> None:
        """Bind the terminal, its record and its server's origin; nothing runs yet.

        Raises:
            ServerAddressRefused: if codes may not be sent to such a server.
        """
        self.terminal = terminal
        self.screen = screen
        self._file = file
        self._server = checked_server(server)
        self._lock = Lock()
        self._session: LoadSession | None = None
        self._thread: Thread | None = None
        self._halt = Event()
        self._closing = False
        self.stopped: Stopped | None = None
        self.starting = False

    @property
    def state(self) -> LoadState | None:
        """The record of the load on the screen; None if there is none."""
        session = self._session
        return None if session is None else session.state

    @property
    def busy(self) -> bool:
        """Whether a load runs."""
        return self.starting or (self._thread is not None and self._thread.is_alive())

    def server_time(self) -> float | None:
        """The server's clock now, Unix seconds, if it is known."""
        session = self._session
        return None if session is None else session.client.server_time()

    def resume(self) -> None:
        """Take up the load on record, if there is one to go on with or to tell the ending of.

        Raises:
            LoadStateDamaged: if the record cannot be read.
        """
        state = self._file.read()
        if state is None or (state.ended and state.reported):
            return
        if state.request is not None or state.request_id is not None:
            self._start(None)

    def begin(self, reload_reason: str | None) -> bool:
        """Ask for a key."""
        with self._lock:
            if self.busy or self._session is not None:
                return False
            self._start(reload_reason)
            return True

    def again(self) -> bool:
        """Go on with a load that stopped."""
        with self._lock:
            state = self.state
            if self.busy or self.stopped is None or state is None:
                return False
            if state.request_id is None:
                return False
            self._start(None)
            return True

    def dismiss(self) -> bool:
        """Leave the ending, which has been read, or a load that came to nothing."""
        with self._lock:
            session = self._session
            if session is not None and session.state.ended and self._thread is not None:
                self._thread.join(CLOSE_SECONDS)
            if self.busy or (session is None and self.stopped is None):
                return False
            if session is not None and session.state.ended:
                report(session)
            elif session is not None and session.state.request_id is not None:
                return False
            self._leave()
            return True

    def give_up(self) -> bool:
        """Stop asking for a key, as long as no loading request is known to be open."""
        with self._lock:
            state = self.state
            if not self.busy or state is None or state.request_id is not None:
                return False
            self._halt.set()
            return True

    def cancel(self) -> bool:
        """Send a cancellation; the load ends when the server agrees."""
        with self._lock:
            state = self.state
            if state is None or state.request_id is None or self.screen.told.cancelling:
                return False
            if state.stage not in BEFORE_RELEASE:
                return False
            self.screen.cancelling(True)
            Thread(target=self._cancel, args=(state.request_id,), daemon=True).start()
            return True

    def close(self) -> None:
        """Stop; what is on record goes on at the next start."""
        self._closing = True
        self._halt.set()
        self.screen.wake()
        thread = self._thread
        if thread is not None:
            thread.join(CLOSE_SECONDS)

    def _start(self, reload_reason: str | None) -> None:
        halt = self._halt = Event()
        self.stopped, self.starting = None, True
        self.screen.begin(halt.is_set)
        self._thread = Thread(target=self._run, args=(reload_reason, halt), daemon=True)
        self._thread.start()

    def _run(self, reload_reason: str | None, halt: Event) -> None:
        stopped: Stopped | None = Stopped("fault")
        try:
            self._perform(reload_reason, halt)
            stopped = None
        except NoInput:
            stopped = None
            self._halted()
        except ServerRefused as error:
            stopped = Stopped("refused", error.code)
        except UnknownQr:
            stopped = Stopped("unknown-qr")
        except EppStoreError:
            stopped = Stopped("epp")
        except OSError:
            stopped = Stopped("storage")
        finally:
            # A fault that nobody thought of must not leave the screen waiting for ever.
            self.stopped, self.starting, self._thread = stopped, False, None
            self.screen.wake()

    def _perform(self, reload_reason: str | None, halt: Event) -> None:
        def nap(seconds: float) -> None:
            if halt.wait(seconds):
                raise NoInput

        http = PatientHttp(
            self._server,
            sleep=nap,
            on_trouble=self.screen.trouble,
            on_answer=self.screen.answered,
        )
        with KeyfillClient(http) as client:
            session = LoadSession(
                self.terminal, client, self._file, self.screen, reload_reason=reload_reason
            )
            self._session, self.starting = session, False
            while True:
                try:
                    perform(session)
                    return
                except (ServerUnavailable, AnswerMalformed) as error:
                    self.screen.trouble(type(error).__name__)
                    nap(PAUSE_SECONDS)

    def _halted(self) -> None:
        session = self._session
        if self._closing or session is None or session.state.request_id is not None:
            return
        session.save(request=None)
        self._leave()

    def _leave(self) -> None:
        self._session, self.stopped = None, None
        self.screen.begin(lambda: False)

    def _cancel(self, request_id: str) -> None:
        problem: str | None = "unanswered"
        try:
            http = PatientHttp(self._server, patience=Patience(CANCEL_WITHIN_SECONDS))
            with KeyfillClient(http) as client:
                cancel(self.terminal, client, request_id, now=int(time.time()), reason=None)
            problem = None
        except ServerRefused:
            problem = "refused"
        except (ServerUnavailable, AnswerMalformed):
            return
        finally:
            self.screen.cancelling(False, problem)
            self.screen.wake()
        self.again()
