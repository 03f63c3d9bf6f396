"""What crosses the wire in several calls: statements in bodies, QR codes, answers still to come."""

from typing import Annotated, Final

from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from api.problems import Malformed
from api.statements import Pending
from ceremony.encoding import canonical_json
from ceremony.stages import Stage
from ceremony.verification import MAX_STATEMENT_CHARS

JWS_EXAMPLE: Final = "eyJhbGciOiJFUzI1NiIsImtpZCI6IuKApiIsInR5cCI6IuKApiJ9.eyJhdWQiOiLigKYifQ.c2ln"
REQUEST_ID_EXAMPLE: Final = "n4bQgYhMfWWaL-qgxVrQFaO_"
QR_TEXT_EXAMPLE: Final = "https://keyfill.example/a#8Wm0kq0s7yS2V8sX4l1d"
DIGEST_EXAMPLE: Final = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

UnixSeconds = Annotated[int, Field(description="Unix time, seconds.", examples=[1_800_000_000])]
QrText = Annotated[
    str,
    Field(max_length=600, description="The scanned text, whole.", examples=[QR_TEXT_EXAMPLE]),
]
_B64url = Annotated[str, Field(max_length=MAX_STATEMENT_CHARS, pattern=r"^[A-Za-z0-9_-]*$")]


class Received(BaseModel):
    """The base of every body: unknown members are refused, and no value reaches a log."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class PasskeyStatement(Received):
    """A statement signed by a passkey: all but `typ` is unpadded base64url.

    The assertion's challenge is the statement digest, SHA-256 of `typ "." payload`.
    """

    typ: Annotated[str, Field(max_length=64, examples=["keyfill.login+jws"])]
    payload: _B64url
    credential_id: _B64url
    authenticator_data: _B64url
    client_data_json: _B64url
    signature: _B64url


Statement = Annotated[
    Annotated[str, Field(max_length=MAX_STATEMENT_CHARS, title="Compact JWS")] | PasskeyStatement,
    Field(
        description="A compact JWS with header `alg`, `kid`, `typ`, or the WebAuthn form.",
        examples=[JWS_EXAMPLE],
    ),
]


class SignedBody(Received):
    """A body that is a statement and nothing else."""

    statement: Statement


class QrCode(BaseModel):
    """The QR code that the terminal shows now; another one is due a minute before it expires."""

    text: Annotated[str, Field(description="What the code says.", examples=[QR_TEXT_EXAMPLE])]
    png: Annotated[
        str,
        Field(
            description="The picture, as a `data:` URI.",
            examples=["data:image/png;base64,iVBORw0KGgo="],
        ),
    ]
    expires_at: UnixSeconds


class StillPending(BaseModel):
    """No verdict yet: the same call again fetches it. `stage` is null before the request opens."""

    stage: Annotated[Stage | None, Field(examples=[Stage.AWAITING_REVIEW])]
    version: Annotated[int, Field(ge=0, examples=[3])]


def statement_text(statement: str | PasskeyStatement) -> str:
    """The statement text (`ceremony.verification`) of what came in a body.

    Raises:
        Malformed: if the WebAuthn form was sent as a string: one statement has one spelling.
    """
    if isinstance(statement, PasskeyStatement):
        return canonical_json(statement.model_dump()).decode()
    if statement.startswith("{"):
        raise Malformed("malformed")
    return statement


def accepted(pending: Pending) -> JSONResponse:
    """202: where to look while the verdict is to come."""
    return JSONResponse(
        {"stage": pending.stage, "version": pending.version},
        status_code=202,
        headers={"Location": f"/v1/loading-requests/{pending.request_id}"},
    )
