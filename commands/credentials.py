"""Credential entries on their way into the registry: made, stored pending, counter-signed, active.

An entry counts only with the signatures of as many officers as the trust file asks for; nothing
here decides that, it only stores what `ceremony.registry` verified.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from sqlmodel import Session

from ceremony.eppcertificate import EntryError
from ceremony.keys import SigningKey
from ceremony.messages import ChangeOrder
from ceremony.reasons import Reason
from ceremony.registry import (
    VerifiedCredential,
    envelope_statements,
    officers_of,
    read_credential_entry,
    read_enrolment,
    seal_envelope,
)
from ceremony.revocations import Subject
from ceremony.signing import new_nonce, sign
from ceremony.statements import CredentialEntry, PublicJwk
from ceremony.trust import Trust
from records import audit, credentialentries, revocations, seq
from records.entryrows import pending_credential_row
from records.tables.audit_event import ActorKind
from records.tables.credential_entry import CredentialState
from records.turns import Turn, take_turn

RoleName = Literal["administrator", "auditor"]
_BROUGHT_BACK: Final = (
    CredentialState.PENDING,
    CredentialState.COOLING,
    CredentialState.ACTIVE,
)
VALID_SECONDS: Final = 365 * 86_400


@dataclass(frozen=True, slots=True)
class Enrolment:
    """Who is enrolled as what; `number` is E.164, `valid_until` Unix seconds."""

    person: str
    staff_no: str
    name: str
    number: str = field(repr=False)
    roles: tuple[RoleName, ...]
    valid_until: int


def self_signed(enrolment: Enrolment, key: SigningKey, trust: Trust, *, seq: int, now: int) -> str:
    """Make the envelope of an entry that its own key has signed, and nobody else yet.

    Raises:
        pydantic.ValidationError: if the enrolment does not fit an entry.
    """
    entry = CredentialEntry(
        aud=trust.audience,
        iat=now,
        nonce=new_nonce(),
        person=enrolment.person,
        staff_no=enrolment.staff_no,
        name=enrolment.name,
        roles=enrolment.roles,
        public_key=PublicJwk.model_validate(key.public.jwk),
        credential_id=None,
        number=enrolment.number,
        seq=seq,
        valid_until=enrolment.valid_until,
    )
    return seal_envelope([sign(entry, key)])


def next_seq(session: Session, trust: Trust, person: str) -> int:
    """The `seq` of a person's next entry: above all on record, and above all that was revoked."""
    take_turn(session, Turn.PERSONS)
    revoked = revocations.highest_of(session, trust, Subject.PERSON, person)
    on_record = credentialentries.highest_credential_seq(session, person)
    return max(on_record, revoked.get(person, on_record)) + 1


def store_pending(session: Session, verified: VerifiedCredential, *, now: int) -> None:
    """Store an enrolment to wait for officers' signatures, and note it in the audit trail."""
    row = pending_credential_row(verified, now=now)
    _, created = credentialentries.put_credential_entry(session, row)
    if created:
        _note(session, "credential-enrolled", verified, now)


def merged(stored: str, signed: str, trust: Trust) -> str:
    """Add to a stored envelope each officer's signature of another that holds and is new.

    Raises:
        EntryError: if an envelope is malformed, or they are not of one entry.
    """
    kept = list(envelope_statements(stored))
    for statement in envelope_statements(signed):
        known = officers_of(seal_envelope(kept), trust)
        if officers_of(seal_envelope([*kept, statement]), trust) > known:
            kept.append(statement)
    return seal_envelope(kept)


@dataclass(frozen=True, slots=True)
class Activation:
    """What became of a counter-signed entry: active, or why not; `missing` officers if pending.

    `change` starts the wait of one that has all signatures and is not active before its time.
    """

    person: str
    staff_no: str
    active: bool
    missing: int = 0
    refused: Reason | None = None
    change: ChangeOrder | None = None


def activate(session: Session, envelope: str, trust: Trust, *, now: int) -> Activation:
    """Bring new signatures of a pending entry in; with enough of them it is active, or waits.

    It waits where the trust file has a cooling-off time. Until then the person has the former one.

    Raises:
        EntryError: if the enrolment itself does not verify, or is not pending here.
    """
    take_turn(session, Turn.PERSONS)
    enrolment = read_enrolment(envelope, trust, now=now)
    row = credentialentries.credential_entry(session, enrolment.digest)
    if row is None or row.state not in _BROUGHT_BACK:
        raise EntryError(Reason.REGISTRY_INCOMPLETE)
    person, staff_no, before = row.person, row.staff_no, row.state
    together = merged(row.envelope, envelope, trust)
    credentialentries.add_signatures(session, enrolment.digest, together)
    try:
        verified = read_credential_entry(together, trust, now=now)
    except EntryError as error:
        if error.reason is not Reason.OFFICERS_MISSING:
            raise
        have = len(officers_of(together, trust))
        return Activation(person, staff_no, False, missing=trust.officer_threshold - have)
    revoked = revocations.highest_of(session, trust, Subject.PERSON, person)
    if verified.entry.seq <= revoked.get(person, -1):
        return Activation(person, staff_no, False, refused=Reason.ENTRY_REVOKED)
    waits = trust.cooling_off_seconds > 0 and before is not CredentialState.ACTIVE
    try:
        if waits:
            credentialentries.cool_credential(session, verified.digest, envelope=together, now=now)
        else:
            credentialentries.activate_credential(session, verified.digest, envelope=together)
    except seq.StaleEntry:
        return Activation(person, staff_no, False, refused=Reason.SEQ_LOWERED)
    except credentialentries.CredentialTaken:
        return Activation(person, staff_no, False, refused=Reason.SAME_CREDENTIAL)
    officers = officers_of(together, trust)
    if not waits:
        _note(session, "credential-activated", verified, now, officers)
        return Activation(person, staff_no, True)
    if before is CredentialState.PENDING:
        _note(session, "credential-change-begun", verified, now, officers)
    change = ChangeOrder(subject=Subject.PERSON, name=person, digest=verified.digest)
    return Activation(person, staff_no, False, change=change)


def counter_signed(envelope: str, keys: Sequence[SigningKey], trust: Trust, *, now: int) -> str:
    """Add officers' signatures to an enrolment that verifies.

    Raises:
        EntryError: if its own signature does not hold, or it is expired.
        KeyRefused: if an officer's key cannot sign statements.
    """
    verified = read_enrolment(envelope, trust, now=now)
    signatures = [sign(verified.entry, key) for key in keys]
    return merged(envelope, seal_envelope(signatures), trust)


def _note(
    session: Session,
    event: str,
    verified: VerifiedCredential,
    now: int,
    officers: frozenset[str] = frozenset(),
) -> None:
    audit.write(
        session,
        event,
        at=now,
        actor_kind=ActorKind.OFFICER,
        actor=verified.entry.staff_no,
        detail={
            "person": verified.entry.person,
            "roles": list(verified.entry.roles),
            "kid": verified.key.public_key.kid,
            "entry": verified.digest,
            "officers": sorted(officers),
        },
    )
