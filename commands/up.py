"""`keyfill up`: everything on this machine, until Ctrl-C or SIGTERM."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Final

import typer

from commands.homefolder import HomeError, HomeFolder
from commands.init import DEFAULT_AUDIENCE, DEFAULT_ORIGIN, make_home
from commands.options import DEFAULT_HOME, AsJson, Exit, Home, write_json
from commands.running import AlreadyRunning, Ports, Running, sole_runner
from settings import Settings, SettingsError

_TAIL_LINES: Final = 12


def up(
    home: Home = DEFAULT_HOME,
    api_port: Annotated[
        int | None, typer.Option(help="The API's port; by default that of the origin.")
    ] = None,
    temporal_port: Annotated[
        int | None, typer.Option(help="Temporal's port; a free one by default.")
    ] = None,
    ui_port: Annotated[
        int | None, typer.Option(help="The Temporal Web UI's port; a free one by default.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Start Temporal with its Web UI, the workers and the API, and stay until Ctrl-C.

    In development a missing home is made first. Ends with 0 after a clean stop, 1 if a process
    ended by itself, 2 if the set-up or a port is wrong, 4 if Temporal did not come up.
    """
    from engine.processes import leave as leave_process

    ports = Ports(api_port, temporal_port, ui_port)
    code = _guarded(HomeFolder(home), ports, as_json=as_json)
    # The SDK's native code may crash an ordinary exit, and the crash would be the exit code.
    leave_process(int(code))


def _guarded(home: HomeFolder, ports: Ports, *, as_json: bool) -> Exit:
    from engine.client import TemporalUnavailable
    from engine.embedded import PortTaken
    from engine.processes import ProcessEnded, ProcessNotReady
    from engine.programs import ProgramMissing
    from engine.transport import TransportRefused
    from records.failures import DatabaseUnavailable

    try:
        _make_if_missing(home)
        with sole_runner(home.path):
            return asyncio.run(_run(home, ports, as_json=as_json))
    except ProcessEnded as error:
        typer.echo(f"{error}\n{_last_lines(error.log_tail)}", err=True)
        return Exit.FAULT
    except (ProcessNotReady, TemporalUnavailable, DatabaseUnavailable) as error:
        typer.echo(f"{error}", err=True)
        return Exit.UNAVAILABLE
    except (
        HomeError,
        SettingsError,
        TransportRefused,
        PortTaken,
        ProgramMissing,
        AlreadyRunning,
    ) as error:
        typer.echo(f"{error}", err=True)
        return Exit.USAGE


async def _run(home: HomeFolder, ports: Ports, *, as_json: bool) -> Exit:
    from commands.deployment import Deployment

    try:
        tell = _nothing if as_json else typer.echo
        async with stopped_by_signals(), Deployment(home, ports, tell) as deployment:
            _tell(deployment.running, home.path, as_json=as_json)
            raise await deployment.first_exit()
    except asyncio.CancelledError:
        return Exit.DONE


@asynccontextmanager
async def stopped_by_signals() -> AsyncIterator[None]:
    """Let the first SIGINT or SIGTERM cancel this task; later ones find it stopping already."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)

    def stop() -> None:
        for number in signals:
            loop.add_signal_handler(number, _ignore)
        if task is not None:
            task.cancel()

    for number in signals:
        loop.add_signal_handler(number, stop)
    yield


def _nothing(_: str) -> None:
    """Say nothing: what a script reads is one line, when all is up."""


def _ignore() -> None:
    """Take no notice of a signal: everything is being stopped already."""


def _make_if_missing(home: HomeFolder) -> None:
    if home.trust_file.exists() or Settings(home=home.path).environment != "development":
        return
    if home.path.exists() and any(home.path.iterdir()):
        raise HomeError(f"{home.path} is no home: it has no trust file.")
    make_home(home, origin=DEFAULT_ORIGIN, audience=DEFAULT_AUDIENCE, now=int(time.time()))


def _tell(running: Running, home: Path, *, as_json: bool) -> None:
    if as_json:
        write_json({"event": "up", **running.model_dump()})
        return
    typer.echo(f"API           {running.api}  (OpenAPI at {running.api}/openapi.json)")
    typer.echo(f"Temporal      {running.temporal}")
    typer.echo(f"Temporal UI   {running.temporal_ui or 'of your own Temporal'}")
    if running.codec is not None:
        typer.echo(f"Codec server  {running.codec}  (for the Temporal UI)")
    typer.echo(f"Home          {home.absolute()}  (logs in {home / 'logs'})")
    typer.echo("Ctrl-C stops everything.")


def _last_lines(text: str) -> str:
    return "\n".join(text.splitlines()[-_TAIL_LINES:])
