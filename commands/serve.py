"""`keyfill api` and `keyfill worker`: one process each, as an operator's supervisor starts them."""

import contextlib
import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from commands.opened import settings_of
from commands.options import DEFAULT_HOME, Exit, Home, leave

_SHUTDOWN_SECONDS = 10


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

    _name_home(home)
    settings = settings_of(home, "api")
    try:
        app = create_app(settings)
    except (SettingsError, KeyRingError, TransportRefused, TrustError, OSError) as error:
        leave(Exit.USAGE, f"{error}")
    config = uvicorn.Config(
        app,
        host=settings.api_host,
        port=settings.api_port,
        log_level=settings.log_level,
        # What the API has to say of a call is in the audit trail and the metrics.
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )
    server = Server(config, app.state.parts.streams)
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    processes.leave(Exit.DONE if server.started else Exit.FAULT)


def _name_home(home: Path) -> None:
    # The worker reads its settings by itself, from the environment.
    os.environ["KEYFILL_HOME"] = str(home.absolute())
