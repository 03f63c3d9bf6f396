"""The API process's application: settings and gateways on one side, routes on the other.

uvicorn.run(create_app(Settings.for_role("api")), ...)
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any, Final

from fastapi import FastAPI
from fastapi.routing import APIRoute
from opentelemetry.trace import Tracer

from api import errorhandlers
from api.bodies import BodyCap
from api.calls import Calls
from api.ceremonies import TemporalCeremonies
from api.headers import SecurityHeaders
from api.limits import RateLimits
from api.metrics import CallMetrics
from api.oidc import openid_of
from api.oidcsettings import client_of
from api.pace import RefusalPace
from api.pages import application, enrolment, entrance, officers, requesting, reviewing
from api.parts import Parts
from api.responses import completed
from api.routes import (
    applications,
    audit,
    cancellations,
    challenges,
    confirmations,
    enrolments,
    loading_requests,
    oidc,
    probes,
    receipts,
    reviews,
    sessions,
    sms_codes,
    sms_status,
    updates,
)
from api.sessionseal import SessionSeal
from api.smscallbacks import CallbackUnauthentic, DeliveryReport, SmsCallbacks
from api.temporalui import TemporalUi
from api.tokens import Tokens
from ceremony.codes import EdgeSeal
from ceremony.qr import QrSeal
from engine.client import TemporalTarget, connect
from engine.keyring import KeyRing
from engine.payloadcodec import codec_of
from engine.transport import transport_to
from gateways.twiliocallbacks import CallbackRefused, TwilioSignature
from records.database import Database
from records.engines import Limits
from records.rates import SharedRates
from records.watcher import ChangeWatcher
from settings import Settings
from telemetry.corelogs import core_logging
from telemetry.endpoint import make_runtime
from telemetry.traces import Traces

VERSION: Final = "1"

_DESCRIPTION: Final = """\
Keyfill loads terminal master keys into ATMs under dual control.

Every act is a **signed statement**: a compact JWS, or a WebAuthn assertion over the same payload.
The same statement again gives the same answer. When a verdict takes longer than a few seconds,
the answer is 202 with a `Location`; the same call again fetches it.

Errors are problem documents (RFC 9457) with a stable `code`. Unknown ids and ids of others get
the same 404.
"""

_TAGS: Final = [
    {"name": "challenges", "description": "Freshness for signers without a trusted clock."},
    {"name": "loading requests", "description": "Called by terminals; watched by both sides."},
    {"name": "sessions", "description": "Administrators and auditors sign in and out."},
    {"name": "applications", "description": "The first administrator applies."},
    {"name": "reviews", "description": "The second administrator decides."},
    {"name": "audit", "description": "Auditors search, read and take evidence."},
    {"name": "enrolments", "description": "A person enrols their own credential."},
    {"name": "sms", "description": "Called by the SMS provider."},
    {"name": "probes", "description": "For those who run Keyfill."},
]

_ROUTERS: Final = (
    challenges.router,
    loading_requests.router,
    confirmations.router,
    receipts.router,
    cancellations.router,
    sessions.router,
    sms_codes.router,
    applications.router,
    # Before what takes any word for a request's id.
    updates.router,
    reviews.router,
    audit.router,
    enrolments.router,
    sms_status.router,
    entrance.router,
    oidc.router,
    application.router,
    enrolment.router,
    reviewing.router,
    requesting.router,
    officers.router,
    probes.router,
)

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


class TwilioCallbacks:
    """`SmsCallbacks` by Twilio's signature."""

    def __init__(self, signature: TwilioSignature) -> None:
        """Bind the verifier."""
        self._signature = signature

    def read(self, fields: Iterable[tuple[str, str]], signature: str | None) -> DeliveryReport:
        """See `SmsCallbacks.read`."""
        try:
            report = self._signature.verify(fields, signature)
        except CallbackRefused:
            raise CallbackUnauthentic from None
        return DeliveryReport(report.provider_sid, report.status, report.error)


def create_app(settings: Settings) -> FastAPI:
    """Make the application of an API process; it starts while Temporal is still away.

    Raises:
        SettingsError, KeyRingError: if a secret or the trust file is missing or malformed.
        TransportRefused: if Temporal would be reached unencrypted outside development.
        EndpointRefused: if the metrics address cannot be listened on.
        TrustError: if the trust file cannot be used.
    """
    trust = settings.read_trust()
    database = Database(settings.database, limits=Limits.of(settings))
    transport = transport_to(
        settings.temporal_address, required=settings.environment != "development"
    )
    target = TemporalTarget(settings.temporal_address, settings.temporal_namespace, transport)
    codec = codec_of(settings.payload_ring)
    ring = KeyRing.read(settings.payload_ring) if settings.payload_ring else None
    traces = Traces.of("api", settings.traces_endpoint, settings.traces_ratio)
    ceremonies = TemporalCeremonies(
        partial(
            connect,
            target,
            codec=codec,
            wait=timedelta(0),
            identity="keyfill-api",
            runtime=make_runtime(settings.metrics_address, core_logging()),
            interceptors=traces.interceptors,
        )
    )
    parts = Parts(
        database=database,
        watcher=ChangeWatcher(database),
        ceremonies=ceremonies,
        trust=trust,
        tokens=Tokens(settings.secret("session_key")),
        session_seal=SessionSeal.of(ring, settings.secret("session_key")),
        qr=QrSeal(settings.secret("qr_key"), trust.audience),
        edge=EdgeSeal(settings.secret("edge_key")),
        limits=RateLimits(counts=SharedRates(database)),
        sms_callbacks=_sms_callbacks(settings),
        temporal_ui=TemporalUi(settings.temporal_ui, settings.temporal_namespace)
        if settings.temporal_ui
        else None,
        openid=openid_of(client_of(settings, trust.origin), settings.secret("session_key")),
        wait_seconds=settings.api_wait_seconds,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        connecting = asyncio.create_task(ceremonies.keep_trying(), name="keyfill-temporal")
        try:
            yield
        finally:
            connecting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await connecting
            await parts.watcher.close()
            database.close()
            await asyncio.to_thread(traces.close)

    return build_app(parts, lifespan, traces.tracer)


def build_app(
    parts: Parts, lifespan: Lifespan | None = None, tracer: Tracer | None = None
) -> FastAPI:
    """Make the application from parts; whoever made them closes them. `tracer` makes its spans."""
    app = FastAPI(
        title="Keyfill",
        version=VERSION,
        description=_DESCRIPTION,
        openapi_tags=_TAGS,
        # Their pages load scripts from elsewhere; any viewer reads /openapi.json.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        generate_unique_id_function=_operation_id,
        # It would put bodies that fail validation, codes included, into logs and traces.
        telemetry={
            "tracing": False,
            "metrics": False,
            "logs": False,
            "operation_spans": False,
            "auto_configure": False,
        },
    )
    app.state.parts = parts
    errorhandlers.install(app)
    for router in _ROUTERS:
        app.include_router(router)
    app.add_middleware(BodyCap)
    app.add_middleware(errorhandlers.UnexpectedErrors)
    app.add_middleware(CallMetrics, metrics=parts.metrics)
    app.add_middleware(SecurityHeaders, https=parts.trust.origin.startswith("https:"))
    app.add_middleware(Calls, tracer=tracer)
    app.add_middleware(RefusalPace, step=parts.refusal_step)
    _complete_openapi(app)
    return app


def _complete_openapi(app: FastAPI) -> None:
    plain = app.openapi
    document: dict[str, Any] = {}

    def complete() -> dict[str, Any]:
        if not document:
            document.update(completed(plain()))
        return document

    app.openapi = complete  # type: ignore[method-assign]


def _operation_id(route: APIRoute) -> str:
    return route.name


def _sms_callbacks(settings: Settings) -> SmsCallbacks | None:
    if settings.sms_gateway != "twilio":
        return None
    return TwilioCallbacks(
        TwilioSignature(settings.secret_text("twilio_auth_token"), settings.twilio_status_callback)
    )
