"""`keyfill sessions`: who is signed in, and a sign-out by hand.

A session ends with its half an hour, with the credential behind it, or by its owner. One that came
by OpenID Connect may rest on no credential: whoever leaves the bank keeps it until then.
"""

import json
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from commands.opened import database_of, settings_of, unix_time
from commands.options import DEFAULT_HOME, AsJson, Exit, Home, leave, write_json
from records import audit, sessions
from records.tables.audit_event import ActorKind
from records.tables.session import SessionRow

app = typer.Typer(no_args_is_help=True, help=__doc__, rich_markup_mode=None)


@app.command("list")
def list_sessions(home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Show the sessions that are open, the newest first."""
    with database_of(settings_of(home)) as database, database.read() as session:
        rows = sessions.open_now(session, unix_time())
    for row in rows:
        if as_json:
            write_json(_shown(row))
        else:
            until = f"{datetime.fromtimestamp(row.expires_at, UTC):%H:%M} UTC"
            roles = ", ".join(json.loads(row.roles))
            typer.echo(f"{row.staff_no:<12} {row.name:<24} {row.source:<16} until {until}  {roles}")


@app.command("end")
def end_sessions(
    staff_no: Annotated[str, typer.Argument(help="Whose sessions end, all of them.")],
    home: Home = DEFAULT_HOME,
) -> None:
    """Sign somebody out everywhere, at once. It keeps nobody from signing in again.

    Take the groups away at the OpenID provider first, or revoke the credential.
    """
    now = unix_time()
    with database_of(settings_of(home)) as database, database.write() as session:
        ended = sessions.end_all_of(session, staff_no, now)
        if ended:
            audit.write(
                session,
                "sessions-ended",
                at=now,
                actor_kind=ActorKind.SYSTEM,
                actor="keyfill sessions",
                detail={"staff_no": staff_no, "sessions": ended},
            )
    if not ended:
        leave(Exit.REFUSED, f"{staff_no} is not signed in.")
    typer.echo(f"{staff_no} is signed out of {ended} session{'s' if ended > 1 else ''}.")


def _shown(row: SessionRow) -> dict[str, Any]:
    return {
        "staff_no": row.staff_no,
        "name": row.name,
        "roles": json.loads(row.roles),
        "source": row.source.value,
        "person": row.person,
        "created_at": row.created_at,
        "expires_at": row.expires_at,
    }
