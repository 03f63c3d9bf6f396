"""`keyfill keys export`: which keys the ATM back office has, and bringing it the others.

Keys travel as X9.143 key blocks under the export key, made by the key worker of keys only that are
active and that their terminals proved (docs/backoffice-export.md). No command sees a key.
"""

import asyncio
import getpass
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, Protocol

import typer
from sqlmodel import Session

from ceremony import names
from ceremony.encoding import sha256_hex, strict_json
from ceremony.keyexport import ExportAnswer, ExportProblem, ExportState
from ceremony.messages import ExportOrder, ExportReport
from commands.opened import database_of, settings_of, unix_time
from commands.options import DEFAULT_HOME, AsJson, Exit, Home, leave, write_json
from commands.temporal import client_of, temporal_errors
from records import audit, keyexports
from records.database import Database
from records.tables.audit_event import ActorKind
from records.tables.key_export import KeyExportRow
from settings import Settings
from terminal.durable import replace

PASS_WITHIN: Final = timedelta(minutes=15)
PAGE: Final = 500
_UNSETTLED: Final = (*keyexports.OPEN, ExportState.REFUSED)


class _PageOf(Protocol):
    def __call__(self, session: Session, *, after: str, limit: int) -> Sequence[KeyExportRow]: ...


def export(
    push: Annotated[bool, typer.Option("--push", help="Deliver over HTTP now, and wait.")] = False,
    to: Annotated[
        Path | None, typer.Option("--to", help="Write what is not confirmed to a file.")
    ] = None,
    confirm: Annotated[
        Path | None, typer.Option("--confirm", help="Take the back office's answers from a file.")
    ] = None,
    again: Annotated[
        str | None, typer.Option("--again", help="Export the key of this request anew.")
    ] = None,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Show what the back office lacks, or bring it there: over HTTP, or as a file.

    Ends with 3 if an export was refused, and with 4 if the key worker or the back office does not
    answer; Temporal tries again every minute where a back office is configured.
    """
    if sum((push, to is not None, confirm is not None, again is not None)) > 1:
        leave(Exit.USAGE, "Give one of --push, --to, --confirm and --again.")
    settings = settings_of(home)
    with database_of(settings) as database:
        if push:
            _run(settings, deliver=True, as_json=as_json)
        elif to is not None:
            _run(settings, deliver=False, as_json=as_json)
            _write(database, to)
        elif confirm is not None:
            _confirm(database, confirm, as_json=as_json)
        elif again is not None:
            _again(database, again)
        else:
            _show(database, as_json=as_json)


def _run(settings: Settings, *, deliver: bool, as_json: bool) -> None:
    with temporal_errors():
        report = asyncio.run(_pass(settings, deliver=deliver))
    if as_json:
        write_json(report.model_dump(mode="json"))
    else:
        typer.echo(
            f"wrapped {report.wrapped}  confirmed {report.confirmed}  refused {report.refused}"
        )
    if report.stopped == ExportProblem.EXPORT_OFF:
        leave(Exit.REFUSED, "The key worker holds no export key, or cannot export.")
    if report.stopped is not None:
        leave(Exit.UNAVAILABLE, f"Not everything was done: the {report.stopped} does not answer.")
    if report.refused:
        leave(
            Exit.REFUSED,
            "`keyfill keys export` shows which keys the back office refused, and why;"
            " which ones the key worker did is in its log.",
        )


async def _pass(settings: Settings, *, deliver: bool) -> ExportReport:
    from temporalio.common import WorkflowIDConflictPolicy

    client = await client_of(settings)
    report: ExportReport = await client.execute_workflow(
        names.KEY_EXPORT,
        ExportOrder(deliver=deliver),
        id=f"{names.KEY_EXPORT_ID}/{'deliver' if deliver else 'wrap'}",
        task_queue=names.CEREMONY_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        execution_timeout=PASS_WITHIN,
        result_type=ExportReport,
        static_summary="Export of keys to the back office, by hand",
    )
    return report


def _write(database: Database, file: Path) -> None:
    """Write the open exports of proved keys, a line each, and tell so in the audit trail."""
    rows = list(_all(database, keyexports.deliverable))
    text = "".join(json.dumps(_message(row)) + "\n" for row in rows).encode()
    try:
        replace(file, text)
    except OSError:
        leave(Exit.USAGE, f"{file} cannot be written.")
    with database.write() as session:
        for row in rows:
            audit.write(
                session,
                "key-export-written",
                at=unix_time(),
                actor_kind=ActorKind.SYSTEM,
                actor=getpass.getuser(),
                request_id=row.request_id,
                terminal_no=row.terminal_no,
                detail={"block": row.block_digest, "file": sha256_hex(text)},
            )
    typer.echo(f"Wrote {len(rows)} to {file}.", err=True)


def _confirm(database: Database, file: Path, *, as_json: bool) -> None:
    from activities.key_exports import KeyDeliveries

    deliveries, refused = KeyDeliveries(database, None), 0
    for answer in _answers(file):
        standing = deliveries.take_answer(answer)
        refused += standing.state is not ExportState.CONFIRMED
        shown = {"request_id": answer.request_id, **standing.model_dump(mode="json")}
        if as_json:
            write_json(shown)
        else:
            typer.echo("  ".join(str(one) for one in shown.values() if one is not None))
    if refused:
        raise typer.Exit(Exit.REFUSED)


def _answers(file: Path) -> Iterator[ExportAnswer]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        leave(Exit.USAGE, f"{file} cannot be read.")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            answer = ExportAnswer.of(strict_json(line))
        except ValueError:
            leave(Exit.USAGE, f"Line {number} of {file} is no answer of a back office.")
        yield answer


def _again(database: Database, request_id: str) -> None:
    """Take an export away, so that the next pass makes and sends another."""
    with database.write() as session:
        row = keyexports.find(session, request_id)
        if row is None:
            leave(Exit.REFUSED, f"There is no export of a request {request_id}.")
        keyexports.forget(session, request_id)
        audit.write(
            session,
            "key-export-repeated",
            at=unix_time(),
            actor_kind=ActorKind.SYSTEM,
            actor=getpass.getuser(),
            request_id=request_id,
            terminal_no=row.terminal_no,
            detail={"block": row.block_digest, "state": row.state.value},
        )
    typer.echo("It is made anew by the next pass; the back office has to expect another block.")


def _show(database: Database, *, as_json: bool) -> None:
    with database.read() as session:
        counts = keyexports.counts(session)
        due = keyexports.due(session, after="", limit=PAGE)
    waiting = sum(not one.wrapped for one in due)
    for row in _all(database, partial(keyexports.page, states=_UNSETTLED)):
        shown = _standing(row)
        if as_json:
            write_json(shown)
        else:
            reason = f" ({row.reason})" if row.reason else ""
            typer.echo(f"{row.request_id}  {row.terminal_no:<12} {row.state.value}{reason}")
    if not as_json:
        said = "  ".join(f"{state.value} {counts.get(state, 0)}" for state in ExportState)
        more = "+" if len(due) == PAGE else ""
        typer.echo(f"not wrapped {waiting}{more}  {said}")


def _all(database: Database, page_of: _PageOf) -> Iterator[KeyExportRow]:
    after = ""
    while True:
        with database.read() as session:
            rows = page_of(session, after=after, limit=PAGE)
        yield from rows
        if len(rows) < PAGE:
            return
        after = rows[-1].request_id


def _standing(row: KeyExportRow) -> dict[str, Any]:
    return {
        "request_id": row.request_id,
        "terminal_no": row.terminal_no,
        "state": row.state.value,
        "reason": row.reason,
        "attempts": row.attempts,
        "exported_at": row.exported_at,
        "sent_at": row.sent_at,
        "answered_at": row.answered_at,
        "key_block_digest": row.block_digest,
        "export_key": row.export_key_check,
    }


def _message(row: KeyExportRow) -> dict[str, Any]:
    from activities.key_exports import message_of

    return asdict(message_of(row))
