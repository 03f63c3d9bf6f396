"""The state of one loading request: all that the workflow carries from statement to statement."""

from typing import Final

from pydantic import BaseModel, ConfigDict

from ceremony.reasons import Reason
from ceremony.stages import FINAL, Stage
from ceremony.statements import Kind

ATTEMPTS: Final = 5
"""Applications that the first administrator may get wrong in one request."""
DAILY_ATTEMPTS: Final = 10
"""Applications that one person may get wrong in one day (UTC), over all requests."""
CONFIRMATION_TRIES: Final = 3
"""Confirmations with a mistyped administrator or approval code in one request."""
REWRAPS: Final = 3
"""Times that the same key may be wrapped again after the EPP lost its nonce."""


class CeremonyState(BaseModel):
    """Where one loading request stands and what it rests on; times are Unix seconds.

    Only `ceremony.reducer` makes a new one. It holds digests and counts, never a code, a key, a
    telephone number or a QR text, because it travels in workflow payloads.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    request_id: str
    terminal_no: str
    stage: Stage
    reason: Reason | None = None
    opened_at: int
    request_digest: str
    branch: str
    epp_fingerprint: str
    registry_digest: str
    first_staff_no: str
    second_staff_no: str
    codes_sent_at: tuple[int, ...] = ()
    attempts_left: int = ATTEMPTS
    application_digest: str | None = None
    application_expires_at: int | None = None
    qr_digest: str | None = None
    decision_digest: str | None = None
    approval_expires_at: int | None = None
    confirmation_digest: str | None = None
    tries_left: int = CONFIRMATION_TRIES
    rewraps_left: int = REWRAPS
    token_digest: str | None = None
    receipt_digest: str | None = None
    kcv: str | None = None

    @property
    def final(self) -> bool:
        """Whether the request has ended."""
        return self.stage in FINAL


class Verdict(BaseModel):
    """What a check found: accepted, or refused with every reason that held, the gravest first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    digest: str
    reasons: tuple[Reason, ...] = ()

    @property
    def accepted(self) -> bool:
        """Whether nothing spoke against it."""
        return not self.reasons

    @property
    def reason(self) -> Reason | None:
        """The gravest reason of a refusal."""
        return self.reasons[0] if self.reasons else None
