"""What all steps of one load share: the terminal, the server, the screen, and the state on disk."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from ceremony.keys import SigningKey
from ceremony.qr import PATH, RENEWAL_SECONDS, VALID_SECONDS, qr_digest
from ceremony.signing import new_nonce, sign
from ceremony.stages import Stage
from ceremony.statements import Payload
from terminal.answers import QrAnswer, StatusAnswer
from terminal.client import KeyfillClient
from terminal.epp import Epp
from terminal.kiosk import Kiosk
from terminal.loadstate import LoadFile, LoadState
from terminal.profile import TerminalProfile
from terminal.transport import ServerRefused

P = TypeVar("P", bound=Payload)

_TOKEN_LOST: Final = frozenset({401, 404})


@dataclass(frozen=True, slots=True)
class Terminal:
    """A terminal's own things: its pins, its device key and its EPP."""

    profile: TerminalProfile
    device: SigningKey
    epp: Epp

    def sign(self, kind: type[P], *, now: int, **fields: object) -> str:
        """Sign a statement of this terminal's; `now` is Unix seconds, by its unproven clock."""
        common = {
            "aud": self.profile.audience,
            "iat": now,
            "nonce": new_nonce(),
            "terminal_no": self.profile.terminal_no,
        }
        return sign(kind.model_validate({**common, **fields}), self.device)


class LoadSession:
    """One load in progress. `state` is what is on disk: change it by `save` only.

    `problem` is the code of the last mistyped confirmation, None if there was none;
    `reload_reason` is why a terminal that has a key asks for another, in a few words.
    """

    def __init__(
        self,
        terminal: Terminal,
        client: KeyfillClient,
        file: LoadFile,
        kiosk: Kiosk,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        reload_reason: str | None = None,
    ) -> None:
        """Take up the load on record if it is open or its ending unreported, else begin another.

        `clock` gives Unix seconds, `monotonic` seconds for measuring.

        Raises:
            LoadStateDamaged: if the state file cannot be read.
        """
        self.terminal = terminal
        self.client = client
        self.kiosk = kiosk
        self.monotonic = monotonic
        self.problem: str | None = None
        self.reload_reason = reload_reason
        self._told: Stage | None = None
        self._on_screen: str | None = None
        self._renewal_at: int | None = None
        self._file = file
        self._clock = clock
        recorded = file.read()
        if recorded is None or (recorded.ended and recorded.reported):
            self.state = LoadState(server=client.server)
        else:
            self.state = recorded.model_copy(update={"server": client.server})

    @property
    def now(self) -> int:
        """The terminal's clock, Unix seconds."""
        return int(self._clock())

    @property
    def request_id(self) -> str:
        """The open loading request's id.

        Raises:
            RuntimeError: if none is open: a fault of ours.
        """
        if self.state.request_id is None:
            raise RuntimeError("no loading request is open")
        return self.state.request_id

    def save(self, **changes: object) -> None:
        """Change the state, on disk first in the sense that nothing acts on it before."""
        changed = self.state.model_copy(update=changes)
        self._file.write(changed)
        self.state = changed

    def begin(self, **fields: object) -> None:
        """Forget what was said about another loading request."""
        self.state = LoadState(server=self.client.server)
        self.save(**fields)

    def sign(self, kind: type[P], **fields: object) -> str:
        """Sign a statement of this terminal's, now."""
        return self.terminal.sign(kind, now=self.now, **fields)

    def refresh(self, *, wait: int) -> None:
        """Ask the server where the request stands, waiting up to `wait` seconds for news."""
        request_id, status_token = self.state.request_id, self.state.status_token
        if request_id is None or status_token is None:
            self.save(stage=None)
            return
        try:
            status = self.client.status(
                request_id, status_token, after=self.state.version, wait=wait
            )
        except ServerRefused as error:
            if error.status not in _TOKEN_LOST:
                raise
            # The server forgot the token, not the request: a new statement joins it again.
            self.save(request=None, status_token=None, stage=None)
            return
        self._note(status)

    def show(self, qr: QrAnswer | None) -> None:
        """Show a QR code, if it is another than the one on the screen; note it first.

        After a restart nothing is on the screen.
        """
        if qr is None:
            return
        digest = qr_digest(qr.text.partition(PATH)[2])
        if self.state.shown[-1:] != (digest,):
            self.save(shown=(*self.state.shown, digest))
        if self._on_screen != digest:
            self._on_screen = digest
            self._renewal_at = qr.expires_at - (VALID_SECONDS - RENEWAL_SECONDS)
            self.kiosk.show_qr(qr.text, qr.expires_at)

    def until_renewal(self, longest: int) -> int:
        """Seconds until the server has another QR code, as far as is known; 1 to `longest`."""
        now = self.client.server_time()
        if self._renewal_at is None or now is None:
            return longest
        return max(1, min(longest, math.ceil(self._renewal_at - now) + 1))

    def tell_stage(self, reason: str | None) -> None:
        """Tell the stage on record, unless this run told it already."""
        stage = self.state.stage
        if stage is not None and stage is not self._told:
            self._told = stage
            self.kiosk.stage(self.request_id, stage, reason)

    def _note(self, status: StatusAnswer) -> None:
        self.save(
            stage=status.stage,
            version=status.version,
            reason=status.reason,
            qr_digest=status.qr_digest or self.state.qr_digest,
        )
        self.tell_stage(status.reason)
        self.show(status.qr)
