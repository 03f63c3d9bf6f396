"""Registry entries: signed by the back office's feed key or by officers, verified on every use.

An *envelope* is the stored form of an entry: JSON `{"statements": [<statement text>, ...]}`, all
over the same payload bytes and so of one digest. What grants is signed; columns are an index.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from ceremony.encoding import (
    EncodingError,
    canonical_json,
    from_b64,
    from_hex,
    sha256_hex,
    strict_json,
)
from ceremony.eppcertificate import EntryError, EppCertificate, read_epp_certificate
from ceremony.keys import PASSKEY_ONLY, KeyRefused, PublicKey
from ceremony.reasons import Reason
from ceremony.statements import CredentialEntry, PublicJwk, TerminalEntry
from ceremony.trust import Trust
from ceremony.verification import EnrolledKey, StatementError, Verified, peek, verify

E = TypeVar("E", TerminalEntry, CredentialEntry)

MAX_STATEMENTS: Final = 8


@dataclass(frozen=True, slots=True)
class VerifiedTerminal:
    """A terminal entry that a feed key signed, with its EPP certificate read and trusted.

    `officers` are the key ids of the officers who signed it too: a changed EPP certificate or
    device key of a known terminal needs one, and other administrators need as many as an
    enrolment (`may_reassign`).
    """

    entry: TerminalEntry
    digest: str
    envelope: str
    epp: EppCertificate
    device_key: EnrolledKey
    officers: frozenset[str]
    may_reassign: bool = False

    @property
    def assignment_digest(self) -> str:
        """What a threshold of officers may change: first and second administrator, as a digest."""
        return assignment_digest(self.entry)

    @property
    def identity_digest(self) -> str:
        """What only an officer may change: EPP certificate and device key, as one digest."""
        return sha256_hex(f"{self.epp.fingerprint} {self.device_key.public_key.kid}".encode())


@dataclass(frozen=True, slots=True)
class VerifiedCredential:
    """A credential entry that its own key and a threshold of officers signed.

    `backup_eligible` is what the passkey's authenticator said when it signed its own entry (see
    `Attested`); None for a key that is no passkey.
    """

    entry: CredentialEntry
    digest: str
    envelope: str
    key: EnrolledKey
    backup_eligible: bool | None


def seal_envelope(statements: Iterable[str]) -> str:
    """Put signed copies of one entry into an envelope."""
    return canonical_json({"statements": list(statements)}).decode()


def envelope_statements(envelope: str) -> tuple[str, ...]:
    """Read the statements of an envelope, unverified.

    Raises:
        EntryError: if it is malformed, empty, or holds entries of different digests.
    """
    try:
        members = strict_json(envelope)
        statements = members["statements"]
        if set(members) != {"statements"} or not isinstance(statements, list):
            raise EntryError(Reason.MALFORMED)
        if not all(isinstance(one, str) for one in statements):
            raise EntryError(Reason.MALFORMED)
        if len(statements) > MAX_STATEMENTS:
            raise EntryError(Reason.TOO_LARGE)
        digests = {peek(one).digest for one in statements}
    except (EncodingError, KeyError, json.JSONDecodeError) as error:
        raise EntryError(Reason.MALFORMED) from error
    except StatementError as error:
        raise EntryError(error.reason) from error
    if not statements:
        raise EntryError(Reason.UNSIGNED)
    if len(digests) != 1:
        raise EntryError(Reason.MALFORMED)
    return tuple(statements)


def read_terminal_entry(envelope: str, trust: Trust, *, now: int) -> VerifiedTerminal:
    """Verify a terminal entry: a feed key's signature, time, `seq`, EPP certificate, people.

    Raises:
        EntryError: with the reason code of the first rule that it breaks.
    """
    statements = envelope_statements(envelope)
    signed = _signed_by(statements, trust.feed, TerminalEntry, trust)
    if not signed:
        raise EntryError(_why_unsigned(statements, trust.feed, TerminalEntry, trust))
    entry = signed[0].payload
    _check_currency(entry, trust, now)
    if entry.first == entry.second:
        raise EntryError(Reason.SAME_PERSON)
    try:
        der = from_b64(entry.epp_certificate)
    except EncodingError as error:
        raise EntryError(Reason.EPP_CERTIFICATE_MALFORMED) from error
    epp = read_epp_certificate(der, trust.roots, now=now)
    device_key = _entry_key(entry.device_key, passkey=False)
    if device_key.fingerprint == epp.key_fingerprint:
        raise EntryError(Reason.SAME_CREDENTIAL)
    signers = _signed_by(statements, trust.officer_keys, TerminalEntry, trust)
    officers = frozenset(one.kid for one in signers)
    return VerifiedTerminal(
        entry=entry,
        digest=signed[0].digest,
        envelope=envelope,
        epp=epp,
        device_key=EnrolledKey(device_key),
        officers=officers,
        may_reassign=len(officers) >= trust.officer_threshold,
    )


def read_credential_entry(envelope: str, trust: Trust, *, now: int) -> VerifiedCredential:
    """Verify a credential entry: its own key's signature and a threshold of officers'.

    Raises:
        EntryError: with the reason code of the first rule that it breaks.
    """
    verified = read_enrolment(envelope, trust, now=now)
    officers = officers_of(envelope, trust) - {verified.key.public_key.kid}
    if len(officers) < trust.officer_threshold:
        raise EntryError(Reason.OFFICERS_MISSING)
    return verified


def read_enrolment(envelope: str, trust: Trust, *, now: int) -> VerifiedCredential:
    """Verify a credential entry as far as its own key's signature: an enrolment still pending.

    Raises:
        EntryError: with the reason code of the first rule that it breaks.
    """
    statements = envelope_statements(envelope)
    claimed = peek(statements[0]).payload
    if not isinstance(claimed, CredentialEntry):
        raise EntryError(Reason.WRONG_TYPE)
    passkey = claimed.credential_id is not None
    public_key = _entry_key(claimed.public_key, passkey=passkey)
    key = EnrolledKey(public_key, claimed.credential_id)
    own = _signed_by(statements, (key,), CredentialEntry, trust)
    if not own:
        raise EntryError(_why_unsigned(statements, (key,), CredentialEntry, trust))
    _check_currency(own[0].payload, trust, now)
    return VerifiedCredential(
        entry=own[0].payload,
        digest=own[0].digest,
        envelope=envelope,
        key=replace(key, backup_eligible=bool(own[0].backup_eligible)),
        backup_eligible=own[0].backup_eligible,
    )


def officers_of(envelope: str, trust: Trust) -> frozenset[str]:
    """The key ids of the officers whose signatures on this credential entry hold.

    Raises:
        EntryError: if the envelope is malformed.
    """
    statements = envelope_statements(envelope)
    signed = _signed_by(statements, trust.officer_keys, CredentialEntry, trust)
    return frozenset(one.kid for one in signed)


def subject_name(verified: VerifiedTerminal | VerifiedCredential) -> str:
    """Whom an entry is about: the terminal's number, or the person."""
    if isinstance(verified, VerifiedTerminal):
        return verified.entry.terminal_no
    return verified.entry.person


def assignment_digest(entry: TerminalEntry) -> str:
    """SHA-256 over a terminal's two administrators: the persons, in order."""
    return sha256_hex(canonical_json([entry.first, entry.second]))


def registry_digest(terminal: str, first: str, second: str) -> str:
    """SHA-256 over the three entries' digests (32 bytes each): terminal, first, second."""
    return sha256_hex(b"".join(from_hex(digest) for digest in (terminal, first, second)))


def _signed_by(
    statements: tuple[str, ...], keys: tuple[EnrolledKey, ...], expected: type[E], trust: Trust
) -> list[Verified[E]]:
    verified = []
    for statement in statements:
        try:
            verified.append(
                verify(statement, expected, keys, audience=trust.audience, passkeys=trust.passkeys)
            )
        except StatementError:
            # Another signer's copy of the same entry; who is missing decides, not who is extra.
            continue
    return verified


def _why_unsigned(
    statements: tuple[str, ...],
    keys: tuple[EnrolledKey, ...],
    expected: type[TerminalEntry] | type[CredentialEntry],
    trust: Trust,
) -> Reason:
    try:
        verify(statements[0], expected, keys, audience=trust.audience, passkeys=trust.passkeys)
    except StatementError as error:
        return Reason.WRONG_SIGNER if error.reason is Reason.UNKNOWN_KEY else error.reason
    return Reason.UNSIGNED


def _check_currency(entry: TerminalEntry | CredentialEntry, trust: Trust, now: int) -> None:
    if entry.seq < trust.lowest_seq:
        raise EntryError(Reason.SEQ_LOWERED)
    if entry.valid_until <= now:
        raise EntryError(Reason.ENTRY_EXPIRED)


def _entry_key(jwk: PublicJwk, *, passkey: bool) -> PublicKey:
    if jwk.alg in PASSKEY_ONLY and not passkey:
        raise EntryError(Reason.WRONG_ALGORITHM)
    try:
        return PublicKey.from_jwk(jwk.members())
    except KeyRefused as error:
        raise EntryError(Reason.MALFORMED) from error
