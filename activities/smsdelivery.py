"""Delivering SMS: intent first, then the act, then the outcome; never twice without being asked.

A message's step, `request_id/sms/<what>`, names it for ever: a retry or a reset sends nothing
anew. What a cap keeps back is recorded, audited and alarming, and not sent.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from sqlmodel import Session

from ceremony.registry import VerifiedCredential
from ceremony.sms import SmsAmbiguous, SmsReceipt, SmsRefused, SmsUnavailable, mask_number
from ceremony.smscaps import SmsCaps
from ceremony.smstexts import SmsText
from ceremony.spraying import HOUR, Alarm, Raised
from records import alarms, audit, messages
from records.database import Database
from records.messages import Recipient
from records.tables.audit_event import ActorKind
from records.tables.sms_message import SmsMessageRow, SmsStatus
from records.turns import Turn, take_turn


class SmsGateway(Protocol):
    """Whatever carries an SMS.

    `repeatable` says that sending the same step again delivers it once only.
    """

    @property
    def repeatable(self) -> bool:
        """Whether a send may be repeated without asking."""
        ...

    def send(self, step: str, to: str, text: str) -> SmsReceipt:
        """Send a text to an E.164 number.

        Raises:
            SmsRefused: the provider said no, for good.
            SmsUnavailable: surely not sent.
            SmsAmbiguous: nobody knows.
        """
        ...


@dataclass(frozen=True)
class SmsMessage:
    """One message; `purpose` and `terminal_no` are what caps count it by, beside its recipient."""

    step: str
    request_id: str
    terminal_no: str
    purpose: str
    recipient: VerifiedCredential
    text: SmsText


class SmsDelivery:
    """Sends messages through a gateway, within caps, and records what became of each."""

    def __init__(
        self, database: Database, gateway: SmsGateway, clock: Callable[[], float], caps: SmsCaps
    ) -> None:
        """Bind the records, a gateway, a clock giving Unix seconds, and the caps."""
        self._database = database
        self._gateway = gateway
        self._clock = clock
        self._caps = caps

    def send(self, message: SmsMessage) -> str:
        """Send a message once, and give its status; the same step again gives the same status.

        Raises:
            SmsUnavailable: it was surely not sent; the same call may be made again.
        """
        number = message.recipient.entry.number
        with self._database.write() as session:
            row, new = self._begin(session, message)
        if row.status is not SmsStatus.INTENT:
            return row.status
        if not new and not self._gateway.repeatable:
            # An earlier attempt died between the act and its outcome: it may have been sent.
            return self._finish(message, SmsStatus.AMBIGUOUS, error="interrupted")
        try:
            receipt = self._gateway.send(message.step, number, message.text)
        except SmsUnavailable:
            with self._database.write() as session:
                messages.forget(session, message.step)
            raise
        except SmsRefused as error:
            return self._finish(message, SmsStatus.FAILED, error=error.code)
        except SmsAmbiguous as error:
            return self._finish(message, SmsStatus.AMBIGUOUS, error=error.code)
        return self._finish(message, SmsStatus.SENT, sid=receipt.provider_sid)

    def _begin(self, session: Session, message: SmsMessage) -> tuple[SmsMessageRow, bool]:
        now = int(self._clock())
        # Turns have an order, and an audit event of a request takes the request's.
        take_turn(session, Turn.REQUEST, message.request_id)
        row, new = messages.begin(
            session,
            message.step,
            request_id=message.request_id,
            purpose=message.purpose,
            to=Recipient(
                message.recipient.entry.person,
                message.terminal_no,
                mask_number(message.recipient.entry.number),
            ),
            caps=self._caps,
            now=now,
        )
        if new and row.status is SmsStatus.CAPPED:
            self._audit(session, message, SmsStatus.CAPPED, now=now, error=row.error)
            alarms.raise_alarm(session, Raised(Alarm.SMS_CAPPED, 1, HOUR), now=now)
        elif new and message.purpose == "sms-code":
            alarms.watch_conversion(session, now=now)
        return row, new

    def _finish(
        self,
        message: SmsMessage,
        status: SmsStatus,
        *,
        sid: str | None = None,
        error: str | None = None,
    ) -> str:
        now = int(self._clock())
        with self._database.write() as session:
            if messages.finish(
                session, message.step, status, now=now, provider_sid=sid, error=error
            ):
                self._audit(session, message, status, now=now, error=error)
        return status

    def _audit(
        self,
        session: Session,
        message: SmsMessage,
        status: SmsStatus,
        *,
        now: int,
        error: str | None,
    ) -> None:
        audit.write(
            session,
            f"sms-{status}",
            at=now,
            actor_kind=ActorKind.SYSTEM,
            request_id=message.request_id,
            terminal_no=message.terminal_no,
            reason=error,
            detail={"purpose": message.purpose, "to": message.recipient.entry.staff_no},
        )
