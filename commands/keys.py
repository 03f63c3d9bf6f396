"""`keyfill keys`: the keys that were released, and what officers order about them.

Two officers settle an unconfirmed key or destroy one; one officer marks a key compromised. Where
both keys are at hand, give --key twice; otherwise the first officer writes the order with --out,
the second runs `sign`, and anyone runs `send`. No command prints a key or a key block.
"""

from pathlib import Path
from typing import Annotated, Final

import typer

from ceremony.keylife import KeyState
from commands.homefolder import HomeError
from commands.keyexport import export
from commands.keyorders import (
    Order,
    Signing,
    explain,
    keys_of,
    missing,
    read_draft,
    send,
    signed_too,
    tell,
    trust_at,
)
from commands.keyrewrap import rewrap
from commands.officerkeys import TrustFile
from commands.opened import database_of, settings_of, trust_of
from commands.options import DEFAULT_HOME, AsJson, Exit, Home, leave, write_json
from records import keystore
from records.tables.key import KeyRow
from terminal.durable import replace

PAGE: Final = 500

app = typer.Typer(no_args_is_help=True, help=__doc__, rich_markup_mode=None)
app.command()(export)
app.command()(rewrap)

RequestId = Annotated[str, typer.Argument(help="The loading request's id; after -- if it has a -.")]
OfficerKeys = Annotated[
    list[Path], typer.Option("--key", help="An officer's private JWK; once for each officer.")
]
ReasonCode = Annotated[str, typer.Option("--reason", help="Why, as a code: stolen, replaced.")]
Note = Annotated[str | None, typer.Option("--note", help="Why, in words; at most 200 characters.")]
TerminalNo = Annotated[
    str | None, typer.Option("--terminal", help="Its terminal; needed where no database is.")
]
Out = Annotated[Path | None, typer.Option("--out", help="Only sign, to this file.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@app.command("list")
def list_some(
    terminal: Annotated[str | None, typer.Option(help="Of this terminal only.")] = None,
    state: Annotated[KeyState | None, typer.Option(help="In this state only.")] = None,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """List keys and where they stand; a check value only after the terminal's receipt."""
    after = ""
    with database_of(settings_of(home)) as database:
        while True:
            with database.read() as session:
                rows = keystore.search(
                    session, terminal_no=terminal, state=state, after=after, limit=PAGE
                )
            for row in rows:
                _show(row, as_json=as_json)
            if len(rows) < PAGE:
                return
            after = rows[-1].request_id


@app.command()
def settle(
    request_id: RequestId,
    key: OfficerKeys,
    reason: ReasonCode,
    loaded: Annotated[bool, typer.Option("--loaded/--not-loaded", help="Is it in the terminal?")],
    note: Note = None,
    terminal: TerminalNo = None,
    out: Out = None,
    yes: Yes = False,
    trust: TrustFile = None,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Decide an unconfirmed key: loaded makes it active, not loaded retires it. Two officers."""
    order: Order = "settle-loaded" if loaded else "settle-not-loaded"
    signing = Signing(home, trust, key, out, yes=yes, as_json=as_json)
    signing.order(order, request_id, terminal, reason, note)


@app.command()
def revoke(
    request_id: RequestId,
    key: OfficerKeys,
    reason: ReasonCode,
    note: Note = None,
    terminal: TerminalNo = None,
    out: Out = None,
    yes: Yes = False,
    trust: TrustFile = None,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Mark a key compromised, for ever. One officer suffices: it grants nothing."""
    signing = Signing(home, trust, key, out, yes=yes, as_json=as_json)
    signing.order("revoke", request_id, terminal, reason, note)


@app.command()
def destroy(
    request_id: RequestId,
    key: OfficerKeys,
    reason: ReasonCode,
    note: Note = None,
    terminal: TerminalNo = None,
    out: Out = None,
    yes: Yes = False,
    trust: TrustFile = None,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Destroy the host's copy of a key, for ever. Two officers; the terminal keeps its own."""
    signing = Signing(home, trust, key, out, yes=yes, as_json=as_json)
    signing.order("destroy", request_id, terminal, reason, note)


@app.command()
def sign(
    file: Annotated[Path, typer.Argument(help="What the first officer wrote with --out.")],
    key: OfficerKeys,
    yes: Yes = False,
    trust: TrustFile = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Sign an order that another officer drew up. Needs no database and no network."""
    known = trust_at(home, trust)
    order = read_draft(file, known)
    officers = keys_of(key, known)
    explain(order, known)
    if not yes and not typer.confirm("Sign this order?", err=True):
        return
    replace(file, signed_too(order.envelope, officers, known).encode() + b"\n")


@app.command("send")
def send_signed(
    file: Annotated[Path, typer.Argument(help="A signed order.")],
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Have the key worker carry out a signed order; the same one again gets the same answer."""
    settings = settings_of(home)
    try:
        known = trust_of(settings)
    except HomeError as error:
        leave(Exit.USAGE, str(error))
    order = read_draft(file, known)
    if missing(order, known):
        leave(Exit.REFUSED, f"{missing(order, known)} more officer(s) must sign it: `keys sign`.")
    tell(send(settings, order), as_json=as_json)


def _show(row: KeyRow, *, as_json: bool) -> None:
    shown = {
        "request_id": row.request_id,
        "terminal_no": row.terminal_no,
        "algorithm": row.algorithm,
        "state": row.state.value,
        "kcv": row.kcv,
        "released_at": row.released_at,
        "activated_at": row.activated_at,
        "retired_at": row.retired_at,
        "compromised_at": row.compromised_at,
        "destroyed_at": row.destroyed_at,
        "order": row.order_digest,
    }
    if as_json:
        write_json(shown)
    else:
        kcv = f"  KCV {row.kcv}" if row.kcv else ""
        typer.echo(
            f"{row.request_id}  {row.terminal_no:<12} {row.algorithm:<8} {row.state.value}{kcv}"
        )
