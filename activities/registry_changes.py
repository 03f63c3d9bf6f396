"""Changes of administrators in the records: how each stands, whom it concerns, and its end.

Nothing is put into effect that waited for less than the trust file says by this worker's own clock
as well, whoever asks: the key worker's word comes over Temporal.
"""

import time
from collections.abc import Callable
from typing import Final

from sqlmodel import Session
from temporalio import activity

from activities.concerned import concerned
from activities.sms import SmsSender
from ceremony import names
from ceremony.eppcertificate import EntryError
from ceremony.messages import ChangeEnding, ChangeOrder, ChangeOutcome, ChangeResult, ChangeTime
from ceremony.reasons import Reason
from ceremony.registry import VerifiedCredential, read_credential_entry, read_terminal_entry
from ceremony.revocations import Subject
from ceremony.sms import SmsUnavailable
from ceremony.smstexts import SmsLanguage, SmsText, person_change_text, terminal_change_text
from ceremony.trust import Trust
from records import audit, credentialentries, projection, registrychanges, terminalentries
from records.database import Database
from records.entryrows import terminal_row
from records.seq import StaleEntry
from records.tables.audit_event import ActorKind
from records.tables.registry_change import ChangeState, RegistryChangeRow
from records.turns import Turn, take_turn

_UNKNOWN: Final = ChangeResult(outcome="refused", reason=Reason.REGISTRY_INCOMPLETE)
_ENDED_BY: Final[dict[Reason, ChangeState]] = {
    Reason.SEQ_LOWERED: ChangeState.SUPERSEDED,
    Reason.ENTRY_REVOKED: ChangeState.WITHDRAWN,
    Reason.ENTRY_WITHDRAWN: ChangeState.WITHDRAWN,
}
_OUTCOMES: Final[dict[ChangeState, ChangeOutcome]] = {
    ChangeState.COOLING: "cooling",
    ChangeState.EFFECTIVE: "effective",
    ChangeState.WITHDRAWN: "withdrawn",
    ChangeState.SUPERSEDED: "superseded",
    ChangeState.REFUSED: "refused",
}


class RegistryChanges:
    """The ceremony worker's activities about changes that wait; each may be repeated."""

    def __init__(
        self,
        database: Database,
        trust: Trust,
        sms: SmsSender,
        clock: Callable[[], float] = time.time,
        language: SmsLanguage = "en",
    ) -> None:
        """Bind the records, the trust file, what sends SMS, a clock and a language."""
        self._database = database
        self._trust = trust
        self._sms = sms
        self._clock = clock
        self._language: SmsLanguage = language

    @activity.defn
    def look_at_change(self, order: ChangeOrder) -> ChangeResult:
        """Say how a change stands; one that nobody began is refused."""
        with self._database.read() as session:
            row = registrychanges.find(session, order.digest)
            if row is None or (row.subject, row.name) != (order.subject.value, order.name):
                return _UNKNOWN
            return _result(session, row)

    @activity.defn
    def note_change_time(self, said: ChangeTime) -> None:
        """Note when the key worker says that a change takes effect, and audit it once.

        It is for people to read. By this worker's clock it is never earlier than the trust file
        allows, or nobody would withdraw a change that is called due, nor later than if the key
        worker saw it just now.
        """
        waits, now = self._trust.cooling_off_seconds, int(self._clock())
        with self._database.write() as session:
            row = registrychanges.find(session, said.digest)
            if row is None:
                return
            effective_at = max(min(said.effective_at, now + waits), row.begun_at + waits)
            if registrychanges.note_time(session, said.digest, effective_at):
                self._audit(session, row, "registry-change-cooling", effective_at=effective_at)

    @activity.defn
    def end_change(self, ending: ChangeEnding) -> ChangeResult:
        """Put a change into effect, or end it as the key worker's refusal says.

        Gives `cooling`, and changes nothing, while the time is not over by this worker's clock.
        """
        now = int(self._clock())
        with self._database.write() as session:
            # In the order of all turns: persons' entries come after terminals'.
            take_turn(session, Turn.TERMINALS)
            take_turn(session, Turn.PERSONS)
            row = registrychanges.find(session, ending.digest)
            if row is None:
                return _UNKNOWN
            if row.state is not ChangeState.COOLING:
                return _result(session, row)
            if ending.refused is not None:
                return self._refuse(session, row, ending.refused, now)
            if now < row.begun_at + self._trust.cooling_off_seconds:
                return _result(session, row)
            return self._take_effect(session, row, now)

    @activity.defn(no_thread_cancel_exception=True)
    def tell_change(self, order: ChangeOrder) -> tuple[str, ...]:
        """Tell whom a change concerns, on the former number and on the new one; give how it went.

        Raises:
            SmsUnavailable: one was surely not sent; Temporal asks again, and the others, who were
                told meanwhile, are not told twice.
        """
        now = int(self._clock())
        with self._database.read() as session:
            row = registrychanges.find(session, order.digest)
            if row is None or row.state not in (ChangeState.COOLING, ChangeState.EFFECTIVE):
                return ()
            people = concerned(session, self._trust, row, now=now)
        change, about = names.registry_change_id(row.digest), row.name
        if row.subject == Subject.PERSON.value:
            about = f"person/{row.name}"
        told: list[str] = []
        unsent: SmsUnavailable | None = None
        for one in people:
            # By the entry, whose number it is: in a retry other people may be concerned.
            step, text = f"{change}/sms/{one.digest}", self._text(row, one, now)
            try:
                told.append(
                    self._sms.send_about(step, about=change, scope=about, to=one, text=text)
                )
            except SmsUnavailable as error:
                unsent = error
        if unsent is not None:
            raise unsent
        return tuple(told)

    def _text(self, row: RegistryChangeRow, to: VerifiedCredential, now: int) -> SmsText:
        effective_at = row.effective_at or now
        if row.subject == Subject.PERSON.value:
            return person_change_text(
                staff_no=to.entry.staff_no, effective_at=effective_at, language=self._language
            )
        return terminal_change_text(
            terminal_no=row.name, effective_at=effective_at, language=self._language
        )

    def _take_effect(self, session: Session, row: RegistryChangeRow, now: int) -> ChangeResult:
        try:
            if row.subject == Subject.PERSON.value:
                done = self._activate(session, row, now)
            else:
                done = self._put(session, row, now)
        except EntryError as error:
            return self._refuse(session, row, error.reason, now)
        except StaleEntry:
            return self._refuse(session, row, Reason.SEQ_LOWERED, now)
        except credentialentries.CredentialTaken:
            return self._refuse(session, row, Reason.SAME_CREDENTIAL, now)
        if not done:
            return self._refuse(session, row, Reason.REGISTRY_INCOMPLETE, now)
        registrychanges.end(session, row.digest, ChangeState.EFFECTIVE, now=now)
        self._audit(session, row, "registry-change-effective")
        return ChangeResult(outcome="effective", tells=_open_terminal(session, row))

    def _activate(self, session: Session, row: RegistryChangeRow, now: int) -> bool:
        entry = credentialentries.credential_entry(session, row.digest)
        if entry is None:
            return False
        verified = read_credential_entry(entry.envelope, self._trust, now=now)
        if verified.digest != row.digest or verified.entry.person != row.name:
            return False
        return credentialentries.activate_credential(session, row.digest)

    def _put(self, session: Session, row: RegistryChangeRow, now: int) -> bool:
        entry = terminalentries.terminal_entry(session, row.digest)
        if entry is None:
            return False
        verified = read_terminal_entry(entry.envelope, self._trust, now=now)
        if verified.digest != row.digest or verified.entry.terminal_no != row.name:
            return False
        terminalentries.put_terminal_entry(session, terminal_row(verified, now=now))
        return True

    def _refuse(
        self, session: Session, row: RegistryChangeRow, reason: Reason, now: int
    ) -> ChangeResult:
        state = _ENDED_BY.get(reason, ChangeState.REFUSED)
        registrychanges.end(session, row.digest, state, now=now, reason=reason.value)
        if row.subject == Subject.PERSON.value:
            credentialentries.end_cooling(session, row.digest, now=now)
        self._audit(session, row, f"registry-change-{state.value}", reason=reason)
        return ChangeResult(outcome=_OUTCOMES[state], reason=reason)

    def _audit(
        self,
        session: Session,
        row: RegistryChangeRow,
        event: str,
        *,
        reason: Reason | None = None,
        effective_at: int | None = None,
    ) -> None:
        audit.write(
            session,
            event,
            at=int(self._clock()),
            actor_kind=ActorKind.SYSTEM,
            terminal_no=row.name if row.subject == Subject.TERMINAL.value else None,
            reason=reason,
            detail={
                "subject": row.subject,
                "name": row.name,
                "entry": row.digest,
                "effective_at": effective_at or row.effective_at,
            },
        )


def _result(session: Session, row: RegistryChangeRow) -> ChangeResult:
    reason = None if row.reason is None else Reason(row.reason)
    # Whoever put it into effect may have died before they could tell.
    tells = _open_terminal(session, row) if row.state is ChangeState.EFFECTIVE else None
    return ChangeResult(outcome=_OUTCOMES[row.state], reason=reason, tells=tells)


def _open_terminal(session: Session, row: RegistryChangeRow) -> str | None:
    """The terminal that a change is about, if it has an open loading request."""
    if row.subject != Subject.TERMINAL.value:
        return None
    return None if projection.open_for_terminal(session, row.name) is None else row.name
