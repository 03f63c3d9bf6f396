"""The key worker's archive on the records database."""

import json
from collections.abc import Sequence
from typing import Final

from sqlmodel import Session

from ceremony.codes import TypedCode
from ceremony.encoding import b64
from ceremony.keylife import LOST
from ceremony.keyorders import KeyOrder
from ceremony.reasons import Reason
from ceremony.release_rule import Entries
from ceremony.revocations import Subject
from ceremony.stages import FINAL
from keymanagement.archive import ArchivedStatement
from keymanagement.journalrows import HeldKey, IssuedToken
from keymanagement.orderrows import CarriedOrder
from records import (
    audit,
    credentialentries,
    keyorders,
    keystore,
    projection,
    registrychanges,
    revocations,
    submissions,
    terminalentries,
)
from records.database import Database
from records.tables.audit_event import ActorKind
from records.tables.credential_entry import CredentialEntryRow, CredentialState
from records.tables.key import KeyRow, KeyState
from records.tables.key_order import KeyOrderRow
from records.tables.registry_change import ChangeState
from records.tables.terminal_entry import TerminalEntryRow
from records.tables.token import TokenRow

_BEFORE = {
    KeyState.ACTIVE: (KeyState.RELEASED, KeyState.UNCONFIRMED),
    KeyState.UNCONFIRMED: (KeyState.RELEASED,),
    KeyState.RETIRED: (KeyState.RELEASED, KeyState.UNCONFIRMED, KeyState.ACTIVE),
    KeyState.RELEASED: (),
    KeyState.COMPROMISED: tuple(set(KeyState) - LOST),
    KeyState.DESTROYED: tuple(set(KeyState) - {KeyState.DESTROYED}),
}

DUPLICATE: Final = "duplicate-key"
"""The audit trail's event of a key that was made twice."""
MOST_SHOWN: Final = 16
"""Entries of one subject that are shown at once; a row's owner could have planted thousands."""


class RecordsArchive:
    """Answers `keymanagement.archive.Archive` from the records."""

    def __init__(self, database: Database) -> None:
        """Bind the records."""
        self._database = database

    def statement(self, digest: str) -> ArchivedStatement | None:
        """The submission stored under this digest, with what travelled beside it."""
        with self._database.read() as session:
            row = submissions.get(session, digest)
        if row is None:
            return None
        code = None
        if row.code_n is not None and row.code_mac is not None:
            code = TypedCode(row.code_n, row.code_mac)
        return ArchivedStatement(row.statement, code, row.qr_n, row.qr_expires_at)

    def entries(self, terminal_no: str) -> Entries | None:
        """The envelopes of the entries in force; None if one of the three is missing."""
        with self._database.read() as session:
            terminal = terminalentries.current_terminal(session, terminal_no)
            if terminal is None:
                return None
            first = credentialentries.current_credential(session, terminal.first_person)
            second = credentialentries.current_credential(session, terminal.second_person)
        if first is None or second is None:
            return None
        return Entries(terminal.envelope, first.envelope, second.envelope)

    def terminal_entry(self, terminal_no: str) -> str | None:
        """The envelope of the terminal's entry in force."""
        with self._database.read() as session:
            terminal = terminalentries.current_terminal(session, terminal_no)
        return None if terminal is None else terminal.envelope

    def entry(self, subject: Subject, digest: str) -> str | None:
        """The envelope of this digest, unless it waits for officers or was withdrawn."""
        return self._entry(subject, digest, withdrawn=False)

    def withdrawn_entry(self, subject: Subject, digest: str) -> str | None:
        """The envelope of this digest, if it was withdrawn before it took effect."""
        return self._entry(subject, digest, withdrawn=True)

    def _entry(self, subject: Subject, digest: str, *, withdrawn: bool) -> str | None:
        with self._database.read() as session:
            change = registrychanges.find(session, digest)
            if withdrawn is not (change is not None and change.state is ChangeState.WITHDRAWN):
                return None
            if subject is Subject.TERMINAL:
                terminal = terminalentries.terminal_entry(session, digest)
                return None if terminal is None else terminal.envelope
            person = credentialentries.credential_entry(session, digest)
        if person is None or person.state is CredentialState.PENDING:
            return None
        return person.envelope

    def newest(self, subject: Subject, after: str, limit: int) -> list[tuple[str, int]]:
        """The next subjects by name, each with the highest `seq` on record; no pending entry's."""
        with self._database.read() as session:
            if subject is Subject.TERMINAL:
                return terminalentries.highest_seqs(session, after=after, limit=limit)
            return credentialentries.highest_seqs(session, after=after, limit=limit)

    def entries_above(self, subject: Subject, name: str, seq: int) -> list[str]:
        """The subject's envelopes above a `seq`, lowest first: the newest sixteen at most."""
        with self._database.read() as session:
            history: Sequence[TerminalEntryRow | CredentialEntryRow]
            if subject is Subject.TERMINAL:
                history = terminalentries.terminal_history(session, name)
            else:
                history = [
                    row
                    for row in credentialentries.credential_history(session, name)
                    if row.state is not CredentialState.PENDING
                ]
            withdrawn = set(session.exec(registrychanges.withdrawn_digests()))
        above = [row.envelope for row in history if row.seq > seq and row.digest not in withdrawn]
        return above[:MOST_SHOWN][::-1]

    def revocations_of(self, subject: Subject, name: str) -> list[str]:
        """The texts of the revocations about a subject: those of the highest `seq`, sixteen."""
        with self._database.read() as session:
            return list(revocations.of_subject(session, subject, name, limit=MOST_SHOWN))

    def revocations(self, after: str, limit: int) -> list[tuple[str, str]]:
        """The next revocations on record, by digest."""
        with self._database.read() as session:
            rows = revocations.page(session, after=after, limit=limit)
        return [(row.digest, row.statement) for row in rows]

    def has_ended(self, request_id: str) -> bool:
        """Whether the projection shows a final stage."""
        with self._database.read() as session:
            row = projection.find(session, request_id)
        return row is not None and row.stage in FINAL

    def publish_token(self, terminal_no: str, key: HeldKey, token: IssuedToken) -> None:
        """Publish a released key and one of its tokens, if they are not there yet."""
        with self._database.write() as session:
            keystore.publish_key(
                session,
                KeyRow(
                    request_id=key.request_id,
                    terminal_no=terminal_no,
                    algorithm=key.algorithm.value,
                    host_block=key.host_block,
                    state=KeyState.RELEASED,
                    release_record=key.record,
                    released_at=key.created_at,
                ),
            )
            keystore.publish_token(
                session,
                TokenRow(
                    confirmation_digest=token.confirmation_digest,
                    request_id=token.request_id,
                    ordinal=token.ordinal + 1,
                    format=token.format,
                    key_algorithm=key.algorithm.value,
                    value=b64(token.value),
                    token_digest=token.token_digest,
                    issued_at=token.issued_at,
                ),
            )

    def publish_settlement(
        self, key: HeldKey, kcv: str | None, retired: tuple[HeldKey, ...], now: int
    ) -> None:
        """Publish a key's state, its KCV if confirmed, and the states of those it retired."""
        with self._database.write() as session:
            for one in retired:
                before = _BEFORE[KeyState.RETIRED]
                keystore.set_state(session, one.request_id, before, KeyState.RETIRED, now=now)
            state = KeyState(key.state.value)
            keystore.set_state(session, key.request_id, _BEFORE[state], state, now=now)
            if kcv is not None:
                keystore.set_kcv(session, key.request_id, kcv)
            if state in LOST:
                keystore.withdraw(session, key.request_id, erase=state is KeyState.DESTROYED)
        if state is KeyState.DESTROYED:
            self._database.scrub()

    def publish_order(
        self,
        order: KeyOrder,
        carried: CarriedOrder,
        key: HeldKey | None,
        retired: tuple[HeldKey, ...],
        now: int,
    ) -> None:
        """Publish an order's outcome and the key's state by the journal, whatever the rows say.

        But for a lost key: of two publications the one that took it away may have come first.
        """
        with self._database.write() as session:
            created = keyorders.put(session, _order_row(order, carried, now))
            if created:
                _tell_order(session, order, carried, now)
            if key is not None:
                _follow(session, order, key, retired, now, created=created)
        if key is not None and key.state is KeyState.DESTROYED:
            self._database.scrub()

    def publish_duplicate(self, request_id: str, terminal_no: str, first: str, now: int) -> None:
        """Write one event for each pair of requests, however often the key worker says it."""
        detail = {"first": first}
        with self._database.write() as session:
            if any(
                one.event == DUPLICATE and json.loads(one.detail) == detail
                for one in audit.of_request(session, request_id)
            ):
                return
            audit.write(
                session,
                DUPLICATE,
                at=now,
                actor_kind=ActorKind.KEY_WORKER,
                request_id=request_id,
                terminal_no=terminal_no,
                reason=Reason.DUPLICATE_KEY,
                detail=detail,
            )


def _order_row(order: KeyOrder, carried: CarriedOrder, now: int) -> KeyOrderRow:
    return KeyOrderRow(
        digest=order.digest,
        request_id=order.request_id,
        terminal_no=order.terminal_no,
        act=order.act.value,
        reason_code=order.reason_code,
        state=None if carried.state is None else carried.state.value,
        refused=None if carried.refused is None else carried.refused.value,
        envelope=order.envelope,
        recorded_at=now,
    )


def _tell_order(session: Session, order: KeyOrder, carried: CarriedOrder, now: int) -> None:
    audit.write(
        session,
        "key-order-done" if carried.refused is None else "key-order-refused",
        at=now,
        actor_kind=ActorKind.OFFICER,
        actor=" ".join(sorted(order.officers)),
        request_id=order.request_id,
        terminal_no=order.terminal_no,
        reason=order.reason_code if carried.refused is None else carried.refused,
        detail={
            "order": order.act.value,
            "digest": order.digest,
            "state": None if carried.state is None else carried.state.value,
            "reason_code": order.reason_code,
            "reason": order.reason,
        },
    )


def _follow(
    session: Session,
    order: KeyOrder,
    key: HeldKey,
    retired: tuple[HeldKey, ...],
    now: int,
    *,
    created: bool,
) -> None:
    state, at = KeyState(key.state.value), key.settled_at or now
    for one in retired:
        before = _BEFORE[KeyState.RETIRED]
        keystore.set_state(session, one.request_id, before, KeyState.RETIRED, now=now)
    row = keystore.key(session, key.request_id)
    if row is not None and not keystore.may_follow(row, state):
        return
    if state is KeyState.ACTIVE:
        # A row that somebody planted as active must not stand in the way.
        keystore.retire_active(
            session, order.terminal_no, except_request_id=key.request_id, now=now
        )
    digest = order.digest if created else None
    keystore.follow_order(session, key.request_id, state, digest, at=at)
    if state in LOST:
        keystore.withdraw(session, key.request_id, erase=state is KeyState.DESTROYED)
