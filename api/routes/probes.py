"""Probes: whether the process lives, whether it can serve, and what it counts."""

from functools import partial
from typing import Literal

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from api.authentication import Anyone
from api.figures import look
from api.parts import PartsDep
from api.problems import Unavailable
from api.readiness import Ready, readiness
from api.responses import problems

router = APIRouter(tags=["probes"])


class Alive(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


@router.get("/healthz", summary="Liveness", responses=problems())
async def healthz(_caller: Anyone) -> Alive:
    """Answer, touching nothing else: a restart would not bring Temporal back."""
    return Alive()


@router.get("/readyz", summary="Readiness", responses=problems({503: ("not-ready",)}))
async def readyz(_caller: Anyone, parts: PartsDep) -> Ready:
    """Look for the database, Temporal, and a key worker that asks for work."""
    ready = await readiness(parts)
    findings = ready.model_dump()
    if set(findings.values()) != {"ok"}:
        raise Unavailable("not-ready", {"checks": findings})
    return ready


@router.get(
    "/metrics",
    response_class=PlainTextResponse,
    summary="Prometheus metrics",
    responses=problems(),
)
async def metrics(_caller: Anyone, parts: PartsDep) -> Response:
    """Give all metrics in Prometheus' text format; keep this path inside the network."""
    await parts.metrics.board.renew(partial(look, parts))
    return Response(parts.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)
