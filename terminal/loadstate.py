"""Where a load stands, on disk: written before each act, so that a restart knows what was said.

`load.json` in the terminal's folder, mode 0600. It holds statements as they were signed, so that
the same ones can be sent again, and, unless told otherwise, the approval code until the key is in.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ceremony.stages import FINAL, Stage
from ceremony.statements import Digest, StaffNo
from terminal.answers import TokenAnswer
from terminal.durable import replace

LOAD_FILE: Final = "load.json"
LOCK_FILE: Final = "load.lock"


class LoadBusy(Exception):
    """Another process performs a load in this folder."""


class LoadStateDamaged(Exception):
    """The state file cannot be read; `keyfill-terminal reset` forgets it."""


class Approval(BaseModel):
    """What is typed at the terminal: the administrator's staff number and the approval code."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    administrator: StaffNo
    code: Annotated[str, Field(pattern=r"^[0-9]{4}$", repr=False)]


class LoadState(BaseModel):
    """One load, as far as it got.

    Attributes:
        server: whom it speaks to.
        request: the `request` statement, signed before it is first sent.
        request_id, status_token, stage, version, reason: what the server last said.
        shown: SHA-256 of each QR token that this terminal showed, the newest last.
        qr_digest: of these, the one that the accepted application names, if the server says it.
        approval: what was typed; forgotten as soon as a receipt is written.
        confirmation: the `confirmation` statement; None before it, and when another is due.
        mistyped: how many confirmations were refused for a mistyped number or code.
        token: the key token that answered it; `token_digest` names the last one that came.
        receipt: the `receipt` statement; `kcv` is the EPP's.
        server_kcv: the server's, known after the receipt.
        reported: the ending was told to whoever started the load; the next run is another load.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    server: str
    request: str | None = None
    request_id: str | None = None
    status_token: Annotated[str | None, Field(repr=False)] = None
    stage: Stage | None = None
    version: int = 0
    reason: str | None = None
    shown: tuple[Digest, ...] = ()
    qr_digest: Digest | None = None
    approval: Approval | None = None
    confirmation: str | None = None
    mistyped: int = 0
    token: TokenAnswer | None = None
    token_digest: Digest | None = None
    receipt: str | None = None
    kcv: str | None = None
    server_kcv: str | None = None
    reported: bool = False

    @property
    def ended(self) -> bool:
        """Whether the loading request has ended, as far as this terminal knows."""
        return self.stage in FINAL


class LoadFile:
    """The state file of a terminal's folder.

    Without `keeps_code` no approval code reaches the disk; after a restart between the typing and
    the import it is asked for again.
    """

    def __init__(self, folder: Path, *, keeps_code: bool = True) -> None:
        """Name the folder; nothing is read yet."""
        self._keeps_code = keeps_code
        self._folder = folder
        self._path = folder / LOAD_FILE

    def read(self) -> LoadState | None:
        """The load on record, open or ended; None if there is none.

        Raises:
            LoadStateDamaged: if the file is there and cannot be read.
        """
        try:
            return LoadState.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError):
            # A validation error would quote the approval code.
            raise LoadStateDamaged(f"{self._path} cannot be read") from None

    def write(self, state: LoadState) -> None:
        """Put a state on record, durably."""
        left_out = None if self._keeps_code else {"approval"}
        replace(self._path, state.model_dump_json(exclude=left_out).encode())

    def forget(self) -> bool:
        """Remove the record; False if there was none."""
        try:
            self._path.unlink()
        except FileNotFoundError:
            return False
        return True

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the folder for one load.

        Raises:
            LoadBusy: if another process holds it.
        """
        descriptor = os.open(self._folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise LoadBusy("another process performs a load in this folder") from None
        finally:
            os.close(descriptor)
