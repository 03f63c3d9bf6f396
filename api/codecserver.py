"""The codec server: opens sealed payloads for the Temporal UI, for auditors and nobody else.

It only opens (`POST /decode`), for pages of one origin, for auditors with a session of Keyfill's
own API, at a limited rate; every call is in the audit trail before it is answered. A payload opens
for the workflow that it names itself, because the UI does not say where it found it: a payload that
was moved to another workflow is shown here, though no worker would take it.
"""

import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from google.protobuf.json_format import MessageToDict, Parse, ParseError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from temporalio.api.common.v1 import Payload, Payloads

from api.codecaccess import CodecDesk
from api.limits import RateLimited
from api.problems import ApiProblem, BodyTooLarge, Malformed, TooMany, Unavailable, document
from engine.payloadcodec import (
    ENCODING,
    PayloadKeyUnknown,
    PayloadRefused,
    Place,
    claimed_workflow,
    open_sealed,
)
from records.failures import DatabaseUnavailable
from telemetry.fields import StaffNo

MAX_BODY_BYTES: Final = 4 * 1024 * 1024
MAX_PAYLOADS: Final = 1000
MAX_WORKFLOWS: Final = 20
"""The UI shows one at a time; the trail names every one that was read."""

_log = logging.getLogger("keyfill.codec")
_Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class _Shown:
    """What the UI is shown for a payload; `workflow` is whose it is, if it opened."""

    payload: Payload
    workflow: str | None = None
    refused: bool = False


def build_codec_app(desk: CodecDesk) -> Starlette:
    """Make the codec server's application; whoever made the desk's database closes it."""

    async def decode(request: Request) -> Response:
        reader = await desk.admit(request)
        payloads = _read(await _body(request))
        shown = [_shown(desk, one) for one in payloads]
        workflows = sorted({one.workflow for one in shown if one.workflow is not None})
        if len(workflows) > MAX_WORKFLOWS:
            raise Malformed("too-many-workflows")
        detail: dict[str, Any] = {
            "workflows": workflows,
            "payloads": len(shown),
            "refused": sum(one.refused for one in shown),
        }
        await desk.note(reader, detail)
        _log.info(
            "payloads-read: %(payloads)d of %(workflows)s by %(reader)s, %(refused)d refused",
            {"reader": StaffNo(reader.actor or "anyone"), **detail},
        )
        return JSONResponse({"payloads": [MessageToDict(one.payload) for one in shown]})

    async def preflight(request: Request) -> Response:
        desk.check_origin(request)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    return Starlette(
        routes=[
            Route("/decode", _across_origins(desk, decode), methods=["POST"]),
            Route("/decode", _across_origins(desk, preflight), methods=["OPTIONS"]),
            Route("/healthz", healthz),
        ]
    )


def _across_origins(desk: CodecDesk, endpoint: _Endpoint) -> _Endpoint:
    """Let pages of the UI's origin, and no others, read the answer; errors become documents."""

    async def answered(request: Request) -> Response:
        try:
            response = await endpoint(request)
        except RateLimited as error:
            response = document(TooMany(error.retry_after))
        except DatabaseUnavailable:
            response = document(Unavailable("database-unavailable"))
        except ApiProblem as error:
            response = document(error)
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Vary"] = "Origin"
        if desk.is_ui(request):
            response.headers["Access-Control-Allow-Origin"] = desk.ui_origin
            response.headers["Access-Control-Allow-Credentials"] = "true"
            response.headers["Access-Control-Allow-Methods"] = "POST"
            response.headers["Access-Control-Allow-Headers"] = (
                "authorization, content-type, x-namespace"
            )
            response.headers["Access-Control-Max-Age"] = "600"
        return response

    return answered


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise BodyTooLarge
    return bytes(body)


def _read(body: bytes) -> list[Payload]:
    try:
        payloads = list(Parse(body, Payloads()).payloads)
    except (ParseError, UnicodeDecodeError, RecursionError):
        raise Malformed("malformed") from None
    if len(payloads) > MAX_PAYLOADS:
        raise BodyTooLarge
    return payloads


def _shown(desk: CodecDesk, payload: Payload) -> _Shown:
    if payload.metadata.get("encoding") != ENCODING.encode():
        # The UI has it in clear already; Temporal's core writes some so.
        return _Shown(payload)
    try:
        workflow = claimed_workflow(payload)
        opened = open_sealed(desk.ring, Place.of(desk.namespace, workflow), payload)
        return _Shown(opened, workflow=workflow)
    except (PayloadRefused, PayloadKeyUnknown) as error:
        # The reason's code without what the payload claims.
        code = f"{error}".partition(":")[0]
        data = json.dumps(f"refused: {code}").encode()
        return _Shown(Payload(metadata={"encoding": b"json/plain"}, data=data), refused=True)
