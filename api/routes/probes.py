"""Probes: whether the process lives, whether it can serve, and what it counts."""

from collections.abc import Awaitable
from typing import Annotated, Literal

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, Field

from api.authentication import Anyone
from api.ceremonies import CeremoniesAway
from api.parts import Parts, PartsDep
from api.problems import Unavailable
from api.responses import problems
from records.failures import DatabaseUnavailable

router = APIRouter(tags=["probes"])

Finding = Literal["ok", "away"]


class Alive(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    """All that a key loading needs is there."""

    database: Annotated[Finding, Field(examples=["ok"])]
    temporal: Annotated[Finding, Field(examples=["ok"])]
    key_worker: Annotated[Finding, Field(examples=["ok"])]


@router.get("/healthz", summary="Liveness", responses=problems())
async def healthz(_caller: Anyone) -> Alive:
    """Answer, touching nothing else: a restart would not bring Temporal back."""
    return Alive()


@router.get("/readyz", summary="Readiness", responses=problems({503: ("not-ready",)}))
async def readyz(_caller: Anyone, parts: PartsDep) -> Ready:
    """Look for the database, Temporal, and a key worker that asks for work."""
    temporal = await _finding(parts.ceremonies.ready())
    ready = Ready(
        database=await _finding(parts.database.run(parts.database.ping)),
        temporal=temporal,
        key_worker=await _key_worker(parts) if temporal == "ok" else "away",
    )
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
    return Response(parts.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)


async def _key_worker(parts: Parts) -> Finding:
    try:
        return "ok" if await parts.ceremonies.key_worker_polls() else "away"
    except CeremoniesAway:
        return "away"


async def _finding(check: Awaitable[None]) -> Finding:
    try:
        await check
    except (CeremoniesAway, DatabaseUnavailable):
        return "away"
    return "ok"
