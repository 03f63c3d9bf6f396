"""The parts that the routes work with, made once per process by `app.py` or by a test."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from api.ceremonies import Ceremonies
from api.limits import RateLimits
from api.metrics import Metrics
from api.oidc import OpenIdConnect
from api.pace import STEP_SECONDS
from api.sessionseal import SessionSeal
from api.signalled import Signalled
from api.smscallbacks import SmsCallbacks
from api.streams import Streams
from api.temporalui import TemporalUi
from api.tokens import Tokens
from ceremony.codes import EdgeSeal
from ceremony.qr import QrSeal
from ceremony.trust import Trust
from records.database import Database
from records.watcher import ChangeWatcher


@dataclass(frozen=True)
class Parts:
    """Everything a route may use.

    `clock` gives Unix seconds. `wait_seconds` is how long a call waits for a verdict before it
    answers 202. `sms_callbacks` is None where no SMS provider reports, `temporal_ui` where no
    browser can reach Temporal's, `openid` where there is no OpenID provider. `refusal_step` is the
    pace of refusals in seconds (`api.pace`).
    """

    database: Database
    watcher: ChangeWatcher
    ceremonies: Ceremonies
    trust: Trust
    tokens: Tokens
    session_seal: SessionSeal
    qr: QrSeal
    edge: EdgeSeal
    sms_callbacks: SmsCallbacks | None = None
    temporal_ui: TemporalUi | None = None
    openid: OpenIdConnect | None = None
    limits: RateLimits = field(default_factory=RateLimits)
    metrics: Metrics = field(default_factory=Metrics)
    signalled: Signalled = field(default_factory=Signalled)
    streams: Streams = field(default_factory=Streams)
    clock: Callable[[], float] = time.time
    wait_seconds: float = 5.0
    refusal_step: float = STEP_SECONDS

    def now(self) -> int:
        """Unix time in whole seconds."""
        return int(self.clock())


def parts_of(request: Request) -> Parts:
    """The parts of the application that a call reached."""
    parts: Parts = request.app.state.parts
    return parts


PartsDep = Annotated[Parts, Depends(parts_of)]
