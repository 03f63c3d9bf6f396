"""`keyfill codec-server`: lets auditors read sealed payloads in the Temporal UI."""

import contextlib

from commands.opened import settings_of
from commands.options import DEFAULT_HOME, Exit, Home, leave


def codec_server(home: Home = DEFAULT_HOME) -> None:
    """Run the codec server until SIGTERM; 0 after a clean stop, 2 for unusable settings.

    It opens payloads for pages of the Temporal UI (KEYFILL_TEMPORAL_UI) that an auditor uses with
    a session of Keyfill's API, and records each call. It must share the API's host name, behind one
    proxy for instance, so that browsers send it the API's session cookie.
    """
    import uvicorn

    from api.codecaccess import CODEC_RATES, CodecDesk, origin_of
    from api.codecserver import build_codec_app
    from api.limits import RateLimits
    from api.sessionseal import SessionSeal
    from commands.homefolder import HomeError, read_trust
    from engine import processes
    from engine.keyring import KeyRing, KeyRingError
    from engine.transport import is_loopback
    from records.database import Database
    from records.engines import Limits
    from records.rates import SharedRates
    from telemetry import logs

    settings = settings_of(home, "codec")
    try:
        ring = KeyRing.read(settings.payload_ring or "")
        origin = origin_of(settings.temporal_ui)
        trust = read_trust(settings.trust)
    except (KeyRingError, HomeError) as error:
        leave(Exit.USAGE, f"{error}")
    except ValueError:
        leave(Exit.USAGE, "Set KEYFILL_TEMPORAL_UI to the address of the Temporal UI.")
    if settings.codec_readers == "anyone" and not is_loopback(f"{settings.codec_host}:0"):
        leave(Exit.USAGE, "Set KEYFILL_CODEC_READERS to auditors, or listen on loopback only.")
    logs.set_up("codec", settings.log_level, plain=settings.environment == "development")
    database = Database(settings.database, limits=Limits.of(settings))
    desk = CodecDesk(
        ring=ring,
        namespace=settings.temporal_namespace,
        database=database,
        trust=trust,
        session_seal=SessionSeal.of_ring(ring),
        ui_origin=origin,
        readers=settings.codec_readers,
        limits=RateLimits(CODEC_RATES, SharedRates(database), realm="codec"),
    )
    server = uvicorn.Server(
        uvicorn.Config(
            build_codec_app(desk),
            host=settings.codec_host,
            port=settings.codec_port,
            log_level=settings.log_level,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=5,
        )
    )
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    database.close()
    processes.leave(Exit.DONE if server.started else Exit.FAULT)
