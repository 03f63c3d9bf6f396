"""`keyfill officers waiting` and `withdraw`: changes that cool off, and their workflows."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from sqlmodel import Session

from ceremony import names
from ceremony.messages import ChangeOrder
from ceremony.revocations import Subject
from commands.opened import database_of, settings_of, unix_time
from commands.options import DEFAULT_HOME, AsJson, Exit, Home, leave, write_json
from commands.temporal import client_of
from records import audit, credentialentries, registrychanges
from records.tables.audit_event import ActorKind
from records.tables.registry_change import RegistryChangeRow
from settings import Settings


def waiting(home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Show the changes that officers signed and that have not taken effect yet."""
    with database_of(settings_of(home)) as database, database.read() as session:
        rows = registrychanges.cooling(session)
    for row in rows:
        if as_json:
            write_json(_shown(row))
        else:
            typer.echo(f"{row.subject:<8} {row.name:<24} seq {row.seq:<6} {_when(row)}")


def withdraw(
    person: Annotated[str | None, typer.Argument(help="The person whose change ends.")] = None,
    terminal: Annotated[str | None, typer.Option(help="Or the number of a terminal.")] = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """End a change before it takes effect: the former entry goes on. It needs no signature.

    The key worker is told by a workflow. If Temporal is away, run it again before the change is
    due: a change that is in effect is only ended by another, or by `officers revoke`.
    """
    if (person is None) is (terminal is None):
        leave(Exit.USAGE, "Give a person, or a --terminal.")
    subject = Subject.PERSON if person else Subject.TERMINAL
    name = person or terminal or ""
    settings, now = settings_of(home), unix_time()
    with database_of(settings) as database, database.write() as session:
        if any(
            one.effective_at is not None and one.effective_at <= now
            for one in registrychanges.cooling_of(session, subject, name)
        ):
            leave(Exit.REFUSED, f"The change of {name} is due: it cannot be withdrawn any more.")
        ended = _withdraw(session, subject, name, now)
        if not ended:
            ended = registrychanges.withdrawn_of(session, subject, name)
    if not ended:
        leave(Exit.REFUSED, f"No change of {name} waits.")
    orders = [ChangeOrder(subject=subject, name=name, digest=digest) for digest in ended]
    if not start_soon(settings, orders, woken=True):
        raise typer.Exit(Exit.UNAVAILABLE)
    typer.echo(f"The change of {name} is withdrawn.")


def start_soon(settings: Settings, changes: Sequence[ChangeOrder], *, woken: bool = False) -> bool:
    """Start the workflows of changes, without waiting for them; False if Temporal is away.

    One that runs already is left alone, or, `woken`, looks at the records again. What is missed is
    started by the next synchronisation, or when it is brought in again.
    """
    from temporalio.service import RPCError

    from engine.client import TemporalUnavailable

    if not changes:
        return True
    try:
        asyncio.run(_start(settings, changes, woken=woken))
    except (TemporalUnavailable, RPCError):
        typer.echo(
            "Temporal does not answer: the key worker knows nothing of it before this is run again"
            " or the terminals are synchronised.",
            err=True,
        )
        return False
    return True


async def _start(settings: Settings, changes: Iterable[ChangeOrder], *, woken: bool) -> None:
    from temporalio.common import WorkflowIDConflictPolicy

    client = await client_of(settings, timedelta(0))
    for change in changes:
        await client.start_workflow(
            names.REGISTRY_CHANGE,
            change,
            id=names.registry_change_id(change.digest),
            task_queue=names.CEREMONY_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            start_signal=names.SIGNAL_CHANGE_ENDED if woken else None,
            static_summary=f"Change of {change.subject} {change.name}",
        )


def _withdraw(session: Session, subject: Subject, name: str, now: int) -> list[str]:
    if subject is Subject.PERSON:
        ended = list(credentialentries.withdraw_cooling(session, name, now=now))
    else:
        rows = registrychanges.withdraw_all(session, subject, name, now=now)
        ended = [row.digest for row in rows]
    for digest in ended:
        audit.write(
            session,
            "registry-change-withdrawn",
            at=now,
            actor_kind=ActorKind.SYSTEM,
            actor="keyfill officers",
            terminal_no=name if subject is Subject.TERMINAL else None,
            detail={"subject": subject.value, "name": name, "entry": digest},
        )
    return ended


def _shown(row: RegistryChangeRow) -> dict[str, Any]:
    return {
        "subject": row.subject,
        "name": row.name,
        "seq": row.seq,
        "entry": row.digest,
        "begun_at": row.begun_at,
        "effective_at": row.effective_at,
    }


def _when(row: RegistryChangeRow) -> str:
    if row.effective_at is None:
        return "not shown to the key worker yet"
    return f"takes effect {datetime.fromtimestamp(row.effective_at, UTC):%Y-%m-%d %H:%M} UTC"
