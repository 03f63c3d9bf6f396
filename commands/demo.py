"""`keyfill demo`: three loads at once, on an embedded deployment that is gone afterwards.

One load ends well, one is rejected by the second administrator, and in one the SMS code is
mistyped first. Terminals and administrators are processes of their own that speak HTTP only.
"""

import asyncio
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from commands.conversation import ConversationEnded
from commands.demoscreen import DemoScreen
from commands.demostage import DemoStage
from commands.homefolder import HomeError, HomeFolder
from commands.init import make_home
from commands.options import AsJson, Exit, leave
from commands.running import Ports
from commands.scenario import Act, Colleague, Outbox, Outcome, Scenario
from commands.up import stopped_by_signals

AUDIENCE: Final = "keyfill-demo"
EPP_BITS: Final = 2048
"""Enough to carry AES-128, and made in a moment."""
WITHIN_SECONDS: Final = 180
CLOSED_WITHIN_SECONDS: Final = 30
"""The last notice by SMS goes out after the request has ended."""

# Numbers that the Bundesnetzagentur keeps for drama: they are nobody's.
ANA: Final = Colleague("ana", "A1001", "Ana", "+491713920001")
BEN: Final = Colleague("ben", "A1002", "Ben", "+491713920002")
CLEO: Final = Colleague("cleo", "A1003", "Cleo", "+491713920003")
DAN: Final = Colleague("dan", "A1004", "Dan", "+491713920004")
COLLEAGUES: Final = (ANA, BEN, CLEO, DAN)
SCENARIOS: Final = (
    Scenario("ATM-0001", "Main Street", ANA, BEN),
    Scenario("ATM-0002", "Harbour", CLEO, DAN, decision="reject"),
    Scenario("ATM-0003", "Old Town", BEN, CLEO, mistypes_code=True),
)


@dataclass(frozen=True, slots=True)
class Shown:
    """An outcome with the number of events in its workflow's history."""

    outcome: Outcome
    history_events: int


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Keep the temporary home.")] = False,
    stay: Annotated[
        bool, typer.Option("--stay", help="Afterwards leave all running until Ctrl-C.")
    ] = False,
    export: Annotated[
        Path | None,
        typer.Option(help="Write the loaded terminal's token, EPP key and KCV to this folder."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run three loads at once against an embedded deployment, then stop everything.

    Ends with 0 only if all three ended as they should: one loaded, one rejected, one loaded after
    a mistyped code.
    """
    from engine.processes import leave as leave_process

    if export is not None and not export.is_dir():
        leave(Exit.USAGE, f"{export} is no folder.")
    folder = Path(tempfile.mkdtemp(prefix="keyfill-demo-"))
    screen = DemoScreen(as_json=as_json, names={who.number: who.name for who in COLLEAGUES})
    try:
        code = _guarded(folder, screen, export=export, stay=stay)
    finally:
        if keep:
            screen.note(f"kept {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    # The SDK's native code may crash an ordinary exit, and the crash would be the exit code.
    leave_process(int(code))


def _guarded(folder: Path, screen: DemoScreen, *, export: Path | None, stay: bool) -> Exit:
    from engine.client import TemporalUnavailable
    from engine.processes import ProcessEnded, ProcessNotReady
    from engine.programs import ProgramMissing

    try:
        return asyncio.run(_stoppable(folder, screen, export=export, stay=stay))
    except ProcessEnded as error:
        screen.fault(f"{error}\n{error.log_tail}")
    except (ConversationEnded, ProcessNotReady, TimeoutError) as error:
        screen.fault(f"{error}" or "the demo took too long")
    except (TemporalUnavailable, ProgramMissing, HomeError) as error:
        screen.fault(f"{error}")
        return Exit.UNAVAILABLE
    return Exit.FAULT


async def _stoppable(folder: Path, screen: DemoScreen, *, export: Path | None, stay: bool) -> Exit:
    try:
        async with stopped_by_signals():
            return await _run(folder, screen, export=export, stay=stay)
    except asyncio.CancelledError:
        return Exit.DONE if stay else Exit.FAULT


async def _run(folder: Path, screen: DemoScreen, *, export: Path | None, stay: bool) -> Exit:
    from commands.deployment import Deployment
    from engine.embedded import free_port

    started = time.monotonic()
    home, port = HomeFolder(folder / "home"), free_port()
    screen.note("making keys, three terminals and four administrators")
    origin = f"http://localhost:{port}"
    make_home(home, origin=origin, audience=AUDIENCE, now=int(time.time()))
    _make_terminals(home)
    async with Deployment(home, Ports(api=port), screen.note) as deployment:
        running = deployment.running
        screen.addresses(running.api, running.temporal_ui, time.monotonic() - started)
        async with DemoStage(home, running.api, screen.heard) as stage:
            async with asyncio.timeout(WITHIN_SECONDS):
                await _set_up(stage)
                outcomes = await _play(stage)
            shown = [await _with_history(outcome, home) for outcome in outcomes]
        screen.summary([(one.outcome, one.history_events) for one in shown], running.temporal_ui)
        if export is not None:
            _export(home, outcomes, export)
        if stay:
            screen.note("everything stays up until Ctrl-C")
            raise await deployment.first_exit()
    good = all(outcome.as_expected for outcome in outcomes)
    screen.note(f"stopped everything after {time.monotonic() - started:.0f} s")
    return Exit.DONE if good else Exit.FAULT


async def _set_up(stage: DemoStage) -> None:
    """Enrol the administrators, have both officers sign, and synchronise the terminals.

    Raises:
        ConversationEnded: if a command failed.
    """
    await asyncio.gather(*(stage.succeed(f"enrol {who.name}", _adding(who)) for who in COLLEAGUES))
    await stage.succeed("officers", ["officers", "sign", "--all", "--json"])
    await stage.succeed("terminals", ["terminals", "sync", "--json"])


def _adding(who: Colleague) -> list[str]:
    return [
        "administrators",
        "add",
        who.person,
        "--staff-no",
        who.staff_no,
        "--name",
        who.name,
        "--number",
        who.number,
        "--json",
    ]


async def _play(stage: DemoStage) -> list[Outcome]:
    messages = await stage.keyfill("phones", ["sms", "--follow", "--json"])
    outbox = Outbox(messages)
    acts = [
        Act(
            scenario,
            server=stage.server,
            audience=AUDIENCE,
            folder=stage.home.terminals / scenario.terminal_no,
            keys=stage.home.administrators,
            terminal=stage.terminal,
            keyfill=stage.keyfill,
            outbox=outbox,
        )
        for scenario in SCENARIOS
    ]
    try:
        async with asyncio.TaskGroup() as group:
            playing = [group.create_task(act.play()) for act in acts]
    except* ConversationEnded as several:
        raise several.exceptions[0] from None
    return [one.result() for one in playing]


async def _with_history(outcome: Outcome, home: HomeFolder) -> Shown:
    """Count the events of the outcome's workflow, once it has closed."""
    from ceremony.names import loading_request_id
    from commands.opened import settings_of
    from commands.temporal import client_of

    client = await client_of(settings_of(home.path))
    handle = client.get_workflow_handle(loading_request_id(outcome.scenario.terminal_no))
    async with asyncio.timeout(CLOSED_WITHIN_SECONDS):
        await handle.result()
    return Shown(outcome, (await handle.describe()).history_length)


def _make_terminals(home: HomeFolder) -> None:
    from commands.samples import SampleTerminal, make_sample_terminal

    sm2 = _uses_sm2(home)
    for scenario in SCENARIOS:
        sample = SampleTerminal(
            scenario.terminal_no,
            scenario.first.person,
            scenario.second.person,
            branch=scenario.branch,
            epp_bits=EPP_BITS,
            sm2=sm2,
        )
        make_sample_terminal(home, sample, now=int(time.time()))


def _uses_sm2(home: HomeFolder) -> bool:
    """Whether the deployment makes SM4 keys, which only SM2 EPPs take."""
    from commands.opened import settings_of

    return settings_of(home.path).key_algorithm == "SM4"


def _export(home: HomeFolder, outcomes: list[Outcome], folder: Path) -> None:
    """Write what openssl needs to open the first loaded terminal's key token."""
    from commands.samples import EPP_FOLDER
    from terminal.durable import replace
    from terminal.eppfactory import sample_private_key_pem
    from terminal.eppstore import EppStore
    from terminal.loadstate import LoadFile

    loaded = next(one for one in outcomes if one.stage == "LOADED")
    terminal = home.terminals / loaded.scenario.terminal_no
    state = LoadFile(terminal).read()
    if state is None or state.token is None:
        raise RuntimeError("a loaded terminal has its token on record")
    host = home.sm2_kdh_certificate if _uses_sm2(home) else home.kdh_certificate
    replace(folder / "token.b64", state.token.value.encode())
    replace(folder / "epp-key.pem", sample_private_key_pem(EppStore(terminal / EPP_FOLDER)))
    replace(folder / "kdh.pem", host.read_bytes())
    replace(folder / "kcv.txt", f"{loaded.kcv}\n".encode())
