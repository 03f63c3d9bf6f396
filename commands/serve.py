"""`keyfill api` and `keyfill worker`: one process each, as an operator's supervisor starts them."""

import contextlib
import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from commands.opened import settings_of
from commands.options import DEFAULT_HOME, Exit, Home, leave

_SHUTDOWN_SECONDS = 10
_IDLE_SECONDS = 75
"""Longer than proxies and clients keep an idle connection (nginx: 60 s, httpx: 5 s): who reuses one
at the moment in which the server closes it gets no answer, and a proxy repeats no POST."""


def worker(
    role: Annotated[Literal["ceremony", "keys"], typer.Option(help="Which worker.")],
    home: Home = DEFAULT_HOME,
) -> None:
    """Run one worker until SIGTERM; 0 after a clean stop, 2 for unusable settings."""
    import worker as worker_process
    from engine import processes

    _name_home(home)
    processes.leave(worker_process.main(["--role", role]))


def api(home: Home = DEFAULT_HOME) -> None:
    """Run the API until SIGTERM; 0 after a clean stop, 2 for unusable settings."""
    import uvicorn

    from api.app import create_app
    from api.server import Server
    from ceremony.trust import TrustError
    from engine import processes
    from engine.keyring import KeyRingError
    from engine.transport import TransportRefused
    from settings import SettingsError
    from telemetry import logs
    from telemetry.endpoint import EndpointRefused

    _name_home(home)
    settings = settings_of(home, "api")
    # First: what a library logs while the application is made goes by the same rules.
    logs.set_up("api", settings.log_level, plain=settings.environment == "development")
    try:
        app = create_app(settings)
    except (
        SettingsError,
        EndpointRefused,
        KeyRingError,
        TransportRefused,
        TrustError,
        OSError,
    ) as error:
        leave(Exit.USAGE, f"{error}")
    config = uvicorn.Config(
        app,
        host=settings.api_host,
        port=settings.api_port,
        log_level=settings.log_level,
        log_config=None,
        # It would log paths and queries; what the API has to say of a call is in the audit trail,
        # in the metrics, and in the lines of api.calls.
        access_log=False,
        server_header=False,
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )
    server = Server(config, app.state.parts.streams)
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    processes.leave(Exit.DONE if server.started else Exit.FAULT)


def _name_home(home: Path) -> None:
    # The worker reads its settings by itself, from the environment.
    os.environ["KEYFILL_HOME"] = str(home.absolute())
