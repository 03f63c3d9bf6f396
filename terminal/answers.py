"""The server's answers as the terminal reads them (the design's HTTP contract)."""

from pydantic import Field

from ceremony.stages import Stage
from terminal.transport import Answer


class QrAnswer(Answer):
    """The QR code to show: `text` is its content, `expires_at` Unix seconds by the server."""

    text: str = Field(repr=False)
    expires_at: int


class OpenedAnswer(Answer):
    """A loading request is open, or was; `status_token` lets this terminal follow it."""

    request_id: str
    stage: Stage
    status_token: str = Field(repr=False)
    qr: QrAnswer | None = None


class StatusAnswer(Answer):
    """Where the loading request stands; `qr_digest` is the accepted application's QR code."""

    request_id: str
    stage: Stage
    version: int
    reason: str | None = None
    qr: QrAnswer | None = None
    qr_digest: str | None = None


class TokenAnswer(Answer):
    """The key token: `value` is standard base64 of its bytes."""

    format: str
    value: str
    key_algorithm: str


class ConfirmedAnswer(Answer):
    """The key worker released the key, or wrapped it again."""

    stage: Stage
    token: TokenAnswer


class StageAnswer(Answer):
    """The stage that a statement led to; `kcv` is the server's, after a receipt only."""

    stage: Stage
    kcv: str | None = None


class ChallengeAnswer(Answer):
    """A challenge, good for `expires_in` seconds."""

    challenge: str
    expires_in: int
