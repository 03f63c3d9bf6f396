"""`keyfill administrators`: people with a credential and a number, and what they may do.

What this command stores waits for the officers' signatures (`keyfill officers`).
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from pydantic import ValidationError
from sqlmodel import Session

from ceremony.enrolment import EnrolmentDraft, link_token_digest, new_link_token, seal_draft
from ceremony.eppcertificate import EntryError
from ceremony.messages import ChangeOrder
from ceremony.registry import read_enrolment
from ceremony.revocations import Subject
from ceremony.statements import CredentialEntry
from ceremony.trust import Trust
from commands import persons
from commands.credentials import Enrolment, next_seq, self_signed, store_pending
from commands.homefolder import HomeFolder
from commands.opened import database_of, settings_of, trust_of, unix_time
from commands.options import DEFAULT_HOME, AsJson, Exit, Home, leave, write_json
from commands.registrychanges import start_soon
from records import audit, credentialentries, enrolments, registrychanges
from records.database import Database
from records.tables.audit_event import ActorKind
from records.tables.credential_entry import CredentialEntryRow
from records.tables.enrolment_link import EnrolmentLinkRow
from settings import Settings

LINK_SECONDS: Final = 86_400
"""An enrolment link lives a day."""
_DAY: Final = 86_400

app = typer.Typer(no_args_is_help=True, help=__doc__, rich_markup_mode=None)


@app.command()
def add(
    person: persons.PersonArgument,
    staff_no: persons.StaffNoOption,
    name: persons.NameOption,
    number: persons.NumberOption,
    role: persons.RoleOption = None,
    key: persons.KeyOption = None,
    days: persons.DaysOption = persons.DEFAULT_DAYS,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Enrol a person with a JWK: their key signs the entry, which then waits for the officers.

    Where there is no key yet, development makes one.
    """
    settings, now = settings_of(home), unix_time()
    enrolment = Enrolment(
        person=person,
        staff_no=staff_no,
        name=name,
        number=persons.number_of(number),
        roles=persons.roles_of(role),
        valid_until=now + days * _DAY,
    )
    key_file = key or HomeFolder(home).administrators / f"{person}.jwk"
    with database_of(settings) as database:
        digest = _enrol(database, settings, enrolment, key_file, now)
    if as_json:
        write_json({"person": person, "entry": digest, "state": "pending", "key": str(key_file)})
    else:
        typer.echo(f"{person} waits for the officers: keyfill officers pending")


@app.command()
def link(
    person: persons.PersonArgument,
    staff_no: persons.StaffNoOption,
    name: persons.NameOption,
    number: persons.NumberOption,
    role: persons.RoleOption = None,
    days: persons.DaysOption = persons.DEFAULT_DAYS,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Make a one-time link by which a person enrols a passkey, good for a day.

    Only the link opens the draft; the database holds no more of its token than a digest.
    """
    settings, now, token = settings_of(home), unix_time(), new_link_token()
    e164, granted = persons.number_of(number), persons.roles_of(role)
    with database_of(settings) as database:
        trust = trust_of(settings)
        with database.write() as session:
            try:
                draft = EnrolmentDraft(
                    person=person,
                    staff_no=staff_no,
                    name=name,
                    roles=granted,
                    number=e164,
                    seq=next_seq(session, trust, person),
                    valid_until=now + days * _DAY,
                )
            except ValidationError as error:
                leave(Exit.USAGE, persons.broken_field(error))
            row = EnrolmentLinkRow(
                token_digest=link_token_digest(token),
                person=person,
                sealed_draft=seal_draft(token, draft),
                expires_at=now + LINK_SECONDS,
            )
            enrolments.create(session, row)
            _note(session, "enrolment-link-made", person, now)
    url = f"{trust.origin}/e#{token}"
    if as_json:
        write_json({"person": person, "link": url, "expires_at": now + LINK_SECONDS})
    else:
        typer.echo(url)


@app.command()
def roles(
    person: persons.PersonArgument,
    role: Annotated[list[str], typer.Argument(help="All roles that the person is to have.")],
    key: persons.KeyOption = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Give a person other roles: a new entry, signed by their key, that waits for the officers."""
    settings, now = settings_of(home), unix_time()
    key_file = key or HomeFolder(home).administrators / f"{person}.jwk"
    if not key_file.exists():
        leave(Exit.USAGE, f"There is no key at {key_file}.")
    with database_of(settings) as database:
        entry = _entry_in_force(database, trust_of(settings), person, now)
        enrolment = Enrolment(
            person=person,
            staff_no=entry.staff_no,
            name=entry.name,
            number=entry.number,
            roles=persons.roles_of(role),
            valid_until=entry.valid_until,
        )
        _enrol(database, settings, enrolment, key_file, now)
    typer.echo(f"{person} waits for the officers: keyfill officers pending")


@app.command("list")
def list_all(home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """List who is enrolled, whose change cools off, and who waits for the officers.

    Never a telephone number. `effective_at` is when a change takes effect, as soon as the key
    worker has said so.
    """
    with database_of(settings_of(home)) as database, database.read() as session:
        rows = [
            *credentialentries.active_credentials(session),
            *credentialentries.cooling_credentials(session),
            *credentialentries.pending_credentials(session),
        ]
        times = {one.digest: one.effective_at for one in registrychanges.cooling(session)}
    for row in rows:
        shown = {**_shown(row), "effective_at": times.get(row.digest)}
        if as_json:
            write_json(shown)
            continue
        until = datetime.fromtimestamp(row.valid_until, UTC).date()
        typer.echo(
            f"{row.state.value:<8} {row.staff_no:<10} {row.person:<16} {row.name}  "
            f"[{', '.join(shown['roles'])}]  {shown['credential']} until {until}"
            f"{_from(times.get(row.digest))}"
        )


@app.command()
def revoke(person: persons.PersonArgument, home: Home = DEFAULT_HOME) -> None:
    """Take away a person's credential, at once, without an officer.

    Unsigned, so whoever writes to the database can undo it: `keyfill officers revoke` is for ever.
    """
    settings, now = settings_of(home), unix_time()
    with database_of(settings) as database, database.write() as session:
        # What waits would otherwise bring the person back by itself.
        waited = credentialentries.withdraw_cooling(session, person, now=now)
        row = credentialentries.current_credential(session, person)
        revoked = row is not None and credentialentries.revoke_credential(
            session, row.digest, now=now
        )
        if not revoked and not waited:
            leave(Exit.REFUSED, f"{person} has no entry in force.")
        _note(session, "credential-revoked", person, now)
    orders = [ChangeOrder(subject=Subject.PERSON, name=person, digest=digest) for digest in waited]
    start_soon(settings, orders, woken=True)
    typer.echo(
        f"{person} is revoked; an officer makes it for ever: keyfill officers revoke {person}"
    )


def _enrol(
    database: Database, settings: Settings, enrolment: Enrolment, key_file: Path, now: int
) -> str:
    trust = trust_of(settings)
    key = persons.key_of(key_file, settings)
    with database.write() as session:
        seq = next_seq(session, trust, enrolment.person)
        try:
            envelope = self_signed(enrolment, key, trust, seq=seq, now=now)
        except ValidationError as error:
            leave(Exit.USAGE, persons.broken_field(error))
        verified = read_enrolment(envelope, trust, now=now)
        unfit = settings.approvals.refusal(backup_eligible=verified.backup_eligible)
        if unfit is not None and "administrator" in enrolment.roles:
            leave(Exit.REFUSED, f"{enrolment.person} could approve nothing by this key: {unfit}.")
        store_pending(session, verified, now=now)
    return verified.digest


def _entry_in_force(database: Database, trust: Trust, person: str, now: int) -> CredentialEntry:
    with database.read() as session:
        row = credentialentries.current_credential(session, person)
    if row is None:
        leave(Exit.REFUSED, f"{person} has no entry in force.")
    try:
        entry = read_enrolment(row.envelope, trust, now=now).entry
    except EntryError as error:
        leave(Exit.REFUSED, f"The entry of {person} does not count: {error.reason}.")
    if entry.credential_id is not None:
        leave(Exit.REFUSED, f"{person} has a passkey: make a new link with these roles.")
    return entry


def _from(effective_at: int | None) -> str:
    if effective_at is None:
        return ""
    return f"  from {datetime.fromtimestamp(effective_at, UTC):%Y-%m-%d %H:%M} UTC"


def _shown(row: CredentialEntryRow) -> dict[str, Any]:
    return {
        "person": row.person,
        "staff_no": row.staff_no,
        "name": row.name,
        "roles": json.loads(row.roles),
        "state": row.state.value,
        "credential": "key" if row.credential_id is None else "passkey",
        "kid": row.kid,
        "valid_until": row.valid_until,
        "entry": row.digest,
    }


def _note(session: Session, event: str, person: str, now: int) -> None:
    audit.write(
        session,
        event,
        at=now,
        actor_kind=ActorKind.SYSTEM,
        actor="keyfill administrators",
        detail={"person": person},
    )
