"""Where a deployment that `keyfill up` started is to be found: `running.json` in its home.

Ports may be free ones, chosen anew at each start; other commands look here for Temporal.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from terminal.durable import replace

RUNNING_FILE: Final = "running.json"
LOCK_FILE: Final = "running.lock"


@dataclass(frozen=True, slots=True)
class Ports:
    """TCP ports on loopback; None takes a free one, for the API that of the trust file's origin."""

    api: int | None = None
    temporal: int | None = None
    temporal_ui: int | None = None


class AlreadyRunning(Exception):
    """Another process runs this home's deployment."""


class Running(BaseModel):
    """A running deployment's addresses, and the process that holds it together."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    pid: int
    api: str
    temporal: str
    temporal_ui: str | None
    codec: str | None = None

    @classmethod
    def read(cls, home: Path) -> Self | None:
        """What runs in this home; None if nothing does, as far as is known."""
        try:
            return cls.model_validate_json((home / RUNNING_FILE).read_bytes())
        except (OSError, ValidationError):
            return None

    def write(self, home: Path) -> None:
        """Tell other commands."""
        replace(home / RUNNING_FILE, self.model_dump_json().encode())


@contextmanager
def sole_runner(home: Path) -> Iterator[None]:
    """Be the only one to run this home; what was told is withdrawn at the end.

    Raises:
        AlreadyRunning: if somebody is.
    """
    descriptor = os.open(home / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise AlreadyRunning(f"{home} is running already.") from None
    try:
        yield
    finally:
        (home / RUNNING_FILE).unlink(missing_ok=True)
        os.close(descriptor)
