"""`keyfill officers`: two officers sign each enrolment, offline, with keys that stay with them.

`key` makes an officer's key, where it stays. `pending` writes what waits to a file; each officer
runs `sign` on it; `import` brings the file back. On a development home `sign --all` does all of it
at once. `revoke` takes a person's or a terminal's entries away for ever; one officer signs that.
Where the trust file has a cooling-off time, what is signed waits for it: `waiting` shows it,
`withdraw` ends it.
"""

import json
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from sqlmodel import Session

from ceremony.eppcertificate import EntryError
from ceremony.keys import KeyRefused, SigningKey
from ceremony.messages import ChangeOrder, NotesOrder
from ceremony.registry import VerifiedCredential, officers_of, read_enrolment
from ceremony.signing import new_nonce
from ceremony.signing import sign as sign_statement
from ceremony.statements import RemovalOrderPayload
from ceremony.trust import Trust
from commands.credentials import Activation, activate, counter_signed
from commands.homefolder import HomeError, HomeFolder
from commands.officerkeys import OfficerKey, TrustFile, make_key, officer_key, signing_trust
from commands.opened import database_of, settings_of, trust_of, unix_time
from commands.options import DEFAULT_HOME, AsJson, Exit, Home, leave, write_json
from commands.reassignments import is_terminal_entry, signed_terminal
from commands.registrychanges import start_soon, waiting, withdraw
from commands.registrynotes import show_soon
from commands.revocations import bring_in, revoke, tell
from records import credentialentries
from settings import Settings
from terminal.durable import replace

ORDER_SECONDS: Final = 3_600
"""An order to remove terminals is good for an hour, and for one run."""

app = typer.Typer(no_args_is_help=True, help=__doc__, rich_markup_mode=None)
app.command("key")(make_key)
app.command()(revoke)
app.command()(waiting)
app.command()(withdraw)


@app.command()
def pending(
    out: Annotated[Path | None, typer.Option(help="Write the envelopes to this file.")] = None,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Show the enrolments that wait for officers, and write them to a file to be signed."""
    settings, now = settings_of(home), unix_time()
    with database_of(settings) as database:
        trust = trust_of(settings)
        with database.read() as session:
            envelopes = [row.envelope for row in credentialentries.pending_credentials(session)]
    for envelope in envelopes:
        _show(envelope, trust, now, as_json=as_json)
    if out is not None:
        replace(out, "".join(f"{envelope}\n" for envelope in envelopes).encode())


@app.command()
def sign(
    file: Annotated[Path | None, typer.Argument(help="What `pending` wrote.")] = None,
    key: Annotated[Path | None, typer.Option(help="The officer's private JWK.")] = None,
    trust: TrustFile = None,
    every: Annotated[
        bool, typer.Option("--all", help="Development: sign all with all officers' keys.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask about each entry.")] = False,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Sign the entries in a file, one by one. Needs no database and no network.

    Enrolments, as `pending` wrote them; or terminal entries, as the back office signed them, where
    an EPP certificate, a device key or an administrator of a known terminal changes.
    """
    if every:
        _sign_all(home, as_json=as_json)
        return
    if file is None or key is None:
        leave(Exit.USAGE, "Give the officer's --key and the file to sign.")
    try:
        known = signing_trust(home, trust)
        officer = officer_key(key, known)
    except HomeError as error:
        leave(Exit.USAGE, str(error))
    signed = [_signed_if_wanted(envelope, officer, known, ask=not yes) for envelope in _lines(file)]
    replace(file, "".join(f"{envelope}\n" for envelope in signed).encode())


@app.command("import")
def import_signed(
    file: Annotated[Path, typer.Argument(help="What officers signed.")],
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Bring back what officers signed, entries and revocations.

    An entry with enough signatures is active after the cooling-off time; brought in again, a wait
    that could not begin begins. A revocation is for ever as soon as the key worker has been shown
    it.
    """
    settings = settings_of(home)
    lines = _lines(file)
    envelopes = [line for line in lines if line.startswith("{")]
    signed = [line for line in lines if not line.startswith("{")]
    good = not envelopes or _bring_in(settings, envelopes, as_json=as_json)
    ended = bring_in(settings, signed, as_json=as_json)
    if not good or ended is not Exit.DONE:
        raise typer.Exit(Exit.REFUSED if not good else ended)


@app.command("allow-removal")
def allow_removal(
    key: OfficerKey,
    most: Annotated[int, typer.Option(min=1, help="How many terminals may be removed.")],
    out: Annotated[Path, typer.Option(help="Where to write the order.")],
    trust: TrustFile = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Sign an order for `terminals sync --order`: one run, within the hour, up to so many."""
    try:
        known = signing_trust(home, trust)
        officer = officer_key(key, known)
    except HomeError as error:
        leave(Exit.USAGE, str(error))
    now = unix_time()
    order = RemovalOrderPayload(
        aud=known.audience,
        iat=now,
        nonce=new_nonce(),
        most=most,
        expires_at=now + ORDER_SECONDS,
    )
    replace(out, sign_statement(order, officer).encode() + b"\n")


def _sign_all(home: Path, *, as_json: bool) -> None:
    settings, folder, now = settings_of(home), HomeFolder(home), unix_time()
    if settings.environment != "development":
        leave(Exit.USAGE, "Outside development each officer signs with their own key.")
    with database_of(settings) as database:
        trust = trust_of(settings)
        keys = [officer_key(path, trust) for path in sorted(folder.officers.glob("*.jwk"))]
        with database.read() as session:
            envelopes = [row.envelope for row in credentialentries.pending_credentials(session)]
    signed = []
    for envelope in envelopes:
        try:
            signed.append(counter_signed(envelope, keys, trust, now=now))
        except EntryError as error:
            typer.echo(f"An enrolment does not count: {error.reason}.", err=True)
    if not _bring_in(settings, signed, as_json=as_json):
        raise typer.Exit(Exit.REFUSED)


def _bring_in(settings: Settings, envelopes: list[str], *, as_json: bool) -> bool:
    """Bring enrolments in and say what became of each; False if one was refused."""
    states: set[str] = set()
    changes: list[ChangeOrder] = []
    with database_of(settings) as database:
        trust = trust_of(settings)
        for envelope in envelopes:
            with database.write() as session:
                outcome, change = _outcome(session, envelope, trust)
            if change is not None:
                changes.append(change)
            states.add(outcome["state"])
            tell(outcome, as_json=as_json)
    if "active" in states:
        show_soon(settings, NotesOrder(parts=("persons",)), f"enrolment/{new_nonce()}")
    start_soon(settings, changes)
    return "refused" not in states


def _outcome(
    session: Session, envelope: str, trust: Trust
) -> tuple[dict[str, Any], ChangeOrder | None]:
    try:
        done = activate(session, envelope, trust, now=unix_time())
    except EntryError as error:
        reason = error.reason.value
        return {"person": None, "staff_no": None, "state": "refused", "reason": reason}, None
    outcome = {
        "person": done.person,
        "staff_no": done.staff_no,
        "state": _state(done),
        "reason": done.refused.value if done.refused else None,
        "signatures_missing": done.missing or None,
    }
    return outcome, done.change


def _state(done: Activation) -> str:
    if done.active:
        return "active"
    if done.change is not None:
        return "cooling"
    return "pending" if done.refused is None else "refused"


def _signed_if_wanted(envelope: str, officer: SigningKey, trust: Trust, *, ask: bool) -> str:
    now = unix_time()
    if is_terminal_entry(envelope):
        return signed_terminal(envelope, officer, trust, now=now, ask=ask)
    verified = _show(envelope, trust, now, as_json=False)
    if verified is None or (ask and not typer.confirm("Sign this enrolment?")):
        return envelope
    try:
        return counter_signed(envelope, [officer], trust, now=now)
    except KeyRefused:
        leave(Exit.USAGE, "This key cannot sign enrolments.")


def _show(envelope: str, trust: Trust, now: int, *, as_json: bool) -> VerifiedCredential | None:
    """Show an enrolment as an officer has to see it, with the number that codes will go to."""
    try:
        verified = read_enrolment(envelope, trust, now=now)
        have = len(officers_of(envelope, trust))
    except EntryError as error:
        typer.echo(f"An enrolment does not count: {error.reason}.", err=True)
        return None
    entry = verified.entry
    shown = {
        "person": entry.person,
        "staff_no": entry.staff_no,
        "name": entry.name,
        "roles": list(entry.roles),
        "number": entry.number,
        "key": verified.key.public_key.kid,
        "passkey": entry.credential_id is not None,
        "entry": verified.digest,
        "signatures": f"{have} of {trust.officer_threshold}",
    }
    if as_json:
        write_json(shown)
    else:
        typer.echo("\n".join(f"{name:<11} {_plain(value)}" for name, value in shown.items()) + "\n")
    return verified


def _plain(value: object) -> str:
    return json.dumps(value) if isinstance(value, list | bool) else str(value)


def _lines(file: Path) -> list[str]:
    try:
        return [line for line in file.read_text().splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError):
        leave(Exit.USAGE, f"{file} cannot be read.")
