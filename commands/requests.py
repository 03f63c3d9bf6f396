"""`keyfill requests`: loading requests as the projection and the audit trail know them."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer

from ceremony.stages import OPEN, Stage
from commands.opened import database_of, settings_of
from commands.options import DEFAULT_HOME, AsJson, Exit, Home, leave, write_json
from records import alarms, audit, projection
from records.tables.audit_event import AuditEventRow
from records.tables.loading_request import LoadingRequestRow

MAX_ROWS: Final = 200

app = typer.Typer(no_args_is_help=True, help=__doc__, rich_markup_mode=None)


@app.command("list")
def list_some(
    terminal: Annotated[str | None, typer.Option(help="Of this terminal only.")] = None,
    staff_no: Annotated[str | None, typer.Option(help="Of this administrator only.")] = None,
    stage: Annotated[list[Stage] | None, typer.Option(help="In these stages only.")] = None,
    open_only: Annotated[bool, typer.Option("--open", help="In open stages only.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=MAX_ROWS, help="At most so many.")] = 50,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """List loading requests, the newest first."""
    stages = OPEN if open_only else stage
    wanted = projection.Filter(terminal_no=terminal, staff_no=staff_no, stages=stages or None)
    with database_of(settings_of(home)) as database, database.read() as session:
        rows = projection.search(session, wanted, limit=limit).rows
    for row in rows:
        if as_json:
            write_json(_request(row))
        else:
            reason = f" ({row.reason})" if row.reason else ""
            typer.echo(
                f"{_time(row.opened_at)}  {row.request_id}  {row.terminal_no:<12} "
                f"{row.stage}{reason}"
            )


@app.command()
def show(
    request_id: Annotated[str, typer.Argument(help="The loading request's id.")],
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Show one loading request and its audit trail."""
    with database_of(settings_of(home)) as database, database.read() as session:
        row = projection.find(session, request_id)
        events = audit.of_request(session, request_id)
    if row is None:
        leave(Exit.REFUSED, f"There is no loading request {request_id}.")
    if as_json:
        write_json({**_request(row), "events": [_event(event) for event in events]})
        return
    for name, value in _request(row).items():
        typer.echo(f"{name:<17} {value if value is not None else '–'}")
    typer.echo("")
    for event in events:
        typer.echo(_line(event))


@app.command("alarms")
def list_alarms(
    limit: Annotated[int, typer.Option(min=1, max=MAX_ROWS, help="At most so many.")] = 50,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """List alarms, the newest first: many people's codes tried, SMS that nobody uses, caps met."""
    with database_of(settings_of(home)) as database, database.read() as session:
        rows = alarms.latest(session, limit=limit)
    for row in rows:
        if as_json:
            write_json(
                {
                    "alarm": row.alarm.value,
                    "raised_at": row.raised_at,
                    "seen": row.seen,
                    "within": row.within,
                }
            )
        else:
            typer.echo(
                f"{_time(row.raised_at)}  {row.alarm:<22} {row.seen} within {row.within // 3600} h"
            )


@app.command()
def trail(
    event: Annotated[str | None, typer.Option(help="Of this name only: sms-capped.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=MAX_ROWS, help="At most so many.")] = 50,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Show the end of the audit trail, the newest first: also what belongs to no request."""
    with database_of(settings_of(home)) as database, database.read() as session:
        rows = audit.latest(session, event=event, limit=limit)
    for row in rows:
        where = {"request_id": row.request_id, "terminal_no": row.terminal_no}
        if as_json:
            write_json({**_event(row), **where})
        else:
            about = " ".join(one for one in (row.terminal_no, row.request_id) if one)
            typer.echo(f"{_line(row)}  {about}  {row.detail}")


def _request(row: LoadingRequestRow) -> dict[str, Any]:
    return {
        "request_id": row.request_id,
        "terminal_no": row.terminal_no,
        "stage": row.stage.value,
        "reason": row.reason,
        "version": row.version,
        "branch": row.branch,
        "first": row.first_staff_no,
        "second": row.second_staff_no,
        "opened_at": row.opened_at,
        "stage_since": row.stage_since,
        "epp_fingerprint": row.epp_fingerprint,
        "kcv": row.kcv,
        "workflow_id": row.workflow_id,
    }


def _event(event: AuditEventRow) -> dict[str, Any]:
    return {
        "at": event.at,
        "actor_kind": event.actor_kind.value,
        "actor": event.actor,
        "event": event.event,
        "reason": event.reason,
        "detail": json.loads(event.detail),
    }


def _line(event: AuditEventRow) -> str:
    actor = f"{event.actor_kind.value} {event.actor or ''}".strip()
    reason = f"  {event.reason}" if event.reason else ""
    return f"{_time(event.at)}  {actor:<24} {event.event}{reason}"


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
