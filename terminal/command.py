"""The `keyfill-terminal` command: performs a load at one terminal, and resumes one.

`load` shows it in a text window or to a script, `kiosk` in a browser on this machine.

Exit codes: 0 loaded, 1 not finished (run `load` again), 2 wrong usage or set-up, 3 rejected,
4 expired, 5 cancelled, 6 failed or refused, 7 unconfirmed.
"""

import json
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final, NoReturn

import typer
from rich.console import Console

from ceremony.stages import FINAL, OPEN, Stage
from terminal.client import KeyfillClient
from terminal.confirming import UnknownQr
from terminal.device import DeviceKeyError, read_device_key
from terminal.epp import Epp
from terminal.epperrors import EppError
from terminal.eppstore import EppStore, EppStoreError
from terminal.keyboard import Keyboard, LineKeyboard, PromptKeyboard
from terminal.kiosk import NoInput
from terminal.load import Ending, cancel, perform, report
from terminal.loadsession import LoadSession, Terminal
from terminal.loadstate import LoadBusy, LoadFile, LoadState, LoadStateDamaged
from terminal.profile import ProfileError, TerminalProfile
from terminal.screen import JsonScreen, TextScreen
from terminal.transport import (
    GIVE_UP_SECONDS,
    AnswerMalformed,
    Patience,
    PatientHttp,
    ServerAddressRefused,
    ServerRefused,
    ServerUnavailable,
)

NOT_FINISHED: Final = 1
USAGE: Final = 2
FAILED: Final = 6
EXIT_CODES: Final[Mapping[Stage, int]] = MappingProxyType(
    {
        Stage.LOADED: 0,
        Stage.REJECTED: 3,
        Stage.EXPIRED: 4,
        Stage.CANCELLED: 5,
        Stage.FAILED: FAILED,
        Stage.UNCONFIRMED: 7,
    }
)
EPP_FOLDER: Final = "epp"

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help=__doc__,
    rich_markup_mode=None,
)

Folder = Annotated[Path, typer.Option(help="The terminal's own folder.", file_okay=False)]
Server = Annotated[str, typer.Option(help="Keyfill's origin, https://host[:port].")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON lines instead of text.")]


@app.command()
def load(
    server: Server,
    folder: Folder,
    administrator: Annotated[
        str | None, typer.Option(help="The first administrator's staff number.")
    ] = None,
    approval_from: Annotated[
        Path | None,
        typer.Option(help="Read '<code>' or '<administrator> <code>' from this file or FIFO."),
    ] = None,
    give_up_after: Annotated[
        float, typer.Option(min=1, help="Seconds without an answer before giving up.")
    ] = GIVE_UP_SECONDS,
    reload_reason: Annotated[
        str | None, typer.Option(help="Why a terminal that has a key needs another one.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Ask for a key and load it, or go on with the load on record."""
    keyboard = _keyboard(approval_from, administrator)
    text, lines = TextScreen(Console(), keyboard), JsonScreen(keyboard)
    screen = lines if as_json else text
    terminal, file = _terminal(folder), LoadFile(folder)
    try:
        with (
            closing(keyboard),
            file.exclusive(),
            _client(server, give_up_after, screen) as client,
        ):
            session = LoadSession(terminal, client, file, screen, reload_reason=reload_reason)
            ending = perform(session)
            _tell_ending(ending, lines if as_json else None)
            report(session)
    except ServerRefused as error:
        _leave(FAILED, f"The server refused: {error.code}.", error.code)
    except UnknownQr as error:
        _leave(FAILED, f"Not confirmed: {error}. Cancel this load.", "unknown-qr")
    except (LoadBusy, LoadStateDamaged) as error:
        _leave(USAGE, f"{error}.", "state")
    except (ServerUnavailable, AnswerMalformed, EppStoreError) as error:
        _leave(NOT_FINISHED, f"Not finished: {error}. Run the same command again.", "unfinished")
    except (NoInput, KeyboardInterrupt):
        _leave(NOT_FINISHED, "Not finished. Run the same command again to go on.", "no-input")
    raise typer.Exit(EXIT_CODES[ending.stage])


@app.command()
def kiosk(
    server: Server,
    folder: Folder,
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="The screen's port on 127.0.0.1; 0: a free one.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Serve this terminal's screen to a browser on this machine, and go on with an open load."""
    from terminal.web.background import BackgroundLoad
    from terminal.web.bell import Bell
    from terminal.web.browserscreen import BrowserScreen
    from terminal.web.server import PortTaken, serve

    def ready(address: str) -> None:
        told = json.dumps({"event": "kiosk", "url": address})
        typer.echo(told if as_json else f"The screen of this terminal is at {address}")

    terminal, file, bell = _terminal(folder), LoadFile(folder, keeps_code=False), Bell()
    try:
        background = BackgroundLoad(terminal, file, BrowserScreen(bell), server)
        with file.exclusive():
            serve(background, bell, port=port, ready=ready)
    except ServerAddressRefused as error:
        _leave(USAGE, str(error), "server")
    except PortTaken as error:
        _leave(USAGE, f"{error}.", "port")
    except (LoadBusy, LoadStateDamaged) as error:
        _leave(USAGE, f"{error}.", "state")


@app.command()
def status(folder: Folder, as_json: AsJson = False) -> None:
    """Show the load on record and, if it is open, where the server says that it stands."""
    state = _recorded(folder)
    if state.request_id is not None and state.status_token is not None and state.stage in OPEN:
        try:
            with _quick_client(state.server, 2) as client:
                now = client.status(state.request_id, state.status_token, after=0, wait=0)
            state = state.model_copy(update={"stage": now.stage, "reason": now.reason})
        except (ServerRefused, ServerUnavailable, AnswerMalformed) as error:
            typer.echo(f"The server's word is missing: {error}.", err=True)
    shown = {
        "request_id": state.request_id,
        "stage": state.stage,
        "reason": state.reason,
        "kcv": state.kcv,
        "server_kcv": state.server_kcv,
    }
    if as_json:
        typer.echo(json.dumps(shown))
    else:
        for name, value in shown.items():
            typer.echo(f"{name:<11} {value if value is not None else '–'}")


@app.command("cancel")
def cancel_load(
    folder: Folder,
    reason: Annotated[str | None, typer.Option(help="Why, in a few words.")] = None,
) -> None:
    """Cancel the open load; a load that runs in another process ends by itself then."""
    state, terminal = _recorded(folder), _terminal(folder)
    if state.request_id is None or state.stage in FINAL:
        _leave(USAGE, "No open load is on record.", "state")
    try:
        with _quick_client(state.server, 60) as client:
            stage = cancel(terminal, client, state.request_id, now=int(time.time()), reason=reason)
    except ServerRefused as error:
        _leave(FAILED, f"The server refused: {error.code}.", error.code)
    except (ServerUnavailable, AnswerMalformed) as error:
        _leave(NOT_FINISHED, f"Not finished: {error}. Run the same command again.", "unfinished")
    _note_end(folder, stage)
    typer.echo(stage.value)
    raise typer.Exit(EXIT_CODES[stage])


@app.command()
def reset(
    folder: Folder,
    force: Annotated[bool, typer.Option(help="Forget an open load too.")] = False,
) -> None:
    """Forget the load on record. An open one can then not be confirmed any more: cancel it."""
    file = LoadFile(folder)
    try:
        with file.exclusive():
            state = None if force else file.read()
            if state is not None and not state.ended:
                _leave(USAGE, "The load is open: cancel it, or give --force.", "state")
            file.forget()
    except (LoadBusy, LoadStateDamaged) as error:
        _leave(USAGE, f"{error}; --force forgets it.", "state")
    except OSError:
        _leave(USAGE, f"There is no terminal set up in {folder}.", "state")


@app.command()
def pin(
    folder: Folder,
    certificate: Annotated[
        Path | None, typer.Option(help="The next KDH's certificate, PEM: accepted from now on.")
    ] = None,
    thumbprint: Annotated[
        str, typer.Option(help="Its SHA-256 in base64url, as you were told it.")
    ] = "",
    drop_former: Annotated[
        bool, typer.Option("--drop-former", help="Accept the KDH that was pinned last only.")
    ] = False,
) -> None:
    """Pin the next key distribution host beside the present one; later drop the former."""
    from terminal import pinning

    if (certificate is None) is not drop_former:
        _leave(USAGE, "Give --certificate with --thumbprint, or --drop-former.", "usage")
    epp = _terminal(folder).epp
    try:
        if certificate is None:
            pinning.drop_former(folder, epp)
        else:
            pinning.pin_beside(folder, epp, _der_of(certificate), thumbprint)
    except (pinning.PinRefused, EppError, EppStoreError, ProfileError) as error:
        _leave(USAGE, f"Not changed: {error}.", "pin")
    typer.echo("\n".join(TerminalProfile.read(folder).pins))


def main() -> None:
    """Run the command."""
    app()


def _keyboard(source: Path | None, administrator: str | None) -> Keyboard:
    if source is None and sys.stdin.isatty():
        return PromptKeyboard(_prompt, administrator)
    return LineKeyboard(None if source in (None, Path("-")) else source, administrator)


def _prompt(question: str, hidden: bool) -> str:
    try:
        answer: str = typer.prompt(question, hide_input=hidden)
    except typer.Abort:
        raise EOFError from None
    return answer


def _terminal(folder: Path) -> Terminal:
    try:
        profile = TerminalProfile.read(folder)
        return Terminal(profile, read_device_key(folder), Epp(EppStore(folder / EPP_FOLDER)))
    except (ProfileError, DeviceKeyError) as error:
        _leave(USAGE, str(error), "set-up")
    except EppStoreError as error:
        _leave(USAGE, f"The EPP does not start: {error}.", "set-up")


def _der_of(certificate: Path) -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    try:
        read = x509.load_pem_x509_certificate(certificate.read_bytes())
    except (OSError, ValueError):
        _leave(USAGE, f"There is no certificate at {certificate}.", "pin")
    return read.public_bytes(Encoding.DER)


def _client(server: str, give_up_after: float, screen: TextScreen | JsonScreen) -> KeyfillClient:
    try:
        http = PatientHttp(server, patience=Patience(give_up_after), on_trouble=screen.trouble)
    except ServerAddressRefused as error:
        _leave(USAGE, str(error), "server")
    return KeyfillClient(http)


def _quick_client(server: str, give_up_after: float) -> KeyfillClient:
    return KeyfillClient(PatientHttp(server, patience=Patience(give_up_after)))


def _recorded(folder: Path) -> LoadState:
    try:
        state = LoadFile(folder).read()
    except LoadStateDamaged as error:
        _leave(USAGE, f"{error}.", "state")
    if state is None:
        _leave(USAGE, "No load is on record.", "state")
    return state


def _note_end(folder: Path, stage: Stage) -> None:
    file = LoadFile(folder)
    try:
        with file.exclusive():
            state = file.read()
            if state is not None:
                file.write(state.model_copy(update={"stage": stage, "reported": True}))
    except (LoadBusy, LoadStateDamaged):
        # A running load learns it from the server by itself.
        return


def _tell_ending(ending: Ending, lines: JsonScreen | None) -> None:
    if lines is not None:
        lines.write(
            "ended",
            stage=ending.stage.value,
            reason=ending.reason,
            kcv=ending.kcv,
            server_kcv=ending.server_kcv,
            exit_code=EXIT_CODES[ending.stage],
        )
    elif ending.kcv is not None:
        Console().print(f"KCV by the EPP {ending.kcv}, by the server {ending.server_kcv or '–'}")


def _leave(code: int, message: str, word: str) -> NoReturn:
    """End with a message for people on standard error; `word` is its short form."""
    typer.echo(f"{message} [{word}]", err=True)
    raise typer.Exit(code)


if __name__ == "__main__":
    main()
