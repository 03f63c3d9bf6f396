"""`keyfill terminals`: what the ATM back office says of terminals, brought into the registry.

The synchronisation runs in the ceremony worker, which alone knows the source; this command starts
it and shows what it did.
"""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from pydantic import ValidationError

from ceremony import names
from ceremony.messages import SyncOrder, SyncReport
from commands.homefolder import HomeError, HomeFolder
from commands.opened import database_of, settings_of, unix_time
from commands.options import DEFAULT_HOME, AsJson, Exit, Home, leave, write_json
from commands.persons import broken_field
from commands.temporal import client_of, temporal_errors
from records import terminalentries
from settings import Settings

SCHEDULE_ID: Final = "registry-sync"
SYNC_WITHIN: Final = timedelta(minutes=30)

app = typer.Typer(no_args_is_help=True, help=__doc__, rich_markup_mode=None)


@app.command()
def sync(
    order: Annotated[
        Path | None,
        typer.Option(help="An officer's order (`officers allow-removal`) for many removals."),
    ] = None,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Synchronise now, and show what was added, changed, removed and refused.

    Ends with 3 if a row, or the whole run, was refused.
    """
    report = synchronise(settings_of(home), _order(order))
    if as_json:
        write_json(report.model_dump(mode="json"))
    else:
        _print(report)
    if report.stopped is not None or report.refused:
        raise typer.Exit(Exit.REFUSED)


@app.command()
def schedule(
    every: Annotated[int, typer.Option(min=1, help="Minutes from one run to the next.")] = 15,
    remove: Annotated[bool, typer.Option("--remove", help="Take the schedule away.")] = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Have Temporal repeat the synchronisation; a run that still goes on is not doubled."""
    with temporal_errors():
        asyncio.run(_schedule(settings_of(home), timedelta(minutes=every), remove))
    typer.echo("No schedule any more." if remove else f"Synchronised every {every} minutes.")


@app.command("list")
def list_all(home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """List the terminals in force, with the persons who administer them."""
    with database_of(settings_of(home)) as database, database.read() as session:
        for row in terminalentries.all_current_terminals(session):
            shown = {
                "terminal_no": row.terminal_no,
                "model": row.model,
                "branch": row.branch,
                "first": row.first_person,
                "second": row.second_person,
                "epp_fingerprint": row.epp_fingerprint,
                "seq": row.seq,
            }
            if as_json:
                write_json(shown)
            else:
                typer.echo(
                    f"{row.terminal_no:<16} {row.model:<16} {row.branch:<20} "
                    f"{row.first_person} / {row.second_person}"
                )


@app.command()
def sample(
    terminal_no: Annotated[str, typer.Argument(help="The new terminal's number.")],
    first: Annotated[str, typer.Option(help="The first administrator, a person.")],
    second: Annotated[str, typer.Option(help="The second administrator, a person.")],
    model: Annotated[str, typer.Option(help="The terminal's model.")] = "Sample 280",
    branch: Annotated[str, typer.Option(help="The branch where it stands.")] = "Main Street",
    bits: Annotated[int, typer.Option(help="The EPP's RSA key: 2048, 3072 or 4096.")] = 3072,
    sm2: Annotated[bool, typer.Option("--sm2", help="Give the EPP an SM2 key instead.")] = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Development: make a terminal's folder with EPP and device key, and its feed entry."""
    from commands.samples import SampleTerminal, make_sample_terminal
    from terminal.device import DeviceKeyError
    from terminal.eppstore import EppStoreError

    if settings_of(home).environment != "development":
        leave(Exit.USAGE, "Sample terminals are for development only.")
    wanted = SampleTerminal(terminal_no, first, second, model, branch, bits, sm2)
    try:
        folder = make_sample_terminal(HomeFolder(home), wanted, now=unix_time())
    except ValidationError as error:
        leave(Exit.USAGE, broken_field(error))
    except (HomeError, DeviceKeyError, EppStoreError, ValueError) as error:
        leave(Exit.USAGE, f"{error}")
    typer.echo(f"Made {folder}. Next: keyfill terminals sync")


def synchronise(settings: Settings, order: SyncOrder) -> SyncReport:
    """Run one synchronisation to its end; a run that is under way already is joined.

    Ends the command if Temporal does not answer or the run fails.
    """
    with temporal_errors():
        return asyncio.run(_synchronise(settings, order))


async def _synchronise(settings: Settings, order: SyncOrder) -> SyncReport:
    from temporalio.common import WorkflowIDConflictPolicy

    client = await client_of(settings)
    report: SyncReport = await client.execute_workflow(
        names.REGISTRY_SYNC,
        order,
        id=names.REGISTRY_SYNC_ID,
        task_queue=names.CEREMONY_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        execution_timeout=SYNC_WITHIN,
        result_type=SyncReport,
        static_summary="Registry synchronisation, by hand",
    )
    return report


async def _schedule(settings: Settings, every: timedelta, remove: bool) -> None:
    from temporalio import client as temporal
    from temporalio.service import RPCError, RPCStatusCode

    client = await client_of(settings)
    handle = client.get_schedule_handle(SCHEDULE_ID)
    try:
        await handle.delete()
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
    if remove:
        return
    await client.create_schedule(
        SCHEDULE_ID,
        temporal.Schedule(
            action=temporal.ScheduleActionStartWorkflow(
                names.REGISTRY_SYNC,
                SyncOrder(),
                id=names.REGISTRY_SYNC_ID,
                task_queue=names.CEREMONY_QUEUE,
                execution_timeout=SYNC_WITHIN,
                static_summary="Registry synchronisation, by schedule",
            ),
            spec=temporal.ScheduleSpec(intervals=[temporal.ScheduleIntervalSpec(every=every)]),
            policy=temporal.SchedulePolicy(overlap=temporal.ScheduleOverlapPolicy.SKIP),
        ),
    )


def _order(file: Path | None) -> SyncOrder:
    if file is None:
        return SyncOrder()
    try:
        return SyncOrder(order=file.read_text().strip())
    except (OSError, UnicodeDecodeError):
        leave(Exit.USAGE, f"{file} cannot be read.")


def _print(report: SyncReport) -> None:
    counts: dict[str, Any] = {
        "added": report.added,
        "changed": report.changed,
        "waiting": report.waiting,
        "removed": report.removed,
        "unchanged": report.unchanged,
        "refused": len(report.refused),
    }
    typer.echo("  ".join(f"{name} {count}" for name, count in counts.items()))
    for refusal in report.refused:
        typer.echo(f"  {refusal.position}  {refusal.terminal_no or '?'}  {refusal.reason}")
    if report.ended:
        typer.echo(f"  open requests told: {', '.join(report.ended)}")
    if report.stopped is not None:
        typer.echo(f"Stopped, nothing changed: {report.stopped}", err=True)
