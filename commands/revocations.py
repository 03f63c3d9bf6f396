"""`keyfill officers revoke`: signed by an officer, put on record, shown to the key worker."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from pydantic import ValidationError
from sqlmodel import Session

from ceremony.eppcertificate import EntryError
from ceremony.keys import SigningKey
from ceremony.messages import NotesOrder
from ceremony.registry import read_credential_entry, read_terminal_entry
from ceremony.revocations import Revocation, Subject, read_revocation
from ceremony.signing import new_nonce, sign
from ceremony.statements import RevocationPayload
from ceremony.trust import Trust
from ceremony.verification import StatementError
from commands.homefolder import HomeError
from commands.officerkeys import OfficerKey, TrustFile, officer_key, signing_trust
from commands.opened import database_of, settings_of, trust_of, unix_time
from commands.options import DEFAULT_HOME, AsJson, Exit, Home, leave, write_json
from commands.persons import broken_field
from commands.registrynotes import show
from records import audit, credentialentries, revocations, terminalentries
from records.tables.audit_event import ActorKind
from records.tables.credential_entry import CredentialState
from settings import Settings
from terminal.durable import replace

REFUSED: Final = "refused"
ON_RECORD: Final = "on-record"


@dataclass(frozen=True, slots=True)
class Target:
    """Whose entries are taken away."""

    subject: Subject
    name: str


def revoke(
    key: OfficerKey,
    reason: Annotated[str, typer.Option(help="Why, as a code: lost-phone, left, stolen.")],
    person: Annotated[str | None, typer.Argument(help="The person whose entries go.")] = None,
    terminal: Annotated[str | None, typer.Option(help="Or the number of a terminal.")] = None,
    seq: Annotated[
        int | None, typer.Option(help="Up to this seq; by default all that is on record.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Only sign, to this file; needs --seq and no database.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    trust: TrustFile = None,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Take away every entry of a person, or of a terminal, up to a seq, for ever.

    It takes effect at once, like `administrators revoke`; but what is unsigned can be undone by
    whoever writes to the database. This is signed, and the key worker remembers it: nothing undoes
    it, and only a newer entry counts again. If Temporal is away, run it again later.
    """
    if (person is None) is (terminal is None):
        leave(Exit.USAGE, "Give a person, or a --terminal.")
    if out is not None and seq is None:
        leave(Exit.USAGE, "Without the database --seq has to say how far.")
    target = Target(*((Subject.PERSON, person) if person else (Subject.TERMINAL, terminal or "")))
    try:
        known = signing_trust(home, trust)
        officer = officer_key(key, known)
    except HomeError as error:
        leave(Exit.USAGE, str(error))
    up_to = _highest(home, target, known) if seq is None else seq
    typer.echo(f"Takes away every entry of {target.name} up to seq {up_to}, for ever.", err=True)
    if not yes and not typer.confirm("Sign this revocation?", err=True):
        return
    try:
        text = signed_revocation(target, up_to, reason, officer, known, now=unix_time())
    except ValidationError as error:
        leave(Exit.USAGE, broken_field(error))
    if out is not None:
        replace(out, text.encode() + b"\n")
        return
    ended = bring_in(settings_of(home), [text], as_json=as_json)
    if ended is not Exit.DONE:
        raise typer.Exit(ended)


def signed_revocation(
    target: Target, seq: int, reason_code: str, officer: SigningKey, trust: Trust, *, now: int
) -> str:
    """Sign a revocation of every entry up to `seq`.

    Raises:
        pydantic.ValidationError: if a name, the `seq` or the reason code does not fit.
        KeyRefused: if the officer's key cannot sign statements.
    """
    person = target.subject is Subject.PERSON
    payload = RevocationPayload(
        aud=trust.audience,
        iat=now,
        nonce=new_nonce(),
        person=target.name if person else None,
        terminal_no=None if person else target.name,
        seq=seq,
        reason_code=reason_code,
    )
    return sign(payload, officer)


def highest_on_record(session: Session, target: Target, trust: Trust, *, now: int) -> int | None:
    """The highest `seq` of the entries on record that would count now, whatever their state.

    Only verified ones: a row that somebody planted must not lead an officer to sign away more
    than there is.
    """
    found = []
    if target.subject is Subject.TERMINAL:
        for row in terminalentries.terminal_history(session, target.name):
            try:
                terminal = read_terminal_entry(row.envelope, trust, now=now).entry
            except EntryError:
                continue
            if terminal.terminal_no == target.name:
                found.append(terminal.seq)
    else:
        for one in credentialentries.credential_history(session, target.name):
            if one.state is CredentialState.PENDING:
                continue
            try:
                person = read_credential_entry(one.envelope, trust, now=now).entry
            except EntryError:
                continue
            if person.person == target.name:
                found.append(person.seq)
    return max(found, default=None)


def bring_in(settings: Settings, texts: Sequence[str], *, as_json: bool) -> Exit:
    """Put signed revocations on record, show them to the key worker, and tell what became of each.

    Each may be brought in again, until the key worker has answered. Its `state` is `for-ever` once
    the key worker remembers it, `waiting` if it has not answered yet, `on-record` if Temporal is
    away, `refused` with a `reason` otherwise.
    """
    states = set()
    for text in texts:
        outcome = _outcome(settings, text)
        states.add(outcome["state"])
        tell(outcome, as_json=as_json)
    if ON_RECORD in states:
        typer.echo("Temporal does not answer, so it can still be undone: run this again.", err=True)
        return Exit.UNAVAILABLE
    return Exit.REFUSED if REFUSED in states else Exit.DONE


def tell(outcome: Mapping[str, Any], *, as_json: bool) -> None:
    """Write an outcome as a line."""
    if as_json:
        write_json(outcome)
    else:
        typer.echo("  ".join(f"{value}" for value in outcome.values() if value is not None))


def _highest(home: Path, target: Target, trust: Trust) -> int:
    with database_of(settings_of(home)) as database, database.read() as session:
        found = highest_on_record(session, target, trust, now=unix_time())
    if found is None:
        leave(Exit.REFUSED, f"No entry of {target.name} on record counts; --seq says how far.")
    return found


def _outcome(settings: Settings, text: str) -> dict[str, Any]:
    now = unix_time()
    with database_of(settings) as database:
        try:
            revocation = read_revocation(text, trust_of(settings))
        except StatementError as error:
            return {"person": None, "terminal_no": None, "state": REFUSED, "reason": error.reason}
        with database.write() as session:
            if revocations.put(session, revocation, now=now):
                _note(session, revocation, now)
    terminal = revocation.subject is Subject.TERMINAL
    return {
        "person": None if terminal else revocation.name,
        "terminal_no": revocation.name if terminal else None,
        "seq": revocation.seq,
        "revocation": revocation.digest,
        **_shown(settings, revocation),
    }


def _shown(settings: Settings, revocation: Revocation) -> dict[str, Any]:
    from temporalio.service import RPCError

    from engine.client import TemporalUnavailable

    order = NotesOrder(revocation=revocation.text)
    try:
        report = show(settings, order, f"revocation/{revocation.digest}")
    except (TemporalUnavailable, RPCError):
        return {"state": ON_RECORD, "reason": None}
    if report is None:
        return {"state": "waiting", "reason": None}
    refused = report.revocation_refused
    return {"state": "for-ever" if refused is None else REFUSED, "reason": refused}


def _note(session: Session, revocation: Revocation, now: int) -> None:
    terminal = revocation.subject is Subject.TERMINAL
    audit.write(
        session,
        "entries-revoked",
        at=now,
        actor_kind=ActorKind.OFFICER,
        actor=revocation.officer,
        terminal_no=revocation.name if terminal else None,
        reason=revocation.reason_code,
        detail={
            "subject": revocation.subject.value,
            "name": revocation.name,
            "seq": revocation.seq,
            "revocation": revocation.digest,
        },
    )
